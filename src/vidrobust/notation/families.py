"""The methods of training there are, by name: the terms and options each is written with, and where it is published.

ε and α are in units of 1/255. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vidrobust.errors import NotationError
from vidrobust.notation.schedules import Adaptive, AlphaRule, EpsRule, EqualsEps, Fixed, OptimalAlpha, StepsRule, spell


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
    """

    symbol: str
    spelling: str
    default: float | str
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    about: str = ""

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


@dataclass(frozen=True)
class Family:
    """A method of training, by the terms it is written with.

    Attributes:
        about: what it does, and where it is published.
        terms: which of ε, α and i it shows.
        defaults: of what is not shown, or need not be given.
        options: what it takes besides, in the order in which it is printed.
        cost: training steps that a batch costs, besides the attack's gradients.
    """

    about: str
    terms: str = "εαi"
    defaults: Mapping[str, AlphaRule | EpsRule | StepsRule] = field(default_factory=dict)
    options: tuple[Option, ...] = COMMON
    cost: int = 1


_ONE_STEP = {"i": Fixed(1)}
_CLEAN = {"ε": Fixed(0), "α": EqualsEps(), "i": Fixed(1)}

FAMILIES: dict[str, Family] = {
    "standard": Family("training without an attack", "", _CLEAN, (COMMON[3],)),
    "AT": Family("adversarial training at one setting (Madry et al., ICLR 2018)"),
    "fAT": Family("AT fine-tuned from the standard-trained model; this reading of the slides' term is ours"),
    "CAL": Family("curriculum adversarial learning: at least one of ε, α and i moves (the slides)"),
    "AAT": Family(
        "adaptive AT: each batch's ε is drawn in proportion to the adversarial loss at it (Kinfu and Vidal 2022)",
        defaults={"ε": Adaptive(12), "α": OptimalAlpha(), "i": Fixed(5)},
    ),
    "TRADES": Family(
        "clean loss plus β times the divergence that an attack can make (Zhang et al., ICML 2019)",
        options=(Option("β", "beta", 6.0, 0.0, 1000.0, about="weight of the divergence"), *COMMON[:4]),
        cost=2,
    ),
    "MART": Family(
        "misclassification-aware AT (Wang et al., ICLR 2020)",
        options=(Option("β", "beta", 5.0, 0.0, 1000.0, about="weight of the divergence"), *COMMON[:3]),
        cost=2,
    ),
    "Friendly": Family(
        "friendly AT: an attack stops τ steps after the clip is misclassified (Zhang et al., ICML 2020)",
        options=(Option("τ", "tau", 0.0, 0, 100, True, "steps after the first misclassified one"), *COMMON),
    ),
    "Free": Family(
        "free AT: each batch m times, every gradient used for weights and clips alike (Shafahi et al., NeurIPS 2019)",
        "ε",
        {"α": EqualsEps(), **_ONE_STEP},
        (Option("m", "replays", 4.0, 1, 100, True, "times each batch is used"), *COMMON[:4]),
        cost=0,
    ),
    "FGSM-RS": Family(
        "one step from a random start (Wong, Rice and Kolter, ICLR 2020)", "εα", {"α": EqualsEps(1.25), **_ONE_STEP}
    ),
    "N-FGSM": Family(
        "one step from noise that the clip keeps (de Jorge et al., NeurIPS 2022)",
        "εα",
        {"α": EqualsEps(), **_ONE_STEP},
        (Option("k", "noise", 2.0, 0.0, 10.0, about="the noise, in multiples of ε"), *COMMON[2:]),
    ),
    "APE": Family(
        "a 3D denoising GAN trained alone before a fixed classifier (Kinfu and Vidal 2022, after Jin et al. 2019)",
        cost=4,
        options=(*GAN, *COMMON[:3]),
    ),
    "GAT": Family(
        "generative AT: the denoising GAN and the classifier behind it trained together (Kinfu and Vidal 2022)",
        cost=5,
        options=(*GAN, *COMMON[:4]),
    ),
}
"""The methods that train against one threat, by the name they are written with."""

MIXTURES: dict[str, str] = {
    "AVG": "the mean of the losses under several threats (Tramèr and Boneh, NeurIPS 2019, section 3)",
    "MAX": "for each clip the largest of its losses under several threats (the same)",
    "MultiBN": "a set of BatchNorm branches for each threat and for clean clips, and a detector that weighs them "
    "(Lo and Patel, IEEE TIP 2021)",
}
"""The methods over several others."""

MODIFIERS: dict[str, Option] = {
    "AWP": Option("γ", "gamma", 0.005, 0.0, 1.0, about="adversarial weight perturbation, relative (Wu et al. 2020)"),
    "EMA": Option("τ", "tau", 0.999, 0.0, 0.999999, about="decay of the moving average of the weights that is kept"),
    "SWA": Option("start", "start", 0.75, 0.0, 0.99, about="share of training after which weights are averaged"),
}
"""What goes on top of any method, each with one number."""
