"""Reading one line of the notation, symbol by symbol, with errors that point at the character."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from vidrobust.errors import NotationError, VidrobustError

_LOOK_ALIKES = {"ɛ": "ε", "∊": "ε", "ɑ": "α", "ς": "σ", "∗": "*", "⋆": "*", "∼": "~", "−": "-"}
"""What people paste and what Unicode's own folding (𝛼 to α, ϵ to ε) leaves as it is."""

_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?")
_WORD = re.compile(r"[a-zαβγεκστ_]+")
_LONGEST = 400


class ParseError(NotationError):
    """A text that is no policy and no attack.

    Attributes:
        text: what was read.
        position: the index of the offending character in ``text``; ``len(text)`` if something is missing at its end.
        reason: what is wrong there, or what was expected.
        example: a text that would do.
    """

    def __init__(self, text: str, position: int, reason: str, example: str) -> None:
        super().__init__(text, position, reason, example)
        self.text, self.position, self.reason, self.example = text, position, reason, example

    def __str__(self) -> str:
        return f"{pointed(self.text, self.position)}\n{self.reason}\nExample: {self.example}"


def pointed(text: str, position: int) -> str:
    """The text, or what surrounds the position in a long one, with a caret on the line below.

    >>> print(pointed("AT(ε=8;α=8)", 6))
    AT(ε=8;α=8)
          ^
    """
    start, end = (0, len(text)) if len(text) <= 100 else (max(0, position - 60), position + 30)
    before, after = (
        "".join(c if c.isprintable() else "·" for c in part) for part in (text[start:position], text[position:end])
    )
    before, after = ("…" if start else "") + before, after + ("…" if end < len(text) else "")
    columns = sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in before)
    return f"{before}{after}\n{' ' * columns}^"


class Scanner:
    """A line and how far it has been read. Blanks between symbols count for nothing, nor does upper or lower case.

    Args:
        text: the line.
        example: a text that would do, for error messages.
        longest: characters that it may have.

    Raises:
        ParseError: the line is far too long to be notation.
    """

    def __init__(self, text: str, example: str, longest: int = _LONGEST) -> None:
        self.text, self.position, self.example = text, 0, example
        if len(text) > longest:
            raise self.error(longest, f"Expected at most {longest} characters, not {len(text)}.")
        self._plain = "".join(map(_plain, text))  # as long as the text, so that positions are the same in all three
        self._folded = "".join(map(_lower, self._plain))

    def error(self, position: int, reason: str) -> ParseError:
        """The error that points at a position."""
        return ParseError(self.text, position, reason, self.example)

    @contextmanager
    def blaming(self, position: int) -> Iterator[None]:
        """Within, the error of a value that cannot be made points at this position."""
        try:
            yield
        except ParseError:
            raise
        except VidrobustError as error:
            raise self.error(position, str(error)) from None

    def skip(self) -> int:
        """Go over blanks and return where they end."""
        while self._folded[self.position : self.position + 1].isspace():
            self.position += 1
        return self.position

    def word(self) -> str:
        """The word that stands here, in lower case, or nothing."""
        return self._take(_WORD)

    def number(self) -> float | None:
        """The number that stands here; infinite where it is too large for a float."""
        digits = self._take(_NUMBER)
        return float(digits) if digits else None

    def phrase(self) -> str:
        """What stands before the next comma or bracket that closes more than was opened, without blanks."""
        depth, start = 0, self.skip()
        while self.position < len(self.text):
            character = self._folded[self.position]
            if depth == 0 and character in ",)":
                break
            depth += (character == "(") - (character == ")")
            self.position += 1
        return "".join(self.text[start : self.position].split())

    def accept(self, *wanted: str) -> bool:
        """Whether one of these words or signs stands here; if so, it is read."""
        start = self.skip()
        found = self.word() or self._folded[start : start + 1]
        self.position = start + len(found) if found in wanted else start
        return found in wanted

    def expect(self, *wanted: str, reason: str = "") -> None:
        """Read one of these words or signs.

        Raises:
            ParseError: something else stands here.
        """
        if not self.accept(*wanted):
            raise self.error(self.position, f"Expected {reason or ' or '.join(wanted)}.")

    def _take(self, pattern: re.Pattern[str]) -> str:
        return self._taken(pattern, self._folded)

    def _take_plain(self, pattern: re.Pattern[str]) -> str:
        """What stands here with its upper and lower case."""
        return self._taken(pattern, self._plain)

    def _taken(self, pattern: re.Pattern[str], text: str) -> str:
        match = pattern.match(text, self.skip())
        self.position = match.end() if match else self.position
        return match.group() if match else ""


def _plain(character: str) -> str:
    """One character as it is read: the plain form of a look-alike. Only ASCII digits are digits."""
    plain = _LOOK_ALIKES.get(character) or unicodedata.normalize("NFKC", character)
    return character if len(plain) != 1 or plain.isdigit() else plain


def _lower(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character
