"""Recursive descent over one line of notation, to policies and attacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from vidrobust.notation.attack_text import ATTACK_NAMES
from vidrobust.notation.calls import NORMS, SYMBOLS
from vidrobust.notation.families import FAMILIES, MODIFIERS, Option
from vidrobust.notation.policies import Modifier, Policy, check_range
from vidrobust.notation.scanner import Scanner
from vidrobust.notation.schedules import (
    Adaptive,
    AlphaRamp,
    AlphaRule,
    AutoAlpha,
    EpsRule,
    EqualsEps,
    Fixed,
    IterationTable,
    LogUniform,
    LogUniformTop,
    OptimalAlpha,
    Paced,
    StepsRule,
    Uniform,
)
from vidrobust.notation.units import UNIT, doubtful, doubtful_step, warn_of, warn_of_step

METHOD_NAMES: dict[str, str] = {"clean": "standard", **{name.lower(): name for name in FAMILIES}}
_MODIFIERS = {name.lower(): name for name in MODIFIERS}
LEGEND = {"u": "ε", "ru": "ε", "lu": "ε", "αu": "α", "alphau": "α", "iu": "i"}
"""The names of the slides' schedules, and what each is a schedule of."""
DRAWN = {word: symbol for word, symbol in SYMBOLS.items() if word != "steps"}
"""What the slides' legend says to be drawn, ``α~U(2ε,α*)``."""
_LARGEST = ("ε_max", "eps_max", "epsilon_max", "εmax", "epsmax")
WORDS = {word.lower(): word for word in (*NORMS, "epoch", "step")}
"""Words that options take, however they are typed."""
EXAMPLES = {
    **{name: family.example for name, family in FAMILIES.items()},
}


