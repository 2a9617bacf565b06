"""The one grammar of attacks and of what they are made of: a call, ``PGD(ε=8,α=ε/4,i=20,support=Border(ratio=0.1))``.

What is read is a tree of values that each know their place in the text, so that whoever makes objects of it can point
at what is wrong. Nothing is looked up or imported here. ε and α are in units of 1/255; a fraction of 255 is read as
what it means, 8/255 as ε = 8, and no other arithmetic is, but for multiples of ε:

>>> read_call("PGD(ε=8/255, alpha=eps/4, steps=20)").fields["ε"]
Number(at=6, value=8, over_255=True)
>>> read_call("pgd(eps=8, α=2ε)").fields["α"]
Multiple(at=13, factor=2.0)
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from vidrobust.errors import InputError
from vidrobust.notation.scanner import ParseError, Scanner
from vidrobust.notation.units import (
    UNIT,
    Over255,
    doubtful,
    doubtful_step,
    too_small,
    too_small_text,
    warn_of,
    warn_of_step,
)

EXAMPLE = "PGD(ε=8,α=α*,i=20)"
NORMS = ("Linf", "L2", "L1")
"""The norms of the package; somebody's own is written as a dotted path."""

LONGEST, DEEPEST = 4000, 20
"""Characters of a text, and brackets within brackets."""

SYMBOLS = {"ε": "ε", "eps": "ε", "epsilon": "ε", "α": "α", "alpha": "α", "i": "i", "steps": "i"}
"""The spellings of ε, α and i, in lower case."""

_PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_LITERAL = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


@dataclass(frozen=True)
class Number:
    """A number; ``over_255`` if it is written as a fraction of 255, of which ``value`` is the numerator."""

    at: int
    value: int | float
    over_255: bool = False


@dataclass(frozen=True)
class Multiple:
    """A multiple of ε, such as 2ε or ε/4."""

    at: int
    factor: float


@dataclass(frozen=True)
class Star:
    """A name with a star, such as α*."""

    at: int
    name: str


@dataclass(frozen=True)
class Word:
    """A name or a dotted path, such as ``L2``, ``last`` or ``mypackage.attacks.Mine``."""

    at: int
    path: str


@dataclass(frozen=True)
class Quoted:
    """A text in quotes."""

    at: int
    text: str


@dataclass(frozen=True)
class Items:
    """Several values in brackets."""

    at: int
    items: tuple[Value, ...]


@dataclass(frozen=True)
class Call:
    """A name with fields in brackets. The fields ε, α and i have these names, however they are spelled."""

    at: int
    path: str
    fields: dict[str, Value] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    """Where the name of each field stands."""


Value: TypeAlias = "Number | Multiple | Star | Word | Quoted | Items | Call"


def read_call(text: str, example: str = EXAMPLE, names: tuple[str, ...] = ()) -> Call:
    """The tree of a call; a name alone is a call without fields.

    Args:
        text: the call.
        example: one that would do, for error messages.
        names: of fields that may stand without them, in their order.

    Raises:
        ParseError: the text is none; the message points at the character.
    """
    reader = Reader(text, example, names)
    found = reader.call()
    if reader.skip() < len(text):
        raise reader.error(reader.position, "Expected the end of the text.")
    return found


def levels(node: Value, symbol: str, text: str, example: str = EXAMPLE, norm: str = "Linf") -> float:
    """An ε or α in units of 1/255.

    Raises:
        ParseError: it is no number, or so small that a share of the pixels' range must be meant.
    """
    if not isinstance(node, Number):
        raise ParseError(text, node.at, f"Expected a number for {symbol}: {UNIT}.", example)
    if too_small(node.value):
        raise ParseError(text, node.at, too_small_text(symbol, node.value), example)
    if symbol == "ε" and doubtful(node.value, norm) and not node.over_255:
        warn_of(node.value, norm)
    return float(node.value)


def step_levels(node: Value, eps: float, text: str) -> float:
    """An α in units of 1/255, as :func:`levels`, which is held against its ε."""
    alpha = levels(node, "α", text)
    if isinstance(node, Number) and not node.over_255 and doubtful_step(alpha, eps):
        warn_of_step(alpha, eps)
    return alpha


