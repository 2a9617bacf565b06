"""The slides' own language, ``CAL(ε~U(0,12),α=α*,i=5)``, to and from training policies and attacks.

ε and α are in units of 1/255 here. The grammar stands in ``docs/notation.md``; ASCII does as well as Greek:

>>> policy = parse("CAL (eps~U, alpha=alpha*, i=5)")
>>> print(policy)
CAL(ε~U(0,12),α=α*,i=5)
>>> policy.at(Clock(epoch=2, epochs=5), alpha_star=lambda eps, steps: eps / 5)
Setting(eps=6.0, alpha=1.2, steps=5)
>>> print(parse("PGD(ε=8,α=ε/4,i=20)"))
PGD(ε=8,α=2,i=20)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from vidrobust._scanner import ParseError, Scanner
from vidrobust.errors import NotationError
from vidrobust.schedules import (
    AlphaRamp,
    AlphaRule,
    Clock,
    EpsRule,
    EqualsEps,
    Fixed,
    IterationTable,
    LogUniform,
    LogUniformTop,
    OptimalAlpha,
    StepsRule,
    Uniform,
    spell,
)

__all__ = [
    "POLICIES",
    "STANDARD",
    "AttackText",
    "ParseError",
    "Policy",
    "Setting",
    "parse",
    "parse_attack",
    "parse_policy",
]

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

AlphaStar: TypeAlias = Callable[[float, int], float]
"""α*(ε, iterations), in units of 1/255."""

Family: TypeAlias = Literal["Standard", "AT", "fAT", "CAL"]
AttackName: TypeAlias = Literal["PGD", "FGSM"]


def _check_range(symbol: str, number: float) -> None:
    if symbol == "ε" and not 0 <= number <= 255:
        raise NotationError(f"ε must lie between 0 and 255 (it is in units of 1/255), not {spell(number)}.")
    if symbol == "α" and not 0 < number <= 255:
        raise NotationError(f"α must lie above 0 and not above 255 (it is in units of 1/255), not {spell(number)}.")
    if symbol == "i" and not (1 <= number <= 1000 and float(number).is_integer()):
        raise NotationError(f"i must be a whole number from 1 to 1000, not {spell(number)}.")


class Setting(NamedTuple):
    """The attack of one epoch: ε and α in units of 1/255, and the number of iterations.

    Where ε is 0 there is nothing to attack, and α may be 0 too.
    """

    eps: float
    alpha: float
    steps: int


@dataclass(frozen=True)
class Policy:
    """How a model is trained: the family and how ε, α and the number of iterations go over training.

    Args:
        family: ``AT`` trains at one setting, ``fAT`` does so from the standard-trained model, ``CAL`` (curriculum
            adversarial learning) moves at least one value; ``Standard`` is :data:`STANDARD`.
        eps: how ε is chosen, values from 0 to 255.
        alpha: how α is chosen, values above 0 and up to 255.
        steps: how the number of iterations is chosen, 1 to 1000.

    Raises:
        NotationError: a value is out of range, or the family and what moves do not go together.
    """

    family: Family
    eps: EpsRule
    alpha: AlphaRule
    steps: StepsRule

    def __post_init__(self) -> None:
        for symbol, rule in self._rules:
            for number in () if isinstance(rule, EqualsEps) else astuple(rule):
                _check_range(symbol, number)
        if self.family == "Standard" and (self.eps, self.alpha, self.steps) != (Fixed(0), EqualsEps(), Fixed(1)):
            raise NotationError("Standard training has no ε, α or i; use vidrobust.notation.STANDARD.")
        if self.family == "CAL" and not self.moves:
            raise NotationError("CAL needs a value that moves: ε~U, ε~rU, ε~lU, α~αU or i~iU. With none it is AT.")
        if self.family != "CAL" and self.moves:
            example = _EXAMPLES["CAL"]
            raise NotationError(f"{self.family} trains at one setting. With a value that moves it is CAL: {example}.")

    @property
    def moves(self) -> bool:
        """Whether ε, α or the number of iterations is on a schedule."""
        return any(rule.moves for _, rule in self._rules)

    @property
    def _rules(self) -> tuple[tuple[str, EpsRule | AlphaRule | StepsRule], ...]:
        return ("ε", self.eps), ("α", self.alpha), ("i", self.steps)

    def at(self, clock: Clock, alpha_star: AlphaStar) -> Setting:
        """The setting of one epoch.

        Args:
            clock: where training stands.
            alpha_star: gives α* for ε and a number of iterations. It is called only if the policy needs it, and only
                for ε above 0.

        Returns:
            ε and α in units of 1/255, and the number of iterations rounded to a whole number (a half goes up).
        """
        eps = self.eps(clock)
        steps = self.steps(eps) if isinstance(self.steps, IterationTable) else self.steps(clock)
        steps = int(steps + 0.5)
        if isinstance(self.alpha, Fixed):
            return Setting(eps, self.alpha(clock), steps)
        return Setting(eps, self.alpha(clock, eps, lambda eps: alpha_star(eps, steps) if eps else 0.0), steps)

    def __str__(self) -> str:
        if self.family == "Standard":
            return "standard"
        terms = [symbol + ("~" if rule.moves else "=") + str(rule) for symbol, rule in self._rules]
        return f"{self.family}({','.join(terms)})"


STANDARD = Policy("Standard", Fixed(0), EqualsEps(), Fixed(1))
"""Training without an attack."""


@dataclass(frozen=True)
class AttackText:
    """An attack as it is written.

    Args:
        name: ``PGD``, or ``FGSM``, which is one step of α = ε.
        eps: ε in units of 1/255, 0 to 255.
        alpha: α in units of 1/255, above 0 and up to 255, or ``"α*"``.
        steps: the number of iterations, 1 to 1000.

    Raises:
        NotationError: a value is out of range.
    """

    name: AttackName
    eps: float
    alpha: float | Literal["α*"]
    steps: int

    def __post_init__(self) -> None:
        _check_range("ε", self.eps)
        _check_range("i", self.steps)
        if self.name == "FGSM":
            if (self.alpha, self.steps) != (self.eps, 1):
                raise NotationError("FGSM is one step of α = ε. For other values use PGD(ε=8,α=2,i=10).")
        elif not isinstance(self.alpha, str):
            _check_range("α", self.alpha)

    def __str__(self) -> str:
        if self.name == "FGSM":
            return f"FGSM(ε={spell(self.eps)})"
        alpha = self.alpha if isinstance(self.alpha, str) else spell(self.alpha)
        return f"PGD(ε={spell(self.eps)},α={alpha},i={self.steps})"


def parse(text: str) -> Policy | AttackText:
    """Read a policy or an attack; ``parse(str(p)) == p`` for each of them.

    Args:
        text: such as ``CAL(ε~U,α=α*,i=5)``, ``standard`` or ``PGD(eps=8,alpha=alpha*,i=20)``; at most 200 characters.

    Raises:
        ParseError: the text is neither; the message points at the character, ``position`` is its index.
    """
    parser = _Parser(text, _EXAMPLES["CAL"])
    word = parser.name(_FAMILIES | _ATTACKS)
    return parser.policy(_FAMILIES[word]) if word in _FAMILIES else parser.attack(_ATTACKS[word])


def parse_policy(text: str) -> Policy:
    """Read a training policy, as :func:`parse` does; anything else is a :class:`ParseError`.

    >>> parse_policy("Clean") == STANDARD
    True
    """
    parser = _Parser(text, _EXAMPLES["CAL"])
    return parser.policy(_FAMILIES[parser.name(_FAMILIES)])


def parse_attack(text: str) -> AttackText:
    """Read an attack, as :func:`parse` does; anything else is a :class:`ParseError`.

    >>> parse_attack("FGSM(eps=8)")
    AttackText(name='FGSM', eps=8.0, alpha=8.0, steps=1)
    """
    parser = _Parser(text, _EXAMPLES["PGD"])
    return parser.attack(_ATTACKS[parser.name(_ATTACKS)])


_FAMILIES: dict[str, Family] = {"standard": "Standard", "clean": "Standard", "at": "AT", "fat": "fAT", "cal": "CAL"}
_ATTACKS: dict[str, AttackName] = {"pgd": "PGD", "fgsm": "FGSM"}
_SYMBOLS = {"ε": "ε", "eps": "ε", "epsilon": "ε", "α": "α", "alpha": "α", "i": "i", "steps": "i"}
_EXAMPLES = {
    "AT": "AT(ε=8,α=8,i=3)",
    "fAT": "fAT(ε=8,α=2,i=5)",
    "CAL": "CAL(ε~U(0,12),α=α*,i=5)",
    "PGD": "PGD(ε=8,α=α*,i=20)",
    "FGSM": "FGSM(ε=8)",
}


class _Parser(Scanner):
    """Recursive descent: each method reads what it is named after."""

    def name(self, known: Mapping[str, str]) -> str:
        start = self.skip()
        word = self.word()
        if word not in known:
            kind = "an attack" if word in _ATTACKS else "a training policy" if word in _FAMILIES else ""
            hint = f"This is {kind}. " if kind else ""
            raise self.error(start, f"{hint}Expected one of {', '.join(dict.fromkeys(known.values()))}.")
        return word

    def policy(self, family: Family) -> Policy:
        if family == "Standard":
            self.end()
            return STANDARD
        start = self.position - len(family)
        rules, places = self.terms(family, "εαi")
        moving = [places[symbol] for symbol, rule in rules.items() if rule.moves]
        with self.blaming(moving[0] if moving else start):
            return Policy(family, rules["ε"], rules["α"], rules["i"])

    def attack(self, name: AttackName) -> AttackText:
        rules, places = self.terms(name, "ε" if name == "FGSM" else "εαi")
        for symbol, rule in rules.items():
            if not isinstance(rule, Fixed | EqualsEps | OptimalAlpha):
                raise self.error(places[symbol], f"Expected a number: an attack has one {symbol}.")
        eps = rules["ε"].value
        if name == "FGSM":
            return AttackText(name, eps, eps, 1)
        alpha, steps = rules["α"], int(rules["i"].value)
        if isinstance(alpha, OptimalAlpha):
            return AttackText(name, eps, "α*", steps)
        with self.blaming(places["α"]):
            return AttackText(name, eps, alpha.factor * eps if isinstance(alpha, EqualsEps) else alpha.value, steps)

    def terms(self, name: str, needed: str) -> tuple[dict[str, Any], dict[str, int]]:
        """The bracketed terms, in any order, each exactly once: what each says, and where."""
        self.example = _EXAMPLES[name]
        rules, places = {}, {}
        self.expect("(")
        while not rules or self.accept(","):
            start = self.skip()
            symbol = _SYMBOLS.get(self.word())
            if symbol is None or symbol not in needed:
                raise self.error(start, f"Expected one of {', '.join(needed)}: {name} takes no other.")
            if symbol in rules:
                raise self.error(start, f"{symbol} is given twice.")
            self.expect("=", "~")
            places[symbol] = self.skip()
            rules[symbol] = {"ε": self.eps, "α": self.alpha, "i": self.steps}[symbol]()
        closing = self.skip()
        self.expect(")", reason=", or )")
        if missing := [symbol for symbol in needed if symbol not in rules]:
            raise self.error(closing, f"{name} needs {', '.join(needed)}; missing: {', '.join(missing)}.")
        self.end()
        return rules, places

    def end(self) -> None:
        if self.skip() < len(self.text):
            raise self.error(self.position, "Expected the end of the text.")

    def eps(self) -> EpsRule:
        if fixed := self.fixed("ε"):
            return fixed
        start = self.skip()
        match self.word():
            case "u":
                return Uniform(*self.bounds("ε", (0, 12)))
            case "ru":
                low, high = sorted(self.bounds("ε", (0, 12)))
                return Uniform(high, low)
            case "lu":
                with self.blaming(self.skip()):
                    return LogUniformTop(*self.bounds("ε", (0, 12)))
        raise self.error(start, "Expected a number, U, rU or lU for ε.")

    def alpha(self) -> AlphaRule:
        start = self.skip()
        number = self.number()
        if self.accept("ε", "eps", "epsilon"):
            return self.multiple(1.0 if number is None else number, start)
        self.position = start
        if fixed := self.fixed("α"):
            return fixed
        match self.word():
            case "α" | "alpha":
                self.expect("*", reason="*: the optimal step size is α*")
                return OptimalAlpha()
            case "αu" | "alphau":
                self.ramp_bounds()
                return AlphaRamp()
        raise self.error(start, "Expected a number, ε, 2ε, ε/4, α* or αU for α.")

    def steps(self) -> StepsRule:
        if fixed := self.fixed("i"):
            return fixed
        start = self.skip()
        match self.word():
            case "i":
                self.expect("*", reason="*: the table of iterations is i*")
                return IterationTable()
            case "iu" | "lu" as kind:
                with self.blaming(self.skip()):
                    return LogUniform(*self.bounds("i", (1, 15) if kind == "iu" else (0, 12)))
        raise self.error(start, "Expected a whole number, i* or iU for i.")

    def multiple(self, factor: float, start: int) -> EqualsEps:
        """The rest of 2ε or ε/4."""
        if self.accept("/"):
            place = self.skip()
            divisor = self.number()
            if not divisor:
                raise self.error(place, "Expected a number other than 0 to divide ε by.")
            factor /= divisor
        with self.blaming(start):
            return EqualsEps(factor)

    def ramp_bounds(self) -> None:
        """The only bounds that αU has, (2ε,α*), if they are written out."""
        if not self.accept("("):
            return
        start = self.skip()
        if self.number() != 2 or not self.accept("ε", "eps", "epsilon"):
            raise self.error(start, "Expected 2ε: αU always means αU(2ε,α*).")
        self.expect(",")
        if not (self.accept("α", "alpha") and self.accept("*")):
            raise self.error(self.position, "Expected α*: αU always means αU(2ε,α*).")
        self.expect(")")

    def bounds(self, symbol: str, default: tuple[float, float]) -> tuple[float, float]:
        """``(0,12)`` after U, rU or lU; the default if no bracket follows."""
        if not self.accept("("):
            return default
        found = []
        for sign in ",)":
            start = self.skip()
            fixed = self.fixed(symbol)
            if fixed is None:
                raise self.error(start, f"Expected a number: a bound of {symbol}.")
            found.append(fixed.value)
            self.expect(sign)
        return found[0], found[1]

    def fixed(self, symbol: str) -> Fixed | None:
        """A number in the range of its symbol; None if no number stands here."""
        start = self.skip()
        number = self.number()
        if number is None:
            return None
        if self.accept("/"):
            raise self.error(
                self.position - 1, "Expected no fraction: ε and α are in units of 1/255, write 8 for 8/255."
            )
        with self.blaming(start):
            _check_range(symbol, number)
        return Fixed(number)
