"""What a row of each kind holds: required fields, their types and ranges, and which fields identify the measurement.

Rows come from files, so nothing in them is believed before :func:`fault` has looked at it. Rows of a kind that is not
listed in :data:`KINDS` (of a user's own, or of a later version) need a ``kind`` and finite numbers only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Set
from dataclasses import dataclass, field
from typing import Any

from vidrobust.runs.keys import content_key, dumps

LARGEST = 1e12
"""No number of a row is larger than this; what is larger is damage."""

FieldCheck = Callable[[Any], bool]


def _number(value: object) -> bool:
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST  # type: ignore[operator]  # NaN fails too


def _size(value: object) -> bool:
    return _number(value) and value >= 0  # type: ignore[operator]


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _whole(value: object) -> bool:
    return type(value) is int and abs(value) <= 2**63


def _text(value: object) -> bool:
    return type(value) is str


def _flag(value: object) -> bool:
    return type(value) is bool


def _digits(value: object) -> bool:
    return type(value) is str and not value.strip("01")


def _list_of(check: FieldCheck) -> FieldCheck:
    return lambda value: type(value) is list and all(map(check, value))


def _table_of(check: FieldCheck) -> FieldCheck:
    return lambda value: type(value) is dict and all(map(check, value.values()))


def _either(*checks: FieldCheck) -> FieldCheck:
    return lambda value: any(check(value) for check in checks)


def _none(value: object) -> bool:
    return value is None


def _ranking(value: object) -> bool:
    """``[[class, probability], …]``, at least one."""
    pairs = _list_of(lambda pair: type(pair) is list and len(pair) == 2 and _text(pair[0]) and _number(pair[1]))
    return pairs(value) and bool(value)


def _retried(value: object) -> bool:
    """``{"loss": …, "clips": …, "broken": …}``."""
    if type(value) is not dict or set(value) != {"loss", "clips", "broken"} or not _text(value["loss"]):
        return False
    return _count(value["clips"]) and _count(value["broken"]) and value["broken"] <= value["clips"]


def _files(value: object) -> bool:
    """``[{"file": …, "reason": …}, …]``."""
    return _list_of(lambda item: _table_of(_text)(item) and {"file", "reason"} <= set(item))(value)


_CLIP: dict[str, FieldCheck] = {
    "video": _text,
    "source": _text,
    "label": _count,
    "frames": _list_of(_whole),
    "crop": _list_of(_whole),
    "sha256": _text,
}
"""A clip of a manifest."""


def _clips(value: object) -> bool:
    """``[{"video": …, "source": …, …}, …]``."""

    def whole(clip: Any) -> bool:
        return type(clip) is dict and clip.keys() == _CLIP.keys() and all(_CLIP[name](clip[name]) for name in _CLIP)

    return _list_of(whole)(value)


WORDS: dict[FieldCheck, str] = {
    _number: "a number",
    _size: "a number of at least 0",
    _count: "a count",
    _whole: "a whole number",
    _text: "text",
    _flag: "true or false",
    _digits: "a digit 0 or 1 for each clip",
    _ranking: "a list of classes with their probabilities",
    _files: "a list of files with reasons",
    _clips: "a list of clips with video, source, label, frames, crop and sha256",
    _retried: "a loss with the clips attacked again under it, and those of them that broke",
}
"""How a type is called in messages."""


@dataclass(frozen=True)
class Kind:
    """One kind of rows.

    Attributes:
        identity: the fields that say what was measured, with their types. Two rows of a kind that agree in all of them
            are the same measurement, of which the newer counts.
        results: the fields that say what came out.
        optional: fields of either that a row may lack.
        lengths: results whose length belongs to the identity: a longer trajectory is another measurement.
        at_most: pairs (field, bound) of counts, such as correct ≤ clips.
        agree: says what does not fit together in a row whose fields are right one by one, or None.
    """

    identity: dict[str, FieldCheck]
    results: dict[str, FieldCheck]
    optional: frozenset[str] = frozenset()
    lengths: tuple[str, ...] = ()
    at_most: tuple[tuple[str, str], ...] = ()
    agree: Callable[[dict[str, Any]], str | None] = lambda row: None
    fields: dict[str, FieldCheck] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", {**self.identity, **self.results})


def _survivors(row: dict[str, Any]) -> str | None:
    digits = row.get("survived")
    if digits is None or (len(digits) == row["clips"] and digits.count("1") == row["correct"]):
        return None
    return "survived has not one digit for each clip, and a 1 for each correct one"


def _right(row: dict[str, Any]) -> str | None:
    for name, count in {"right": "top1", "within": "top5"}.items():
        digits = row.get(name)
        if digits is not None and (len(digits) != row["clips"] or digits.count("1") != row[count]):
            return f"{name} has not one digit for each clip, and a 1 for each of {count}"
    return None


def _of_its_clips(row: dict[str, Any]) -> str | None:
    if len(row["list"]) != row["clips"]:
        return "list has not as many clips as it says"
    return None if content_key(row["list"]) == row["clips_of"] else "clips_of is not the hash of the list"


def _corrupted(row: dict[str, Any]) -> str | None:
    if (row["severity"] == 0) != (row["corruption"] == "none") or row["severity"] > 5:
        return "severity is 0 of clean clips, whose corruption is none, and 1 to 5 of others"
    return _survivors(row)


def _shown(row: dict[str, Any]) -> str | None:
    if len(row["answers"]) == len(row["severities"]):
        return None
    return "answers has not one answer for each severity"


def _steps(row: dict[str, Any]) -> str | None:
    if not row["loss"] or len(row["loss"]) != len(row["correct"]):
        return "loss and correct are not equally long lists, one entry for each step from 0"
    for step, losses in row.get("clip_loss", {}).items():
        if not step.isdecimal() or len(losses) != row["clips"]:
            return "clip_loss has not a list of one loss for each clip, by the step"
    return None


def _radii(row: dict[str, Any]) -> str | None:
    if len(row["radius"]) == row["clips"] and sum(map(bool, row["radius"])) <= row["correct"]:
        return None
    return "radius has not one number for each clip, 0 for each that is not certified to be right"


_MODEL: dict[str, FieldCheck] = {"model": _text, "seed": _whole}
_BUDGET: dict[str, FieldCheck] = {"eps": _size, "alpha": _size, "steps": _count}
_THREAT: dict[str, FieldCheck] = {
    "attack": _text,
    "search": _text,
    "norm": _text,
    "support": _text,
    "loss": _text,
    "targeted": _flag,
    "defence": _text,
    "blind": _flag,
    "clips_of": _text,
}
_MEASURED = {**_MODEL, "split": _text, **_BUDGET, "clips": _count, **_THREAT}
_OUTCOME: dict[str, FieldCheck] = {
    "correct": _count,
    "survived": _digits,
    "no_gradient": _count,
    "retried": _retried,
    "cascade": _list_of(_number),
    "sources": _count,
}
_LACKED = frozenset((*_THREAT, "survived", "no_gradient", "retried", "cascade", "sources"))
_WITHIN = (("correct", "clips"), ("no_gradient", "clips"))

KINDS: dict[str, Kind] = {
    "dataset": Kind(
        {
            "name": _text,
            "clips": _table_of(_count),
            "frames": _count,
            "size": _count,
            "contrast": _either(_list_of(_number), _none),
        },
        {
            "layout": _text,
            "classes": _list_of(_text),
            "groups": _table_of(_count),
            "skipped": _files,
            "damaged": _files,
            "missing": _count,
            "photographs": _list_of(_text),
        },
        frozenset(("contrast", "layout", "skipped", "damaged", "missing", "groups", "photographs")),
    ),
    "accuracy": Kind(
        {**_MODEL, "split": _text, "clips": _count, "clips_of": _text},
        {"top1": _count, "top5": _count, "k": _count, "right": _digits, "within": _digits},
        frozenset(("right", "within", "clips_of")),
        at_most=(("top1", "clips"), ("top5", "clips")),
        agree=_right,
    ),
    "manifest": Kind(
        {"clips_of": _text},
        {"clips": _count, "list": _clips},
        agree=_of_its_clips,
    ),
    "trajectory": Kind(
        {**_MODEL, "split": _text, "eps": _size, "alpha": _size, "clips": _count, "surface": _flag, "clips_of": _text},
        {
            "loss": _list_of(_number),
            "correct": _list_of(_count),
            "clip_loss": _table_of(_list_of(_number)),
            "no_gradient": _count,
        },
        frozenset(("split", "surface", "clip_loss", "no_gradient", "clips_of")),
        lengths=("loss",),
        at_most=(("no_gradient", "clips"),),
        agree=_steps,
    ),
    "step_size": Kind(
        {**_MODEL, "split": _text, "eps": _size, "steps": _count, "clips": _count, "surface": _flag, "clips_of": _text},
        {"alpha": _size, "low": _size, "high": _size, "interior": _flag, "sources": _count},
        frozenset(("split", "surface", "clips_of", "model", "seed", "sources")),
    ),
    "epoch": Kind(
        {**_MODEL, "epoch": _count},
        {
            "epochs": _count,
            "loss": _number,
            "correct": _count,
            "clips": _count,
            **_BUDGET,
            "gradient_norm": _number,
            "last": _list_of(_number),
        },
        frozenset(("gradient_norm", "last")),
        at_most=(("correct", "clips"),),
    ),
    "watch": Kind(
        {**_MODEL, "epoch": _count, "split": _text, **_BUDGET, "clips": _count, "clips_of": _text},
        {"clean": _count, "single": _count, "robust": _count, "loss": _number, "robust_loss": _number},
        frozenset(("clips_of",)),
        at_most=(("clean", "clips"), ("single", "clips"), ("robust", "clips")),
    ),
    "stopped": Kind(
        {**_MODEL, "epoch": _count},
        {"best_epoch": _count, "reason": _text, "stop": _flag},
        frozenset(("stop",)),
    ),
    "fallback": Kind(
        {**_MODEL, "epoch": _count},
        {"best_epoch": _count, "reason": _text, "policy": _text},
    ),
    "robustness": Kind(_MEASURED, _OUTCOME, _LACKED, at_most=_WITHIN, agree=_survivors),
    "difficulty": Kind({**_MEASURED, "contrast": _number}, _OUTCOME, _LACKED, at_most=_WITHIN, agree=_survivors),
    "views": Kind(
        {
            **_MEASURED,
            "level": _text,
            "views": _either(_count, _text),
            "videos": _count,
            "average": _either(_text, _none),
            "attacked": _text,
        },
        _OUTCOME,
        _LACKED,
        at_most=_WITHIN,
        agree=_survivors,
    ),
    "gap": Kind(
        {"epoch": _count, **_MEASURED},
        _OUTCOME,
        _LACKED,
        at_most=_WITHIN,
        agree=_survivors,
    ),
    "certificate": Kind(
        {
            **_MODEL,
            "split": _text,
            "clips": _count,
            "certificate": _text,
            "norm": _text,
            "support": _text,
            "defence": _text,
            "unit": _text,
            "clips_of": _text,
        },
        {"correct": _count, "abstained": _count, "radius": _list_of(_size), "draws": _count, "sources": _count},
        at_most=(("correct", "clips"), ("abstained", "clips")),
        agree=_radii,
    ),
    "masking": Kind(
        {**_MODEL, "clips": _count, "noise_eps": _size, "huge_eps": _size, "clips_of": _text},
        {"zero_gradient": _count, "noise_correct": _count, "pgd_correct": _count, "huge_correct": _count},
        frozenset(("clips_of",)),
        at_most=tuple((name, "clips") for name in ("zero_gradient", "noise_correct", "pgd_correct", "huge_correct")),
    ),
    "corruption": Kind(
        {
            **_MODEL,
            "split": _text,
            "convention": _text,
            "corruption": _text,
            "severity": _count,
            "draws": _whole,
            "clips": _count,
            "clips_of": _text,
        },
        {
            "group": _text,
            "counted": _flag,
            "correct": _count,
            "survived": _digits,
            "sources": _count,
            "reference": _flag,
        },
        frozenset(("clips_of", "reference")),
        at_most=(("correct", "clips"),),
        agree=_corrupted,
    ),
    "corruption_example": Kind(
        {"file": _text},
        {
            **_MODEL,
            "convention": _text,
            "corruption": _text,
            "severities": _list_of(_count),
            "video": _text,
            "label": _text,
            "answers": _ranking,
        },
        agree=_shown,
    ),
    "example": Kind(
        {"file": _text},
        {
            "video": _text,
            "label": _text,
            "model": _text,
            **_BUDGET,
            **_THREAT,
            "no_gradient": _count,
            "gradients": _count,
            "clean_top": _ranking,
            "adversarial_top": _ranking,
        },
        frozenset((*_THREAT, "no_gradient", "gradients")),
    ),
}
"""Every kind of rows that this version writes."""

USUAL: dict[str, object] = {
    "search": "PGD",
    "norm": "Linf",
    "support": "WholeClip",
    "loss": "cross_entropy",
    "targeted": False,
    "defence": "",
    "blind": False,
    "attack": "none",
}
"""What a row that lacks one of these fields was measured with: earlier versions did not write them."""

_PLAIN = re.compile(r"PGD\((ε|eps)=[^(),=]+,(α|alpha)=[^(),=]+,(i|steps)=\d+\)")
"""A PGD of which the text says no more than the row's ``eps``, ``alpha`` and ``steps`` do."""


