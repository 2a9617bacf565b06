"""Checks for masked gradients, and for tables of accuracies that cannot be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vidrobust.results.numbers.accuracy import evaluated, evaluated_split
from vidrobust.results.numbers.advantages import survivors
from vidrobust.results.numbers.selection import grouped, model_order, of_kind, plain_pgd
from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class Flag:
    """One check of whether a model's robustness can be trusted."""

    model: str
    check: str
    passed: bool
    sentence: str


def few(clips: int) -> int:
    """How many clips may go against a check by chance: 3 %, at least 2."""
    return max(2, math.ceil(0.03 * clips))


def masking_flags(rows: Iterable[Row]) -> list[Flag]:
    """Checks for masked gradients and for tables that cannot be, a sentence each, for every model with rows."""
    rows = list(rows)
    split = evaluated_split(rows)
    table = [row for row in of_kind(rows, "robustness") if row.get("split", "test") == split and plain_pgd(row)]
    by_model = grouped(table, "model")
    extra = grouped(of_kind(rows, "masking"), "model")
    flags = []
    for model in model_order([*by_model, *extra]):
        if model in by_model:
            flags += _table_flags(model, by_model[model], split)
        if model in extra:
            flags += _gradient_flags(model, extra[model])
    return flags


def _table_flags(model: str, rows: Sequence[Row], split: str) -> list[Flag]:
    steps = sorted({row["steps"] for row in rows if row["eps"] > 0})
    above = rising = regained = compared = 0
    worst = few(min(row["clips"] for row in rows))
    for seed in sorted({row["seed"] for row in rows}):
        mine = [row for row in rows if row["seed"] == seed]
        curves = [{r["eps"]: r for r in evaluated(mine, some, split=split)} for some in steps]
        for curve in curves:
            order = [curve[eps]["correct"] for eps in sorted(curve)]
            above = max(above, *(c - order[0] for c in order)) if 0.0 in curve else above
            rising = max(rising, 0, *(b - a for a, b in zip(order, order[1:], strict=False))) if order[1:] else rising
        for eps in set.intersection(*(set(curve) for curve in curves)) - {0.0} if len(curves) > 1 else ():
            more, fewer = survivors(curves[-1][eps]), survivors(curves[0][eps])
            if len(more) != len(fewer):
                continue  # evaluated at another time on other clips
            regained, compared = max(regained, int((more > fewer).sum())), compared + 1
    found = [
        Flag(model, "robust ≤ clean", above <= worst, _count(above, "more clips right under attack than clean")),
        Flag(model, "falling in ε", rising <= worst, _count(rising, "more clips right at a larger ε")),
    ]
    if compared:
        text = f"clips that {steps[0]} steps broke survive {steps[-1]} steps"
        found.append(Flag(model, "more steps never help", regained <= worst, _count(regained, text)))
    return found


def _count(worst: int, text: str) -> str:
    return f"at most {worst} {text}" if worst else f"no {text}"


def _gradient_flags(model: str, rows: Sequence[Row]) -> list[Flag]:
    clips = sum(row["clips"] for row in rows)
    total = {
        name: sum(r[name] for r in rows) for name in ("zero_gradient", "noise_correct", "pgd_correct", "huge_correct")
    }
    noise, huge = rows[0]["noise_eps"], rows[0]["huge_eps"]
    zero, left = total["zero_gradient"], total["huge_correct"]
    return [
        Flag(
            model,
            "PGD beats noise",
            total["noise_correct"] >= total["pgd_correct"] - few(clips),
            f"{total['noise_correct']} of {clips} clips right under noise at ε={noise:g}, "
            f"{total['pgd_correct']} under PGD",
        ),
        Flag(model, "huge ε breaks all", left <= few(clips), f"{left} of {clips} clips right under PGD at ε={huge:g}"),
        Flag(model, "no zero gradients", zero == 0, f"{zero} of {clips} clips without any input gradient"),
    ]
