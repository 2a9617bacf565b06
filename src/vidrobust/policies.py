"""How a model is trained, as data: the method, the schedules of ε, α and the iterations, and what goes on top.

A policy says nothing of how it is written (see :mod:`vidrobust.notation`) nor of how it is carried out
(:mod:`vidrobust.training`), and needs no torch. ε and α are in units of 1/255.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from typing import NamedTuple, TypeAlias

from vidrobust.errors import NotationError
from vidrobust.schedules import (
    Adaptive,
    AlphaRamp,
    AlphaRule,
    AutoAlpha,
    Clock,
    EpsRule,
    EqualsEps,
    Fixed,
    IterationTable,
    OptimalAlpha,
    StepsRule,
    spell,
)

AlphaStar: TypeAlias = Callable[[float, int], float]
"""α*(ε, iterations), in units of 1/255."""

TRAINING_STEP = 2
"""What training on a clip costs, in input gradients: weight gradients about double the backward pass."""


class Setting(NamedTuple):
    """The attack of one batch: ε and α in units of 1/255, and the number of iterations.

    Where ε is 0 there is nothing to attack, and α may be 0 too.
    """

    eps: float
    alpha: float
    steps: int


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


WIDTH = Option(
    "width", "width", 64.0, 4, 1024, True, "channels of the purifier's first layer; 2 and 4 times as many follow"
)


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
        options=(WIDTH, *COMMON[:3]),
    ),
    "GAT": Family(
        "generative AT: the denoising GAN and the classifier behind it trained together (Kinfu and Vidal 2022)",
        cost=5,
        options=(WIDTH, *COMMON[:4]),
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
    "SWA": Option("start", "start", 0.75, 0.0, 1.0, about="share of training after which weights are averaged"),
}
"""What goes on top of any method, each with one number."""


@dataclass(frozen=True)
class Modifier:
    """Something on top of a method, such as ``AWP(γ=0.005)``.

    Raises:
        NotationError: there is no such modifier, or its number is out of range.
    """

    name: str
    value: float

    def __post_init__(self) -> None:
        if self.name not in MODIFIERS:
            raise NotationError(f"there is no modifier {self.name!r}; there are {', '.join(MODIFIERS)}.")
        MODIFIERS[self.name].check(self.value)

    def __str__(self) -> str:
        return f"{self.name}({MODIFIERS[self.name].symbol}={spell(self.value)})"


def check_range(symbol: str, number: float, norm: str = "Linf") -> None:
    """Refuse an ε, α or i out of its range; under L2 and L1 a perturbation may be larger than the pixels' range.

    Raises:
        NotationError: it is out of range.
    """
    largest = 255 if norm == "Linf" else 1e9
    if symbol == "ε" and not 0 <= number <= largest:
        raise NotationError(f"ε must lie between 0 and {largest:g} (it is in units of 1/255), not {spell(number)}.")
    if symbol == "α" and not 0 < number <= largest:
        raise NotationError(
            f"α must lie above 0 and not above {largest:g} (it is in units of 1/255), not {spell(number)}."
        )
    if symbol == "i" and not (1 <= number <= 1000 and float(number).is_integer()):
        raise NotationError(f"i must be a whole number from 1 to 1000, not {spell(number)}.")


Options: TypeAlias = tuple[tuple[str, "float | str"], ...]


@dataclass(frozen=True)
class Policy:
    """How a model is trained: the method and how ε, α and the number of iterations go over training.

    Args:
        family: a name of :data:`FAMILIES` or :data:`MIXTURES`. ``AT`` trains at one setting, ``fAT`` does so from the
            standard-trained model, ``CAL`` (curriculum adversarial learning) moves at least one value.
        eps: how ε is chosen, values from 0 to 255.
        alpha: how α is chosen, values above 0 and up to 255.
        steps: how the number of iterations is chosen, 1 to 1000.
        options: what is given besides, as pairs (symbol, value); of those that have their default value none is kept.
        parts: the policies that a mixture mixes.
        modifiers: what goes on top.

    Raises:
        NotationError: a value is out of range, or the family and the rest do not go together.
    """

    family: str
    eps: EpsRule = Fixed(0)
    alpha: AlphaRule = EqualsEps()
    steps: StepsRule = Fixed(1)
    options: Options = ()
    parts: tuple[Policy, ...] = ()
    modifiers: tuple[Modifier, ...] = ()

    def __post_init__(self) -> None:
        if len({modifier.name for modifier in self.modifiers}) < len(self.modifiers):
            raise NotationError("a modifier stands twice.")
        if {"EMA", "SWA"} <= {modifier.name for modifier in self.modifiers}:
            raise NotationError("EMA and SWA both say which average of the weights is kept: choose one.")
        if self.family in MIXTURES:
            self._check_mixture()
            return
        if self.family not in FAMILIES:
            raise NotationError(f"there is no method {self.family!r}; there are {', '.join((*FAMILIES, *MIXTURES))}.")
        object.__setattr__(self, "options", self._kept_options())
        self._check_terms()

    def _check_mixture(self) -> None:
        if len(self.parts) < 2:
            raise NotationError(f"{self.family} mixes at least two methods, as in {self.family}(AT(…),AT(…,norm=L2)).")
        for part in self.parts:
            if part.family not in ("AT", "fAT", "CAL", "FGSM-RS", "N-FGSM") or part.modifiers:
                raise NotationError(f"{self.family} mixes AT, CAL, FGSM-RS and N-FGSM, without modifiers, not {part}.")
            if isinstance(part.eps, (Adaptive,)):
                raise NotationError(f"{self.family} mixes methods whose ε is not drawn by the loss, not {part}.")

    def _kept_options(self) -> Options:
        """In the family's order, those that differ from their default."""
        known, given = {option.symbol: option for option in FAMILIES[self.family].options}, dict(self.options)
        for symbol, value in given.items():
            if symbol not in known:
                raise NotationError(f"{self.family} takes no {symbol}; it takes {', '.join(known) or 'no option'}.")
            known[symbol].check(value)
        if given.get("by", "epoch") not in ("epoch", "step"):
            raise NotationError(f"by must be epoch or step, not {given['by']}.")
        return tuple(
            (symbol, given[symbol]) for symbol, o in known.items() if given.get(symbol, o.default) != o.default
        )

    def _check_terms(self) -> None:
        for symbol, rule in self._rules:
            for number in () if isinstance(rule, EqualsEps) else astuple(rule):
                check_range(symbol, number, str(self.option("norm")))
        family = FAMILIES[self.family]
        for symbol, rule in self._rules:
            if symbol not in family.terms and rule != family.defaults[symbol]:
                raise NotationError(f"{self.family} takes no {symbol}.")
        if self.family == "CAL" and not self.moves:
            raise NotationError("CAL needs a value that moves: ε~U, ε~rU, ε~lU, α~αU or i~iU. With none it is AT.")
        if self.family in ("AT", "fAT") and self.moves:
            example = "CAL(ε~U(0,12),α=α*,i=5)"
            raise NotationError(f"{self.family} trains at one setting. With a value that moves it is CAL: {example}.")
        if self.family == "AAT" and not isinstance(self.eps, Adaptive):
            raise NotationError("AAT draws ε up to ε_max. With another ε it is AT or CAL.")

    @property
    def moves(self) -> bool:
        """Whether ε, α or the number of iterations is on a schedule."""
        return any(rule.moves for _, rule in self._rules)

    @property
    def _rules(self) -> tuple[tuple[str, EpsRule | AlphaRule | StepsRule], ...]:
        return ("ε", self.eps), ("α", self.alpha), ("i", self.steps)

    def option(self, symbol: str) -> float | str:
        """The value of an option; its default if it is not given, or not taken by the family."""
        known = {option.symbol: option.default for option in (*COMMON, *FAMILIES[self.family].options)}
        return dict(self.options).get(symbol, known[symbol])

    def modifier(self, name: str) -> float | None:
        """The number of a modifier, or None if it is not there."""
        return {modifier.name: modifier.value for modifier in self.modifiers}.get(name)

    @property
    def needs_alpha_star(self) -> bool:
        """Does it use α*, or a step size that is calibrated?"""
        kinds = (OptimalAlpha, AutoAlpha, AlphaRamp)
        return isinstance(self.alpha, kinds) or any(part.needs_alpha_star for part in self.parts)

    @property
    def by_step(self) -> bool:
        """Is the setting another for every batch?"""
        if self.parts:
            return any(part.by_step for part in self.parts)
        return self.option("by") == "step" or isinstance(self.eps, Adaptive)

    def at(self, clock: Clock, alpha_star: AlphaStar) -> Setting:
        """The setting of a batch; of a mixture, that of the part with the largest ε.

        Args:
            clock: where training stands.
            alpha_star: gives α* for ε and a number of iterations. It is called only if the policy needs it, and only
                for ε above 0.

        Returns:
            ε and α in units of 1/255, and the number of iterations rounded to a whole number (a half goes up).
        """
        if self.parts:
            return max(part.at(clock, alpha_star) for part in self.parts)
        clock = clock.by_step if self.option("by") == "step" else clock
        eps = self.eps(clock)
        steps = self.steps(eps) if isinstance(self.steps, IterationTable) else self.steps(clock)
        steps = int(steps + 0.5)
        if isinstance(self.alpha, Fixed):
            return Setting(eps, self.alpha(clock), steps)
        return Setting(eps, self.alpha(clock, eps, lambda eps: alpha_star(eps, steps) if eps else 0.0), steps)

    def cost(self, clock: Clock) -> int:
        """About how many input gradients a clip costs at this clock, its weights' gradients included."""
        if self.parts:
            return sum(part.cost(clock) for part in self.parts)
        setting, family = self.at(clock, lambda eps, steps: eps), FAMILIES[self.family]
        training = int(self.option("m")) if self.family == "Free" else family.cost
        awp = 2 if self.modifier("AWP") else 1
        return TRAINING_STEP * training * awp + (setting.steps if setting.eps and self.family != "Free" else 0)

    def __str__(self) -> str:
        family = FAMILIES.get(self.family, Family(""))
        terms = [str(part) for part in self.parts]
        if not self.parts:
            terms += [_term(self.family, symbol, rule) for symbol, rule in self._rules if symbol in family.terms]
            terms += [f"{symbol}={value if isinstance(value, str) else spell(value)}" for symbol, value in self.options]
        method = f"{self.family}({','.join(terms)})" if terms else self.family
        return "+".join((method, *(str(modifier) for modifier in self.modifiers)))


def _term(family: str, symbol: str, rule: EpsRule | AlphaRule | StepsRule) -> str:
    if family == "AAT" and isinstance(rule, Adaptive):
        return f"ε_max={spell(rule.high)}"
    return symbol + ("~" if rule.moves else "=") + str(rule)


STANDARD = Policy("standard")
"""Training without an attack."""

POLICIES: tuple[str, ...] = (
    "AT(ε=4,α=4,i=5)",
    "AT(ε=8,α=8,i=3)",
    "AT(ε=12,α=12,i=2)",
    "AT(ε=8,α=2,i=10)",
    "fAT(ε=8,α=2,i=5)",
    "fAT(ε=8,α=2,i=20)",
    "CAL(ε~U(0,12),α=ε,i=i*)",
    "CAL(ε~rU(12,0),α=ε,i=i*)",
    "CAL(ε~U(0,12),α~αU,i~iU)",
    "CAL(ε~U(0,12),α=α*,i=5)",
    "CAL(ε~U(0,12),α=α*,i=10)",
    "CAL(ε~U(0,12),α=α*,i=20)",
    "CAL(ε~lU(0,12),α=α*,i=i*)",
)
"""The 13 trained rows of the published table of defences, in its order."""