class Parser(Scanner):
    """Recursive descent: each method reads what it is named after."""

    numbers: list[tuple[int, str, float]]
    """Where each ε, α and i of these brackets stands."""

    plain: list[tuple[str, float]]
    """The ε among them that are not written as fractions of 255."""

    def definition(self) -> EpsRule | AlphaRule | StepsRule:
        """A line of the slides' legend, ``U:=U(0,12)`` or ``α~U(2ε,α*)``: the schedule that it defines."""
        self.example, self.numbers, self.plain = "U:=U(0,12)", [], []
        name = self.word()
        if not (self.accept("~") if name in DRAWN else self.becomes()):
            raise self.error(self.position, "Expected :=, as in U:=U(0,12); by itself a schedule is no policy.")
        found = {"ε": self.eps, "α": self.alpha, "i": self.steps}[{**LEGEND, **DRAWN}[name]]()
        self.end()
        self.check_ranges("Linf")
        return found

    def name(self, known: Mapping[str, str], besides: Iterable[str] = ()) -> str:
        start = self.skip()
        word = self.word()
        if self.accept("-"):
            word += f"-{self.word()}"
        if word not in known:
            kind = "an attack" if word in ATTACK_NAMES else "a training policy" if word in METHOD_NAMES else ""
            hint = f"This is {kind}. " if kind else ""
            names = ", ".join(dict.fromkeys((*known.values(), *besides)))
            raise self.error(start, f"{hint}Expected one of {names}.")
        return word

    def whole_policy(self, family: str) -> Policy:
        start = self.position - len(family)
        method = self.policy(family)
        modifiers = []
        while self.accept("+"):
            modifiers.append(self.modifier())
        self.end()
        with self.blaming(start):
            return replace(method, modifiers=tuple(modifiers))

    def policy(self, family: str) -> Policy:
        start = self.position - len(family)
        if FAMILIES[family].mixes:
            parts = self.parts(family)
            with self.blaming(start):
                return Policy(family, parts=parts)
        rules, options, places = self.terms(family)
        moving = [places[symbol] for symbol, rule in rules.items() if symbol in places and rule.moves]
        with self.blaming(moving[0] if moving and FAMILIES[family].moves is False else start):
            return Policy(family, rules["ε"], rules["α"], rules["i"], tuple(options.items()))

    def parts(self, family: str) -> tuple[Policy, ...]:
        """The methods that a mixture mixes."""
        self.example = EXAMPLES[family]
        parts: list[Policy] = []
        self.expect("(")
        while not parts or self.accept(","):
            parts.append(self.policy(METHOD_NAMES[self.name(METHOD_NAMES)]))
        self.expect(")", reason=", or )")
        return tuple(parts)

    def modifier(self) -> Modifier:
        """``AWP(γ=0.005)``, its number optional."""
        start = self.skip()
        name = _MODIFIERS[self.name(_MODIFIERS)]
        option, value = MODIFIERS[name], MODIFIERS[name].default
        if self.accept("("):
            self.accept(option.symbol, option.spelling) and self.expect("=")
            value = self.number()
            self.expect(")")
        if not isinstance(value, float):
            raise self.error(self.position, f"Expected a number: {name} takes {option.symbol}.")
        with self.blaming(start):
            return Modifier(name, value)

    def terms(self, family: str) -> tuple[dict[str, Any], dict[str, float | str], dict[str, int]]:
        """The rules of a method, with their defaults; its options; and where each stands."""
        about = FAMILIES[family]
        if not about.terms and not self.accept("("):
            return dict(about.defaults), {}, {}
        self.position -= not about.terms
        return self.bracketed(family, about.terms, about.defaults, about.options)

    def bracketed(
        self, name: str, terms: str, defaults: Mapping[str, Any], options: tuple[Option, ...]
    ) -> tuple[dict[str, Any], dict[str, float | str], dict[str, int]]:
        """Terms and options in brackets, in any order, each at most once, and each term that has no default."""
        self.example, self.numbers, self.plain = EXAMPLES[name], [], []
        rules: dict[str, Any] = {}
        values: dict[str, float | str] = {}
        places: dict[str, int] = {}
        known = {spelling: option for option in options for spelling in (option.symbol.lower(), option.spelling)}
        self.expect("(")
        while not places or self.accept(","):
            start = self.skip()
            word = self.word()
            symbol = "ε" if word in _LARGEST and name in FAMILIES and FAMILIES[name].eps_max else SYMBOLS.get(word, "")
            option = known.get(word)
            if not (symbol and symbol in terms) and option is None:
                allowed = ", ".join((*terms, *(option.symbol for option in options)))
                raise self.error(start, f"Expected one of {allowed}: {name} takes no other.")
            key = symbol if symbol and symbol in terms else option.symbol if option else ""
            if key in places:
                raise self.error(start, f"{key} is given twice.")
            self.becomes() or self.expect("=", "~")
            places[key] = self.skip()
            if option is not None and key == option.symbol:
                values[key] = self.value(option)
            elif word in _LARGEST:
                rules[key] = self.largest()
            else:
                rules[key] = {"ε": self.eps, "α": self.alpha, "i": self.steps}[key]()
        closing = self.skip()
        self.expect(")", reason=", or )")
        needed = [symbol for symbol in terms if symbol not in defaults]
        if missing := [symbol for symbol in needed if symbol not in rules]:
            raise self.error(closing, f"{name} needs {', '.join(needed)}; missing: {', '.join(missing)}.")
        self.check_ranges(str(values.get("norm", "Linf")))
        return {**defaults, **rules}, values, places

    def check_ranges(self, norm: str) -> None:
        """Point at a number beyond what its norm, which may stand after it, allows."""
        for place, symbol, number in self.numbers:
            with self.blaming(place):
                check_range(symbol, number, norm)
        largest = max((number for _, symbol, number in self.numbers if symbol == "ε"), default=0.0)
        if doubtful(largest, norm) and ("ε", largest) in self.plain:
            warn_of(largest, norm)
        for symbol, alpha in self.plain:
            if symbol == "α" and doubtful_step(alpha, largest):
                warn_of_step(alpha, largest)

    def value(self, option: Option) -> float | str:
        """The number or the words of an option."""
        start = self.skip()
        if isinstance(option.default, str):
            word = self.phrase()
            value: float | str | None = WORDS.get(word.lower(), word)
        else:
            value = self.number()
        with self.blaming(start):
            option.check("" if value is None else value)
        assert value is not None
        return value

    def largest(self) -> Adaptive:
        """The number after ε_max."""
        fixed = self.fixed("ε")
        if fixed is None:
            raise self.error(self.position, "Expected a number: the largest ε.")
        return Adaptive(fixed.value)

    def becomes(self) -> bool:
        """Does := stand here, as the slides define their schedules? If so, it is read."""
        start = self.skip()
        if self.accept(":") and self.accept("="):
            return True
        self.position = start
        return False

    def end(self) -> None:
        if self.skip() < len(self.text):
            raise self.error(self.position, "Expected the end of the text.")

    def eps(self) -> EpsRule:
        if fixed := self.fixed("ε"):
            return fixed
        start = self.skip()
        match self.word():
            case "u" | "ru" | "lu" if self.becomes():
                return self.eps()
            case "u":
                return Uniform(*self.bounds("ε", (0, 12)))
            case "ru":
                low, high = sorted(self.bounds("ε", (0, 12)))
                return Uniform(high, low)
            case "lu":
                with self.blaming(self.skip()):
                    return LogUniformTop(*self.bounds("ε", (0, 12)))
            case "paced":
                return Paced(*self.bounds("ε", (0, 12)))
            case "auto":
                return Adaptive(self.bracketed_number("ε", 12.0))
        raise self.error(start, "Expected a number, U, rU, lU, paced or auto for ε.")

    def alpha(self) -> AlphaRule:
        start = self.skip()
        number = self.number()
        times = number is not None and self.accept("*")
        if self.accept("ε", "eps", "epsilon"):
            return self.multiple(1.0 if number is None else number, start)
        self.position = start
        if times:
            raise self.error(start, f"Expected no arithmetic: {UNIT}.")
        if fixed := self.fixed("α"):
            return fixed
        match self.word():
            case "αu" | "alphau" if self.becomes():
                return self.alpha()
            case "u":
                if not self.ramp_bounds():
                    raise self.error(self.position, "Expected (2ε,α*): for α, U is αU := U(2ε,α*).")
                return AlphaRamp()
            case "α" | "alpha":
                self.expect("*", reason="*: the optimal step size is α*")
                return OptimalAlpha()
            case "αu" | "alphau":
                self.ramp_bounds()
                return AlphaRamp()
            case "auto":
                return AutoAlpha()
        raise self.error(start, "Expected a number, ε, 2ε, ε/4, α*, αU or auto for α.")

    def steps(self) -> StepsRule:
        if fixed := self.fixed("i"):
            return fixed
        start = self.skip()
        match self.word():
            case "i":
                self.expect("*", reason="*: the table of iterations is i*")
                return IterationTable()
            case "iu" if self.becomes():
                return self.steps()
            case "iu" | "lu" as kind:
                with self.blaming(self.skip()):
                    return LogUniform(*self.bounds("i", (1, 15) if kind == "iu" else (0, 12)))
        raise self.error(start, "Expected a whole number, i* or iU for i.")

    def multiple(self, factor: float, start: int) -> EqualsEps:
        """The rest of 2ε, ε/4 or ε*2."""
        if self.accept("*"):
            place = self.skip()
            times = self.number()
            if not times:
                raise self.error(place, "Expected a number other than 0 to multiply ε by.")
            factor *= times
        elif self.accept("/"):
            place = self.skip()
            divisor = self.number()
            if not divisor:
                raise self.error(place, "Expected a number other than 0 to divide ε by.")
            if divisor == 255:
                raise self.error(place, f"Expected another number after ε/: {UNIT}, and ε for ε/255.")
            factor /= divisor
        with self.blaming(start):
            return EqualsEps(factor)

    def ramp_bounds(self) -> bool:
        """The only bounds that αU has, (2ε,α*); were they written out?"""
        if not self.accept("("):
            return False
        start = self.skip()
        if self.number() != 2 or not self.accept("ε", "eps", "epsilon"):
            raise self.error(start, "Expected 2ε: αU always means αU(2ε,α*).")
        self.expect(",")
        if not (self.accept("α", "alpha") and self.accept("*")):
            raise self.error(self.position, "Expected α*: αU always means αU(2ε,α*).")
        self.expect(")")
        return True

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

    def bracketed_number(self, symbol: str, default: float) -> float:
        """``(12)`` after auto; the default if no bracket follows."""
        if not self.accept("("):
            return default
        start = self.skip()
        fixed = self.fixed(symbol)
        if fixed is None:
            raise self.error(start, f"Expected a number: the largest {symbol}.")
        self.expect(")")
        return fixed.value

    def fixed(self, symbol: str) -> Fixed | None:
        """A number, to be held against the range of its symbol; None if no number stands here."""
        start = self.skip()
        number = self.number()
        if number is None:
            return None
        sign, over_255 = self._folded[self.skip() : self.position + 1], False
        if sign == "/" and symbol != "i" and self.accept("/") and self.number() == 255:
            over_255 = True
            sign = self._folded[self.skip() : self.position + 1]
        if sign in ("/", "*", "+", "-", "^"):
            raise self.error(start, f"Expected a number, a fraction of 255 or, for α, a multiple of ε: {UNIT}.")
        self.numbers.append((start, symbol, number))
        if not over_255:
            self.plain.append((symbol, number))
        return Fixed(number)