def fault(row: object) -> str | None:
    """Why something that was read is no row, or None if it is one.

    >>> fault({"kind": "accuracy", "model": "standard", "seed": 0, "split": "test", "top1": 9, "top5": 9, "k": 5})
    'accuracy: clips is missing'
    >>> fault({"kind": "accuracy", "model": "standard", "seed": 0, "split": "test", "top1": 7, "top5": 9, "k": 5,
    ...        "clips": 6})
    'accuracy: top1 is 7, more than clips, which is 6'
    """
    if type(row) is not dict or type(row.get("kind")) is not str:
        return "it is no object with a kind"
    kind = KINDS.get(row["kind"])
    if kind is None:
        return _rest(row, row.keys())
    for name, check in kind.fields.items():
        if name not in row:
            if name not in kind.optional:
                return f"{row['kind']}: {name} is missing"
        elif not check(row[name]):
            return f"{row['kind']}: {name} is not {WORDS.get(check, 'as it must be')}"
    for name, bound in kind.at_most:
        if row.get(name, 0) > row[bound]:
            return f"{row['kind']}: {name} is {row[name]}, more than {bound}, which is {row[bound]}"
    disagreement = kind.agree(row)
    if disagreement is not None:
        return f"{row['kind']}: {disagreement}"
    return _rest(row, row.keys() - kind.fields.keys())