def read_levels(value: object) -> float:
    """An ε or α in units of 1/255, as an option or a configuration file gives it: a number, or its text.

    Raises:
        InputError: it is none.

    >>> read_levels("8/255"), read_levels(8)
    (8.0, 8.0)
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        raise InputError(f"expected a number: {UNIT}")
    reader, found = Reader(value[:LONGEST], "8/255"), None
    with suppress(ParseError):
        found = reader.value()
    if not isinstance(found, Number) or reader.skip() < len(value):
        raise InputError(f"expected a number: {UNIT}")
    return Over255(found.value) if found.over_255 else float(found.value)


class Reader(Scanner):
    """Recursive descent over a call: each method reads what it is named after.

    Attributes:
        NAMES: what a name looks like.
        names: of the fields of the outermost call that may stand without them, in their order.
    """

    NAMES: ClassVar[re.Pattern[str]] = _PATH

    def __init__(self, text: str, example: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(text, example, LONGEST)
        self.depth, self.names = 0, names

    def call(self) -> Call:
        start = self.skip()
        path = self._take_plain(self.NAMES)
        if not path:
            raise self.error(start, "An attack is written as its name and its fields by name.")
        return self.fields(Call(start, path)) if self.accept("(") else Call(start, path)

    def fields(self, call: Call) -> Call:
        """The fields of a call, behind its opening bracket."""
        self.deeper()
        while not self.accept(")"):
            start = self.skip()
            name = self.field_name(call)
            call.places[name] = start
            call.fields[name] = self.value()
            self.between(")")
        self.depth -= 1
        return call

    def field_name(self, call: Call) -> str:
        """The name of the next field, and the sign between it and its value."""
        start = self.skip()
        name = self._take_plain(self.NAMES)
        if not name or not self.is_given():
            free = next((name for name in self.names if name not in call.fields), "") if self.depth == 1 else ""
            if free:
                self.position = start
                return free
            raise self.error(start, "Expected a field by its name, such as steps=20: fields are given by name.")
        name = SYMBOLS.get(name.lower(), name)
        if name in call.fields:
            raise self.error(start, f"{name} is given twice.")
        return name

    def value(self) -> Value:
        start = self.skip()
        if quoted := self._take_plain(_QUOTED):
            return Quoted(start, quoted[1:-1])
        for opening, closing in ("()", "[]"):
            if self.accept(opening):
                return Items(start, self.items(closing))
        if literal := self._take_plain(_LITERAL):
            return self.number_from(start, literal)
        path = self._take_plain(self.NAMES)
        if not path:
            raise self.error(start, "Expected a value: a number, a name, or a call in parentheses.")
        if SYMBOLS.get(path.lower()) == "ε":
            return Multiple(start, self.factor(start, 1.0))
        if self.accept("*"):
            return Star(start, path)
        return self.fields(Call(start, path)) if self.accept("(") else Word(start, path)

    def items(self, closing: str) -> tuple[Value, ...]:
        self.deeper()
        found: list[Value] = []
        while not self.accept(closing):
            found.append(self.value())
            self.between(closing)
        self.depth -= 1
        return tuple(found)

    def number_from(self, start: int, literal: str) -> Value:
        """A number, or what it is the numerator or the factor of."""
        value = int(literal) if literal.lstrip("-").isdigit() and len(literal) < 20 else float(literal)
        here = self.position
        times = self.accept("*")
        if SYMBOLS.get(self.word()) == "ε":
            return Multiple(start, self.factor(start, float(value)))
        self.position = here
        if not times and self.accept("/"):
            if self.number() == 255:
                self.no_more(start)
                return Number(start, value, over_255=True)
            raise self.error(start, f"Expected no arithmetic but a fraction of 255 or a multiple of ε: {UNIT}.")
        self.no_more(start)
        return Number(start, value)

    def factor(self, start: int, factor: float) -> float:
        """The rest of a multiple of ε: ``/4``, ``*2`` or nothing."""
        sign = "*" if self.accept("*") else "/" if self.accept("/") else ""
        if sign:
            place = self.skip()
            number = self.number()
            if not number:
                raise self.error(place, f"Expected a number other than 0 after ε{sign}.")
            if sign == "/" and number == 255:
                raise self.error(place, f"Expected another number after ε/: {UNIT}, and ε for ε/255.")
            factor = factor * number if sign == "*" else factor / number
        self.no_more(start)
        return factor

    def no_more(self, start: int) -> None:
        """Refuse arithmetic that goes on."""
        if self._folded[self.skip() : self.position + 1] in ("*", "/", "+", "-", "^"):
            raise self.error(start, f"Expected no arithmetic but a fraction of 255 or a multiple of ε: {UNIT}.")

    def is_given(self) -> bool:
        """The sign between a field and its value: =, ~ or :=."""
        return (self.accept(":") and self.accept("=")) or self.accept("=", "~")

    def between(self, closing: str) -> None:
        """A comma, or the closing bracket, which is left."""
        if not self.accept(","):
            here = self.skip()
            self.expect(closing, reason=f", or {closing}: a call and its brackets in parentheses that match")
            self.position = here

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(self.position, f"Expected at most {DEEPEST} brackets within each other.")
