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

from vidrobust.runs.agreement import (
    answers_agree,
    corruption_agrees,
    manifest_agrees,
    radii_agree,
    steps_agree,
    survivors_agree,
    top_counts_agree,
    watched_counts_agree,
)
from vidrobust.runs.fields import (
    WORDS,
    FieldCheck,
    either,
    is_clips,
    is_count,
    is_digits,
    is_files,
    is_flag,
    is_none,
    is_number,
    is_ranking,
    is_retried,
    is_size,
    is_text,
    is_whole,
    list_of,
    table_of,
)
from vidrobust.runs.keys import dumps


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


_MODEL: dict[str, FieldCheck] = {"model": is_text, "seed": is_whole}
_BUDGET: dict[str, FieldCheck] = {"eps": is_size, "alpha": is_size, "steps": is_count}
_THREAT: dict[str, FieldCheck] = {
    "attack": is_text,
    "search": is_text,
    "norm": is_text,
    "support": is_text,
    "loss": is_text,
    "targeted": is_flag,
    "defence": is_text,
    "blind": is_flag,
    "clips_of": is_text,
}
_SWEPT = {**_MODEL, "split": is_text, "eps": is_size, "clips": is_count, "surface": is_flag, "clips_of": is_text}
_MEASURED = {**_MODEL, "split": is_text, **_BUDGET, "clips": is_count, **_THREAT}
_OUTCOME: dict[str, FieldCheck] = {
    "correct": is_count,
    "survived": is_digits,
    "no_gradient": is_count,
    "retried": is_retried,
    "cascade": list_of(is_number),
    "sources": is_count,
    "queries": list_of(is_count),
}
_LACKED = frozenset((*_THREAT, "survived", "no_gradient", "retried", "cascade", "sources", "queries"))
_WITHIN = (("correct", "clips"), ("no_gradient", "clips"))

