"""How a model is trained, as data: the method, the schedules of ε, α and the iterations, and what goes on top.

A policy says nothing of how it is written (see :mod:`vidrobust.notation`) nor of how it is carried out
(:mod:`vidrobust.training`), and needs no torch. ε and α are in units of 1/255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import NamedTuple, TypeAlias

from vidrobust.errors import NotationError
from vidrobust.notation.families import COMMON, FAMILIES, MODIFIERS, Family
from vidrobust.notation.schedules import (
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
    Paced,
    StepsRule,
    warm_up,
)
from vidrobust.notation.units import spell, step_with_unit, too_small, too_small_text, with_unit

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

    An ε or α below a hundredth of a level is refused as well: who writes it counts in shares of the pixels' range.

    Raises:
        NotationError: it is out of range.
    """
    largest = 255 if norm == "Linf" else 1e9
    if symbol in ("ε", "α") and too_small(number):
        raise NotationError(too_small_text(symbol, number))
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
        family: a name of :data:`FAMILIES`. ``AT`` trains at one setting, ``fAT`` does so from the
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
        if self.family not in FAMILIES:
            raise NotationError(f"there is no method {self.family!r}; there are {', '.join(FAMILIES)}.")
        if self.about.mixes:
            self._check_mixture()
            return
        object.__setattr__(self, "options", self._kept_options())
        self._check_terms()
        self._check_calibrated()
        if self.modifiers and not self.about.modifiable:
            raise NotationError(
                f"{self.family} leaves the classifier as it is: there are no weights for AWP, EMA or SWA."
            )

    @property
    def about(self) -> Family:
        """What is declared of its family."""
        return FAMILIES[self.family]

    def _check_calibrated(self) -> None:
        """α* is looked for under L∞ on whole clips, and a paced ε knows epochs alone.

        Raises:
            NotationError: it is asked for elsewhere.
        """
        calibrated = isinstance(self.alpha, (OptimalAlpha, AutoAlpha, AlphaRamp))
        if calibrated and (self.option("norm"), self.option("support")) != ("Linf", "WholeClip"):
            raise NotationError("α* is measured under L∞ on whole clips: for another threat give α as a number or ε/4.")
        if isinstance(self.eps, Paced) and self.option("by") == "step":
            raise NotationError("a paced ε waits for whole epochs: leave out by=step.")

    def _check_mixture(self) -> None:
        if len(self.parts) < 2:
            raise NotationError(f"{self.family} mixes at least two methods, as in {self.family}(AT(…),AT(…,norm=L2)).")
        for part in self.parts:
            if not part.about.mixable or part.modifiers:
                raise NotationError(f"{self.family} mixes AT, CAL, FGSM-RS and N-FGSM, without modifiers, not {part}.")
            if part.option("mix"):
                raise NotationError(f"{self.family} takes no mix within its methods, not {part}.")
            if isinstance(part.eps, Adaptive):
                raise NotationError(f"{self.family} mixes methods whose ε is not drawn by the loss, not {part}.")

    def _kept_options(self) -> Options:
        """In the family's order, those that differ from their default."""
        known, given = {option.symbol: option for option in self.about.options}, dict(self.options)
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
        family = self.about
        if family.noise and not isinstance(self.eps, EqualsEps):
            noise = float(self.option(family.noise)) * max(astuple(self.eps))
            if noise > 255 and self.option("norm") == "Linf":
                raise NotationError(
                    f"{self.family}'s noise of {family.noise}·ε must not exceed 255, and {spell(noise)} does: "
                    f"lower {family.noise} or ε."
                )
        for symbol, rule in self._rules:
            if symbol not in family.terms and rule != family.defaults[symbol]:
                raise NotationError(f"{self.family} takes no {symbol}.")
        if family.moves and not self.moves:
            raise NotationError(
                f"{self.family} needs a value that moves: ε~U, ε~rU, ε~lU, α~αU or i~iU. With none it is AT."
            )
        if family.moves is False and self.moves:
            raise NotationError(
                f"{self.family} trains at one setting. With a value that moves it is CAL: {FAMILIES['CAL'].example}."
            )
        if family.eps_max and not isinstance(self.eps, Adaptive):
            raise NotationError(f"{self.family} draws ε up to ε_max. With another ε it is AT or CAL.")

    @property
    def moves(self) -> bool:
        """Whether ε, α or the number of iterations is on a schedule."""
        return any(rule.moves for _, rule in self._rules)

    @property
    def _rules(self) -> tuple[tuple[str, EpsRule | AlphaRule | StepsRule], ...]:
        return ("ε", self.eps), ("α", self.alpha), ("i", self.steps)

    def option(self, symbol: str) -> float | str:
        """The value of an option; its default if it is not given, or not taken by the family."""
        known = {option.symbol: option.default for option in (*COMMON, *self.about.options)}
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
    def warm(self) -> bool:
        """Does it start from a trained model by definition?"""
        return self.about.warm or any(part.warm for part in self.parts)

    @property
    def auto(self) -> bool:
        """Is a step size to be calibrated on the model in training, whatever a study found?"""
        return isinstance(self.alpha, AutoAlpha) or any(part.auto for part in self.parts)

    @property
    def by_step(self) -> bool:
        """Is the setting another for every batch?"""
        if self.parts:
            return any(part.by_step for part in self.parts)
        return self.option("by") == "step" or isinstance(self.eps, Adaptive) or self.warms_up

    @property
    def warms_up(self) -> bool:
        """Does its ε, which is fixed, rise from 0 batch by batch?"""
        return self.about.warms_up and isinstance(self.eps, Fixed)

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
        share = warm_up(clock.by_step.progress) if self.warms_up else 1.0
        clock = clock.by_step if self.option("by") == "step" else clock
        eps = self.eps(clock) * share
        steps = self.steps(eps) if isinstance(self.steps, IterationTable) else self.steps(clock)
        steps = int(steps + 0.5)
        if isinstance(self.alpha, Fixed):
            return Setting(eps, self.alpha(clock), steps)
        return Setting(eps, self.alpha(clock, eps, lambda eps: alpha_star(eps, steps) if eps else 0.0), steps)

    def spent(self, clock: Clock) -> tuple[int, int]:
        """About how many training passes and input gradients a clip costs at this clock.

        Of what is not known beforehand it takes the middle draw, and a model that copes.

        >>> from vidrobust.notation import parse_policy
        >>> parse_policy("TRADES(ε=8,α=2,i=7)+AWP").spent(Clock(0, 1))
        (4, 7)
        >>> parse_policy("MultiBN(AT(ε=8,α=2,i=5),AT(ε=8,α=2,i=5))").spent(Clock(0, 1))  # the clean clips' branch too
        (3, 10)
        """
        clock = replace(clock, draw=clock.draw or 0.5, standing=clock.standing or (1.0,) * clock.epoch)
        awp = 2 if self.modifier("AWP") else 1
        passes = self.about.passes
        trained = passes if isinstance(passes, int) else int(self.option(passes))
        if self.parts:
            parts = [part.spent(clock) for part in self.parts]
            return awp * (trained + sum(each for each, _ in parts)), sum(gradients for _, gradients in parts)
        trained += bool(self.option("mix"))
        if not self.about.attacks:
            return awp * trained, 0
        setting = self.at(clock, lambda eps, steps: eps)
        return awp * trained, setting.steps if setting.eps else 0

    def cost(self, clock: Clock) -> int:
        """The same, counted in input gradients alone."""
        trained, gradients = self.spent(clock)
        return TRAINING_STEP * trained + gradients

    def __str__(self) -> str:
        terms = [str(part) for part in self.parts]
        if not self.parts:
            norm = dict(self.options).get("norm", "Linf")
            terms += [
                _term(self.about, symbol, rule, str(norm), str(self.eps))
                for symbol, rule in self._rules
                if symbol in self.about.terms
            ]
            terms += [f"{symbol}={value if isinstance(value, str) else spell(value)}" for symbol, value in self.options]
        method = f"{self.family}({','.join(terms)})" if terms else self.family
        return "+".join((method, *(str(modifier) for modifier in self.modifiers)))


def _term(family: Family, symbol: str, rule: EpsRule | AlphaRule | StepsRule, norm: str, eps: str) -> str:
    if family.eps_max and isinstance(rule, Adaptive):
        return f"ε_max={with_unit(spell(rule.high), norm)}"
    text = with_unit(str(rule), norm) if symbol == "ε" else str(rule)
    return symbol + ("~" if rule.moves else "=") + (step_with_unit(text, eps) if symbol == "α" else text)


STANDARD = Policy("standard")
"""Training without an attack."""
