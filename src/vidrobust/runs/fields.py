"""What the value of a row's field may be: checks that believe nothing of what was read, and their names in messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LARGEST = 1e12
"""No number of a row is larger than this; what is larger is damage."""

FieldCheck = Callable[[Any], bool]


def is_number(value: object) -> bool:
    """A finite number, not too large."""
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST  # type: ignore[operator]  # NaN fails too


def is_size(value: object) -> bool:
    """A number of at least 0."""
    return is_number(value) and value >= 0  # type: ignore[operator]


def is_count(value: object) -> bool:
    """A whole number of at least 0."""
    return type(value) is int and 0 <= value <= LARGEST


def is_whole(value: object) -> bool:
    """A whole number of at most 64 bits."""
    return type(value) is int and abs(value) <= 2**63


def is_text(value: object) -> bool:
    """Text."""
    return type(value) is str


def is_flag(value: object) -> bool:
    """True or false."""
    return type(value) is bool


def is_digits(value: object) -> bool:
    """Text of the digits 0 and 1."""
    return type(value) is str and not value.strip("01")


def list_of(check: FieldCheck) -> FieldCheck:
    """A list of values that pass a check."""
    return lambda value: type(value) is list and all(map(check, value))


def table_of(check: FieldCheck) -> FieldCheck:
    """An object whose values pass a check."""
    return lambda value: type(value) is dict and all(map(check, value.values()))


def either(*checks: FieldCheck) -> FieldCheck:
    """A value that passes one of the checks."""
    return lambda value: any(check(value) for check in checks)


def is_none(value: object) -> bool:
    """No value."""
    return value is None


def is_ranking(value: object) -> bool:
    """``[[class, probability], …]``, at least one."""
    pairs = list_of(lambda pair: type(pair) is list and len(pair) == 2 and is_text(pair[0]) and is_number(pair[1]))
    return pairs(value) and bool(value)


def is_retried(value: object) -> bool:
    """``{"loss": …, "clips": …, "broken": …}``."""
    if type(value) is not dict or set(value) != {"loss", "clips", "broken"} or not is_text(value["loss"]):
        return False
    return is_count(value["clips"]) and is_count(value["broken"]) and value["broken"] <= value["clips"]


def is_files(value: object) -> bool:
    """``[{"file": …, "reason": …}, …]``."""
    return list_of(lambda item: table_of(is_text)(item) and {"file", "reason"} <= set(item))(value)


_CLIP: dict[str, FieldCheck] = {
    "video": is_text,
    "source": is_text,
    "label": is_count,
    "frames": list_of(is_whole),
    "crop": list_of(is_whole),
    "sha256": is_text,
}
"""A clip of a manifest."""


def is_clips(value: object) -> bool:
    """``[{"video": …, "source": …, …}, …]``."""

    def whole(clip: Any) -> bool:
        return type(clip) is dict and clip.keys() == _CLIP.keys() and all(_CLIP[name](clip[name]) for name in _CLIP)

    return list_of(whole)(value)


WORDS: dict[FieldCheck, str] = {
    is_number: "a number",
    is_size: "a number of at least 0",
    is_count: "a count",
    is_whole: "a whole number",
    is_text: "text",
    is_flag: "true or false",
    is_digits: "a digit 0 or 1 for each clip",
    is_ranking: "a list of classes with their probabilities",
    is_files: "a list of files with reasons",
    is_clips: "a list of clips with video, source, label, frames, crop and sha256",
    is_retried: "a loss with the clips attacked again under it, and those of them that broke",
}
"""How a type is called in messages."""