KINDS: dict[str, Kind] = {
    "dataset": Kind(
        {
            "name": is_text,
            "clips": table_of(is_count),
            "frames": is_count,
            "size": is_count,
            "contrast": either(list_of(is_number), is_none),
        },
        {
            "layout": is_text,
            "classes": list_of(is_text),
            "groups": table_of(is_count),
            "skipped": is_files,
            "damaged": is_files,
            "missing": is_count,
            "photographs": list_of(is_text),
        },
        frozenset(("contrast", "layout", "skipped", "damaged", "missing", "groups", "photographs")),
    ),
    "accuracy": Kind(
        {**_MODEL, "split": is_text, "clips": is_count, "clips_of": is_text},
        {"top1": is_count, "top5": is_count, "k": is_count, "right": is_digits, "within": is_digits},
        frozenset(("right", "within", "clips_of")),
        at_most=(("top1", "clips"), ("top5", "clips")),
        agree=top_counts_agree,
    ),
    "manifest": Kind({"clips_of": is_text}, {"clips": is_count, "list": is_clips}, agree=manifest_agrees),
    "trajectory": Kind(
        {**_SWEPT, "alpha": is_size},
        {
            "loss": list_of(is_number),
            "correct": list_of(is_count),
            "survived": table_of(is_digits),
            "clip_loss": table_of(list_of(is_number)),
            "no_gradient": is_count,
        },
        frozenset(("split", "surface", "survived", "clip_loss", "no_gradient", "clips_of")),
        lengths=("loss",),
        at_most=(("no_gradient", "clips"),),
        agree=steps_agree,
    ),
    "step_size": Kind(
        {**_SWEPT, "steps": is_count},
        {"alpha": is_size, "low": is_size, "high": is_size, "interior": is_flag, "sources": is_count},
        frozenset(("split", "surface", "clips_of", "model", "seed", "sources")),
    ),
    "epoch": Kind(
        {**_MODEL, "epoch": is_count},
        {
            "epochs": is_count,
            "loss": is_number,
            "correct": is_count,
            "clips": is_count,
            **_BUDGET,
            "gradient_norm": is_number,
            "last": list_of(is_number),
        },
        frozenset(("gradient_norm", "last")),
        at_most=(("correct", "clips"),),
    ),
    "watch": Kind(
        {**_MODEL, "epoch": is_count, "split": is_text, **_BUDGET, "clips": is_count, "clips_of": is_text},
        {
            "clean": is_count,
            "single": is_count,
            "robust": is_count,
            "survived": table_of(is_digits),
            "loss": is_number,
            "robust_loss": is_number,
        },
        frozenset(("survived", "clips_of")),
        at_most=(("clean", "clips"), ("single", "clips"), ("robust", "clips")),
        agree=watched_counts_agree,
    ),
    "stopped": Kind(
        {**_MODEL, "epoch": is_count},
        {"best_epoch": is_count, "reason": is_text, "stop": is_flag},
        frozenset(("stop",)),
    ),
    "fallback": Kind(
        {**_MODEL, "epoch": is_count},
        {"best_epoch": is_count, "reason": is_text, "policy": is_text},
    ),
    "robustness": Kind(_MEASURED, _OUTCOME, _LACKED, at_most=_WITHIN, agree=survivors_agree),
    "difficulty": Kind({**_MEASURED, "contrast": is_number}, _OUTCOME, _LACKED, at_most=_WITHIN, agree=survivors_agree),
    "views": Kind(
        {
            **_MEASURED,
            "level": is_text,
            "views": either(is_count, is_text),
            "videos": is_count,
            "average": either(is_text, is_none),
            "attacked": is_text,
        },
        _OUTCOME,
        _LACKED,
        at_most=_WITHIN,
        agree=survivors_agree,
    ),
    "transfer": Kind({**_MEASURED, "surrogate": is_text}, _OUTCOME, _LACKED, at_most=_WITHIN, agree=survivors_agree),
    "gap": Kind({"epoch": is_count, **_MEASURED}, _OUTCOME, _LACKED, at_most=_WITHIN, agree=survivors_agree),
    "certificate": Kind(
        {
            **_MODEL,
            "split": is_text,
            "clips": is_count,
            "certificate": is_text,
            "norm": is_text,
            "support": is_text,
            "defence": is_text,
            "unit": is_text,
            "clips_of": is_text,
        },
        {
            "correct": is_count,
            "right": is_digits,
            "abstained": is_count,
            "radius": list_of(is_size),
            "draws": is_count,
            "sources": is_count,
        },
        frozenset(("right",)),
        at_most=(("correct", "clips"), ("abstained", "clips")),
        agree=radii_agree,
    ),
    "self_test": Kind(_MODEL, {"found": list_of(is_text)}),
    "masking": Kind(
        {**_MODEL, "clips": is_count, "noise_eps": is_size, "huge_eps": is_size, "clips_of": is_text},
        {"zero_gradient": is_count, "noise_correct": is_count, "pgd_correct": is_count, "huge_correct": is_count},
        frozenset(("clips_of",)),
        at_most=tuple((name, "clips") for name in ("zero_gradient", "noise_correct", "pgd_correct", "huge_correct")),
    ),
    "corruption": Kind(
        {
            **_MODEL,
            "split": is_text,
            "convention": is_text,
            "corruption": is_text,
            "severity": is_count,
            "draws": is_whole,
            "clips": is_count,
            "clips_of": is_text,
        },
        {
            "group": is_text,
            "counted": is_flag,
            "correct": is_count,
            "survived": is_digits,
            "sources": is_count,
            "reference": is_flag,
        },
        frozenset(("clips_of", "reference")),
        at_most=(("correct", "clips"),),
        agree=corruption_agrees,
    ),
    "corruption_example": Kind(
        {"file": is_text},
        {
            **_MODEL,
            "convention": is_text,
            "corruption": is_text,
            "severities": list_of(is_count),
            "video": is_text,
            "label": is_text,
            "answers": is_ranking,
        },
        agree=answers_agree,
    ),
    "example": Kind(
        {"file": is_text},
        {
            "video": is_text,
            "label": is_text,
            "model": is_text,
            **_BUDGET,
            **_THREAT,
            "no_gradient": is_count,
            "gradients": is_count,
            "clean_top": is_ranking,
            "adversarial_top": is_ranking,
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
    if "weights" in row and not is_text(row["weights"]):
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
