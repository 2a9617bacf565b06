"""The methods of training there are, by name: the terms and options each is written with, and where it is published.

ε and α are in units of 1/255. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vidrobust.errors import NotationError
from vidrobust.notation.schedules import Adaptive, AlphaRule, EpsRule, EqualsEps, Fixed, OptimalAlpha, StepsRule
from vidrobust.notation.units import spell


@dataclass(frozen=True)
class Option:
    """A number or a word that a method takes besides ε, α and i.

    Attributes:
        symbol: as it is printed.
        spelling: as it may be typed besides.
        default: its value where it is not given.
        low, high: the range of a number.
        whole: must a number be whole?
        about: what it is.
        works: of a modifier, what it comes from, by the keys of :data:`vidrobust.notation.bibliography.WORKS`.
    """

    symbol: str
    spelling: str
    default: float | str
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    about: str = ""
    works: tuple[str, ...] = ()

    def check(self, value: float | str) -> None:
        """Refuse a value of the wrong type or out of range.

        Raises:
            NotationError: it is.
        """
        if isinstance(self.default, str):
            if not isinstance(value, str) or not value:
                raise NotationError(f"{self.symbol} must be a word, such as {self.default}, not {value!r}.")
        elif isinstance(value, str) or not (self.low <= value <= self.high) or (self.whole and value != int(value)):
            kind = "a whole number" if self.whole else "a number"
            raise NotationError(
                f"{self.symbol} must be {kind} from {spell(self.low)} to {spell(self.high)}, not {value}."
            )


COMMON = (
    Option("norm", "norm", "Linf", about="the norm of the threat: Linf, L2 or L1"),
    Option("support", "support", "WholeClip", about="where a perturbation may live, such as Border(ratio=0.1)"),
    Option("by", "by", "epoch", about="whether what moves does so by epoch or by step"),
    Option("smooth", "smooth", 0.0, 0.0, 0.9, about="label smoothing"),
    Option("mix", "mix", 0.0, 0.0, 1.0, about="the share of the clean clips' loss"),
)
"""What every method that attacks its training clips takes."""


GAN = (
    Option(
        "width", "width", 64.0, 4, 1024, True, "channels of the purifier's first layer; 2 and 4 times as many follow"
    ),
    Option("rate", "rate", 2e-4, 1e-6, 0.1, about="learning rate of the purifier and its critic"),
    Option("fool", "fool", 0.3, 0.0, 1.0, about="weight of the critic's loss; that of restoring the clip is the rest"),
)
"""What methods with a denoising GAN take; the defaults are the published values."""


SIGMA = Option("σ", "sigma", 64.0, 1.0, 1000.0, about="standard deviation of the noise, in units of 1/255")
"""What methods that add Gaussian noise take."""


@dataclass(frozen=True)
class Family:
    """A method of training, by the terms it is written with; :mod:`vidrobust.training.methods.table` has its class.

    Attributes:
        name: as it is written.
        about: what it does, and where it is published.
        example: a text that would do, for error messages and tests.
        terms: which of ε, α and i it shows.
        defaults: of what is not shown, or need not be given.
        options: what it takes besides, in the order in which it is printed.
        passes: training passes that each clip of a batch costs; of a mixture, besides those of its parts. The symbol of
            an option where that says it.
        attacks: does it spend input gradients on an attack besides?
        moves: must one of ε, α and i move over training (True), must none (False), or may they (None)?
        warm: does it start from a trained model by definition?
        warms_up: does a fixed ε rise from 0 (:func:`vidrobust.notation.schedules.warm_up`)?
        eps_max: is its ε drawn up to a largest one, written ``ε_max``?
        noise: the symbol of the option that multiplies ε; their product must stay within ε's range.
        mixes: does it mix other methods, instead of having terms?
        mixable: may mixtures mix it?
        modifiable: does it train a classifier whose weights AWP, EMA and SWA can reach?
        works: what it comes from, by the keys of :data:`vidrobust.notation.bibliography.WORKS`.
    """

    name: str
    about: str
    example: str
    terms: str = "εαi"
    defaults: Mapping[str, AlphaRule | EpsRule | StepsRule] = field(default_factory=dict)
    options: tuple[Option, ...] = COMMON
    passes: int | str = 1
    attacks: bool = True
    moves: bool | None = None
    warm: bool = False
    warms_up: bool = False
    eps_max: bool = False
    noise: str = ""
    mixes: bool = False
    mixable: bool = False
    modifiable: bool = True
    works: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[Option, ...]:
        """The options that are its own, besides those that methods have in common."""
        return tuple(option for option in self.options if option not in COMMON)


NORM, SUPPORT, BY, SMOOTH, MIX = COMMON
_ONE_STEP = {"i": Fixed(1)}
_CLEAN = {"ε": Fixed(0), "α": EqualsEps(), "i": Fixed(1)}
_TWO_THREATS = "(AT(ε=8,α=2,i=5),AT(ε=255,α=64,i=5,norm=L2))"

_DECLARED = (
    Family(
        "standard",
        "cross-entropy of clean clips: training without an attack",
        "standard(smooth=0.1)",
        terms="",
        defaults=_CLEAN,
        options=(SMOOTH,),
        attacks=False,
    ),
    Family(
        "AT",
        "adversarial training at one setting: cross-entropy of attacked clips (Madry et al., ICLR 2018)",
        "AT(ε=8,α=8,i=3)",
        moves=False,
        mixable=True,
        works=("madry2018",),
    ),
    Family(
        "fAT",
        "AT fine-tuned from the standard-trained model; this reading of the slides' term is ours",
        "fAT(ε=8,α=2,i=5)",
        moves=False,
        warm=True,
        mixable=True,
        works=("madry2018", "kinfu_slides"),
    ),
    Family(
        "CAL",
        "curriculum adversarial learning: AT in which at least one of ε, α and i moves (the slides)",
        "CAL(ε~U(0,12),α=α*,i=5)",
        moves=True,
        mixable=True,
        works=("kinfu_slides", "madry2018"),
    ),
    Family(
        "AAT",
        "adaptive AT: each batch's ε is drawn in proportion to the adversarial loss at it, measured at ten ε at the "
        "first epoch and every tenth, on held-out groups of the training clips (Kinfu and Vidal 2022)",
        "AAT(ε_max=12,α=α*,i=5)",
        defaults={"ε": Adaptive(12), "α": OptimalAlpha(), "i": Fixed(5)},
        eps_max=True,
        works=("kinfu2022",),
    ),
    Family(
        "TRADES",
        "clean cross-entropy plus β times the divergence that an attack can make (Zhang et al., ICML 2019)",
        "TRADES(ε=8,α=2,i=7,β=6)",
        options=(Option("β", "beta", 6.0, 0.0, 1000.0, about="weight of the divergence"), NORM, SUPPORT, BY, SMOOTH),
        passes=2,
        works=("zhang2019",),
    ),
    Family(
        "MART",
        "misclassification-aware AT: boosted cross-entropy plus β times the divergence weighted by doubt "
        "(Wang et al., ICLR 2020)",
        "MART(ε=8,α=2,i=7,β=5)",
        options=(Option("β", "beta", 5.0, 0.0, 1000.0, about="weight of the divergence"), NORM, SUPPORT, BY),
        passes=2,
        works=("wang2020",),
    ),
    Family(
        "Friendly",
        "friendly AT: an attack stops τ steps after the clip is misclassified (Zhang et al., ICML 2020)",
        "Friendly(ε=8,α=2,i=10,τ=1)",
        options=(Option("τ", "tau", 0.0, 0, 100, True, "steps after the first misclassified one"), *COMMON),
        works=("zhang2020",),
    ),
    Family(
        "Free",
        "free AT: each batch m times, every gradient used for weights and clips alike (Shafahi et al., NeurIPS 2019)",
        "Free(ε=8,m=4)",
        terms="ε",
        defaults={"α": EqualsEps(), **_ONE_STEP},
        options=(Option("m", "replays", 4.0, 1, 100, True, "times each batch is used"), NORM, SUPPORT, BY, SMOOTH),
        passes="m",
        attacks=False,
        works=("shafahi2019",),
    ),
    Family(
        "FGSM-RS",
        "AT by one step from a random start (Wong, Rice and Kolter, ICLR 2020)",
        "FGSM-RS(ε=8,α=1.25ε)",
        terms="εα",
        defaults={"α": EqualsEps(1.25), **_ONE_STEP},
        mixable=True,
        works=("wong2020",),
    ),
    Family(
        "N-FGSM",
        "AT by one step from noise of k·ε that the clip keeps (de Jorge et al., NeurIPS 2022)",
        "N-FGSM(ε=8,α=ε,k=2)",
        terms="εα",
        defaults={"α": EqualsEps(), **_ONE_STEP},
        options=(Option("k", "noise", 2.0, 0.0, 10.0, about="the noise, in multiples of ε"), BY, SMOOTH, MIX),
        noise="k",
        mixable=True,
        works=("dejorge2022",),
    ),
    Family(
        "APE",
        "a 3D denoising GAN trained alone before a fixed classifier (Kinfu and Vidal 2022, after Jin et al. 2019)",
        "APE(ε~auto(12),α=ε,i=5)",
        options=(*GAN, NORM, SUPPORT, BY),
        passes=4,
        warm=True,
        modifiable=False,
        works=("kinfu2022", "jin2019"),
    ),
    Family(
        "GAT",
        "generative AT: the denoising GAN and the classifier behind it trained together (Kinfu and Vidal 2022)",
        "GAT(ε~auto(12),α=ε,i=5)",
        options=(*GAN, NORM, SUPPORT, BY, SMOOTH),
        passes=5,
        works=("kinfu2022", "jin2019"),
    ),
    Family(
        "IBP",
        "interval bound propagation: κ of the clean loss and the rest of the loss at the worst logits that the bounds "
        "of ε allow; a fixed ε is warmed up; with a schedule of ε, κ falls from 1 as ε rises (Gowal et al. 2018)",
        "IBP(ε=1,κ=0.5)",
        terms="ε",
        defaults={"α": EqualsEps(), **_ONE_STEP},
        options=(Option("κ", "kappa", 0.5, 0.0, 1.0, about="the share of the clean loss at the largest ε"), BY, SMOOTH),
        passes=3,
        attacks=False,
        warms_up=True,
        works=("gowal2018",),
    ),
    Family(
        "Noise",
        "cross-entropy of clips with Gaussian noise of σ, for randomised smoothing (Cohen, Rosenfeld and Kolter 2019)",
        "Noise(σ=64)",
        terms="",
        defaults=_CLEAN,
        options=(SIGMA, SMOOTH),
        attacks=False,
        works=("cohen2019",),
    ),
    Family(
        "Denoise",
        "a 3D denoiser trained alone before a fixed classifier, for denoised smoothing: the squared distance to the "
        "clean clip and the cross-entropy of the denoised one (Salman et al., NeurIPS 2020)",
        "Denoise(σ=64)",
        terms="",
        defaults=_CLEAN,
        options=(SIGMA, *GAN[:2]),
        passes=2,
        attacks=False,
        warm=True,
        modifiable=False,
        works=("salman2020",),
    ),
    Family(
        "AVG",
        "the mean of the losses under several threats (Tramèr and Boneh, NeurIPS 2019, section 3)",
        f"AVG{_TWO_THREATS}",
        passes=0,
        mixes=True,
        works=("tramer2019",),
    ),
    Family(
        "MAX",
        "for each clip the largest of its losses under several threats (the same)",
        f"MAX{_TWO_THREATS}",
        passes=0,
        mixes=True,
        works=("tramer2019",),
    ),
    Family(
        "MultiBN",
        "a set of BatchNorm branches for each threat and for clean clips, and a detector that weighs them "
        "(Lo and Patel, IEEE TIP 2021)",
        "MultiBN(AT(ε=8,α=2,i=5),AT(ε=64,α=16,i=5,support=Border(ratio=0.1)))",
        passes=1,
        mixes=True,
        works=("lo2021",),
    ),
)

FAMILIES: dict[str, Family] = {family.name: family for family in _DECLARED}
"""The methods of training, by the name they are written with."""

MODIFIERS: dict[str, Option] = {
    "AWP": Option(
        "γ",
        "gamma",
        0.005,
        0.0,
        1.0,
        about="adversarial weight perturbation, relative (Wu et al. 2020)",
        works=("wu2020",),
    ),
    "EMA": Option(
        "τ",
        "tau",
        0.999,
        0.0,
        0.999999,
        about="decay of the moving average of the weights that is kept",
        works=("gowal2020",),
    ),
    "SWA": Option(
        "start",
        "start",
        0.75,
        0.0,
        0.99,
        about="share of training after which weights are averaged",
        works=("izmailov2018",),
    ),
}
"""What goes on top of any method, each with one number."""