def _rest(row: dict[str, Any], names: Set[str]) -> str | None:
    """What is wrong with fields that the kind does not list."""
    if "weights" in row and not _text(row["weights"]):
        return f"{row['kind'][:40]}: weights is not text"
    wrong = next((name for name in names if not _finite(row[name])), None)
    return None if wrong is None else f"{row['kind'][:40]}: {wrong[:40]} is not finite"


def _finite(value: object) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is dict:
        return all(map(_finite, value.values()))
    return all(map(_finite, value)) if type(value) is list else True


def row_identity(row: dict[str, Any]) -> Hashable:
    """What a row is a measurement of: two rows with the same identity measure the same, and the newer one counts.

    The identity is made of all fields but the results of the row's kind and the hash of the weights. A field that the
    kind does not list belongs to it, so that nothing is taken for the same that may differ.

    >>> old = {"kind": "robustness", "model": "standard", "seed": 0, "split": "test", "eps": 8.0, "alpha": 2.0,
    ...        "steps": 10, "clips": 100, "correct": 40}
    >>> row_identity(old) == row_identity({**old, "correct": 41, "attack": "PGD(ε=8,α=α*,i=10)", "norm": "Linf"})
    True
    >>> row_identity(old) == row_identity({**old, "norm": "L2"})
    False
    """
    kind = KINDS.get(row["kind"])
    if kind is None:
        return dumps(row)
    found = []
    for name, value in row.items():
        if name in kind.results or name == "weights" or value is None:
            continue
        if name in USUAL and (value == USUAL[name] or (name == "attack" and _PLAIN.fullmatch(value))):
            continue
        found.append((name, dumps(value) if type(value) in (list, dict) else value))
    found += [(name, len(row[name])) for name in kind.lengths]
    return frozenset(found)
