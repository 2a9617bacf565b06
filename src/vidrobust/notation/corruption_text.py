"""Corruptions as text: a convention with some of its kinds and severities, ``ucf101-p(kinds=fog,severity=3)``.

The text is a call of :mod:`vidrobust.notation.calls`, whose names may hold hyphens and whose numbers may be ranges.
Which conventions and kinds there are is not known here (:mod:`vidrobust.evaluation.corruptions`).

>>> asked = read_corruptions("ucf101-p(kinds=(jumble, freeze), severity=1-3)")
>>> asked.convention.path, [kind.path for kind in asked.kinds], asked.severities
('ucf101-p', ['jumble', 'freeze'], (1, 2, 3))
>>> read_corruptions("minikinetics-c").severities
(1, 2, 3, 4, 5)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vidrobust.notation.calls import Call, Items, Number, Reader, Value, Word
from vidrobust.notation.scanner import ParseError

EXAMPLE = "ucf101-p(kinds=(jumble,freeze),severity=1-3)"

SEVERITIES = (1, 2, 3, 4, 5)
"""Every convention grades its kinds by these."""


@dataclass(frozen=True)
class AskedCorruptions:
    """What a text asks for.

    Attributes:
        text: the text.
        convention: its name, with its place in the text.
        kinds: the names of its kinds, with their places; empty for all.
        severities: ascending, each once.
    """

    text: str
    convention: Word
    kinds: tuple[Word, ...] = ()
    severities: tuple[int, ...] = SEVERITIES

    def error(self, position: int, reason: str) -> ParseError:
        """The error that points at a place of the text."""
        return ParseError(self.text, position, reason, EXAMPLE)


def read_corruptions(text: str) -> AskedCorruptions:
    """What a text asks for.

    Raises:
        ParseError: it is no such text; the message points at the character.
    """
    reader = _Reader(text, EXAMPLE)
    call = reader.call()
    if reader.skip() < len(text):
        raise reader.error(reader.position, "Expected the end of the text.")
    unknown = next((name for name in call.fields if name not in ("kinds", "severity")), None)
    if unknown is not None:
        raise reader.error(
            call.places[unknown], f"there is no field {unknown!r}; a convention takes kinds and severity"
        )
    kinds = tuple(_word(one, reader) for one in _items(call, "kinds"))
    severities = {level for one in _items(call, "severity") for level in _levels(one, reader)}
    return AskedCorruptions(text, Word(call.at, call.path), kinds, tuple(sorted(severities)) or SEVERITIES)


def _items(call: Call, name: str) -> tuple[Value, ...]:
    """The values of a field: one, or several in brackets."""
    found = call.fields.get(name)
    if found is None:
        return ()
    return found.items if isinstance(found, Items) else (found,)


def _word(value: Value, reader: Reader) -> Word:
    if not isinstance(value, Word):
        raise reader.error(value.at, "Expected the name of a kind, or several in brackets.")
    return value


def _levels(value: Value, reader: Reader) -> tuple[int, ...]:
    numbers = value.items if isinstance(value, Items) else (value,)
    found = tuple(one.value for one in numbers if isinstance(one, Number) and one.value in SEVERITIES)
    if len(found) != len(numbers) or not found:
        raise reader.error(value.at, "Expected a severity from 1 to 5, several in brackets, or a range such as 1-3.")
    return found  # type: ignore[return-value]


class _Reader(Reader):
    """A reader of names with hyphens, and of ranges of whole numbers."""

    NAMES = re.compile(r"[^\W\d][\w-]*")

    def number_from(self, start: int, literal: str) -> Value:
        """A whole number, or all from one to another."""
        last = self._take_plain(re.compile(r"[0-9]{1,2}")) if self.accept("-") else literal
        if not (literal.isdigit() and last.isdigit() and len(literal) < 3 and int(literal) <= int(last)):
            raise self.error(start, "Expected a severity from 1 to 5, several in brackets, or a range such as 1-3.")
        numbers = tuple(Number(start, number) for number in range(int(literal), int(last) + 1))
        return numbers[0] if len(numbers) == 1 else Items(start, numbers)
