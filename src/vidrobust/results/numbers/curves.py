"""Rows to accuracy curves and what is read off them: intervals, gaps, advantages and checks for masked gradients.

All ε and α are in units of 1/255; accuracies are in [0, 1] and never without their clips.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidrobust.results.numbers.analysis import CONTROLS, Z95, bootstrap_mean, interval, t_interval
from vidrobust.runs.rows import Row

SEEDS_NEEDED = 3
"""From so many seeds on, an interval speaks of training runs; below it speaks of the clips only."""


@dataclass(frozen=True)
class Point:
    """An accuracy with what is behind it, seeds pooled."""

    x: float
    """ε (1/255) or the epoch."""
    correct: int
    clips: int
    per_seed: tuple[tuple[int, float], ...]
    """(seed, accuracy)."""

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.correct / self.clips

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval over the pooled clips."""
        return interval(self.correct, self.clips)


@dataclass(frozen=True)
class Curve:
    """Accuracies of one model: against ε under so many steps of PGD, or against the epoch."""

    model: str
    points: tuple[Point, ...]
    steps: int = 0
    """Iterations of the evaluating attack."""
    split: str = "test"
    eps: float | None = None
    """The ε of a curve over epochs."""


def pooled(x: float, rows: Sequence[Row]) -> Point:
    """Pool rows of several seeds into one point."""
    per_seed = tuple(sorted((row["seed"], row["correct"] / row["clips"]) for row in rows))
    return Point(x, sum(row["correct"] for row in rows), sum(row["clips"] for row in rows), per_seed)


def of_kind(rows: Iterable[Row], kind: str) -> list[Row]:
    """Rows of one kind, without those that no clip stands behind."""
    return [row for row in rows if row["kind"] == kind and row.get("clips", 1)]


def model_order(models: Iterable[str]) -> list[str]:
    """Each model once: the controls first, then in the order in which they were met."""
    met = list(dict.fromkeys(models))
    return [name for name in CONTROLS if name in met] + [name for name in met if name not in CONTROLS]


def plain_pgd(row: Row) -> bool:
    """Is a row of accuracy about no attack, or about L∞ PGD on the whole clip? Only these make curves over ε."""
    attack = row.get("attack") or "none"
    if "threat=" in attack:
        return attack.startswith("PGD(") and "Linf()" in attack and "support=WholeClip()" in attack
    return attack == "none" or attack.startswith("PGD(")


def evaluation_steps(rows: Iterable[Row], kind: str = "robustness") -> list[int]:
    """The iterations of PGD that models were evaluated under, ascending."""
    return sorted({row["steps"] for row in of_kind(rows, kind) if row["eps"] > 0 and plain_pgd(row)})


def evaluated(rows: Iterable[Row], steps: int, kind: str = "robustness", split: str = "test") -> list[Row]:
    """Rows under PGD with so many steps, and the clean ones (ε = 0): one for each model, seed and ε.

    A model that was evaluated more than once counts with the largest set of clips, and there with the strongest attack.
    """
    chosen = [
        row
        for row in of_kind(rows, kind)
        if row.get("split", "test") == split and plain_pgd(row) and (row["eps"] == 0 or row["steps"] == steps)
    ]
    most: dict[tuple, int] = defaultdict(int)
    for row in chosen:
        most[_who(row)] = max(most[_who(row)], row["clips"])
    kept: dict[tuple, Row] = {}
    for row in chosen:
        key = (*_who(row), row["eps"])
        if row["clips"] == most[_who(row)] and (key not in kept or row["correct"] < kept[key]["correct"]):
            kept[key] = row
    return list(kept.values())


def _who(row: Row) -> tuple:
    return row["model"], row["seed"], row.get("contrast")


def evaluated_split(rows: Iterable[Row], kind: str = "robustness") -> str:
    """The split that models were evaluated on: test clips where there are any."""
    splits = list(dict.fromkeys(row.get("split", "test") for row in of_kind(rows, kind)))
    return "test" if "test" in splits or not splits else splits[0]


def robustness_curves(rows: Iterable[Row]) -> list[Curve]:
    """Accuracy against ε: one curve for every model and every number of evaluating steps, seeds pooled."""
    rows, curves = list(rows), []
    split = evaluated_split(rows)
    for steps in evaluation_steps(rows):
        by_model = _grouped(evaluated(rows, steps, split=split), "model")
        for model in model_order(by_model):
            by_eps = _grouped(by_model[model], "eps")
            curves.append(Curve(model, tuple(pooled(eps, by_eps[eps]) for eps in sorted(by_eps)), steps, split))
    return curves


def gap_curves(rows: Iterable[Row]) -> list[Curve]:
    """Accuracy against the epoch, for every model, ε and split (``train``, ``val``), seeds pooled."""
    by_curve = defaultdict(list)
    for row in of_kind(rows, "gap"):
        by_curve[row["model"], row["eps"], row["split"]].append(row)
    curves = []
    for (model, eps, split), chosen in by_curve.items():
        by_epoch = _grouped(chosen, "epoch")
        points = tuple(pooled(epoch, by_epoch[epoch]) for epoch in sorted(by_epoch))
        curves.append(Curve(model, points, chosen[0]["steps"], split, eps))
    return sorted(curves, key=lambda curve: (curve.model, curve.eps or 0.0, curve.split))


def _grouped(rows: Iterable[Row], field: str) -> dict[Any, list[Row]]:
    found = defaultdict(list)
    for row in rows:
        found[row[field]].append(row)
    return found


# --------------------------------------------------------------------------------------------------- advantages


@dataclass(frozen=True)
class Advantage:
    """How much more accurate one model is than another on the same clips: mean over ε, difference in [-1, 1]."""

    value: float
    low: float
    high: float
    per_seed: tuple[tuple[int, float], ...]
    clips: int
    """Test clips behind each seed's difference."""
    eps: tuple[float, ...]

    @property
    def over_seeds(self) -> bool:
        """True where the 95 % interval is over training runs, false where it is over clips only."""
        return len(self.per_seed) >= SEEDS_NEEDED


def advantage(first: Iterable[Row], second: Iterable[Row]) -> Advantage | None:
    """Compare two models seed by seed, over the attacked rows (ε > 0) that both have.

    With three seeds or more the interval is Student's t over the seeds' paired differences; with fewer it comes from
    resampling the clips, and says nothing about other training runs.

    Args:
        first: rows of one model under one number of steps, with ``survived``.
        second: rows of the other, of the same clips in the same order.

    Returns:
        The advantage of the first, or None where no seed has all ε of both.
    """
    one, two = (_by_seed(rows) for rows in (first, second))
    eps = tuple(sorted({e for seeds in (one, two) for by_eps in seeds.values() for e in by_eps}))
    both = [seed for seed in sorted(one.keys() & two.keys()) if set(eps) == one[seed].keys() == two[seed].keys()]
    if not both or not eps:
        return None
    per_seed = tuple((s, float(np.mean([_accuracy(one[s][e]) - _accuracy(two[s][e]) for e in eps]))) for s in both)
    values = [value for _, value in per_seed]
    if len(values) >= SEEDS_NEEDED:
        low, high = t_interval(values)
    else:
        low, high = _clip_interval([(one[s], two[s]) for s in both], eps)
    return Advantage(float(np.mean(values)), low, high, per_seed, one[both[0]][eps[0]]["clips"], eps)


def _by_seed(rows: Iterable[Row]) -> dict[int, dict[float, Row]]:
    found: dict[int, dict[float, Row]] = defaultdict(dict)
    for row in rows:
        if row["eps"] > 0:
            found[row["seed"]][row["eps"]] = row
    return found


def _accuracy(row: Row) -> float:
    return row["correct"] / row["clips"]


def _clip_interval(pairs: Sequence[tuple[dict, dict]], eps: Sequence[float]) -> tuple[float, float]:
    per_clip = [np.mean([survivors(one[e]) - survivors(two[e]) for e in eps], axis=0) for one, two in pairs]
    return bootstrap_mean(np.mean(per_clip, axis=0))


def survivors(row: Row) -> np.ndarray:
    """1 for each clip that the model still classified rightly, else 0 (``N``)."""
    return np.array([digit == "1" for digit in row["survived"]], dtype=float)


@dataclass(frozen=True)
class DifficultyPoint:
    """An advantage at one difficulty of the task."""

    contrast: float
    eps: float | None
    """None: mean over all ε > 0."""
    advantage: Advantage


def difficulty_points(rows: Iterable[Row], first: str, second: str) -> list[DifficultyPoint]:
    """Advantage of one model over another against the contrast of the data: less contrast, harder.

    Under the strongest evaluation that both have.
    """
    rows = [row for row in of_kind(rows, "difficulty") if row["model"] in (first, second)]
    steps = evaluation_steps(rows, "difficulty")
    if not steps:
        return []
    split = evaluated_split(rows, "difficulty")
    by_contrast = _grouped(evaluated(rows, steps[-1], "difficulty", split), "contrast")
    points = []
    for contrast in sorted(by_contrast):
        here = [row for row in by_contrast[contrast] if row["eps"] > 0]
        for eps in (None, *sorted({row["eps"] for row in here})):
            chosen = [row for row in here if eps is None or row["eps"] == eps]
            found = advantage(*([row for row in chosen if row["model"] == model] for model in (first, second)))
            if found:
                points.append(DifficultyPoint(contrast, eps, found))
    return points


@dataclass(frozen=True)
class GapGrowth:
    """By how much train − validation accuracy grew: last third of the epochs minus the first third, mean over ε."""

    value: float
    low: float
    high: float
    per_seed: tuple[tuple[int, float], ...]
    per_eps: tuple[tuple[float, float], ...]
    clips: int
    """Validation clips."""
    epochs: int

    @property
    def over_seeds(self) -> bool:
        """True where the 95 % interval is over training runs, false where it is over clips only."""
        return len(self.per_seed) >= SEEDS_NEEDED


def gap_growth(rows: Iterable[Row], model: str) -> GapGrowth | None:
    """How the generalisation gap of a model moved while it trained, or None with fewer than 3 epochs.

    With fewer than three seeds the interval is binomial over the clips, taking the epochs of a third (the same clips
    again) as one measurement: wide rather than narrow.
    """
    rows = [row for row in of_kind(rows, "gap") if row["model"] == model and row["eps"] > 0]
    cells = {(row["seed"], row["eps"], row["epoch"], row["split"]): row for row in rows}
    whole = {key[:3] for key in cells if all((*key[:3], split) in cells for split in ("train", "val"))}
    epochs = sorted({epoch for _, _, epoch in whole})
    if len(epochs) < 3:
        return None
    third = len(epochs) // 3
    growth, error = {}, {}
    for seed, eps in sorted({key[:2] for key in whole}):
        if any((seed, eps, epoch) not in whole for epoch in epochs):
            continue  # a seed that stopped half way
        parts = [(sign, _third(cells, seed, eps, some)) for sign, some in ((-1, epochs[:third]), (1, epochs[-third:]))]
        growth[seed, eps] = sum(sign * gap for sign, (gap, _) in parts)
        error[seed, eps] = math.sqrt(sum(variance for _, (_, variance) in parts))
    if not growth:
        return None
    seeds = sorted({seed for seed, _ in growth})
    per_seed = tuple((s, float(np.mean([g for (seed, _), g in growth.items() if seed == s]))) for s in seeds)
    all_eps = sorted({eps for _, eps in growth})
    per_eps = tuple((e, float(np.mean([g for (_, eps), g in growth.items() if eps == e]))) for e in all_eps)
    value = float(np.mean([gap for _, gap in per_seed]))
    half = Z95 * float(np.mean(list(error.values())))  # the same clips under every ε: errors do not average out
    low, high = t_interval([gap for _, gap in per_seed]) if len(seeds) >= SEEDS_NEEDED else (value - half, value + half)
    clips = next(row["clips"] for row in rows if row["split"] == "val")
    return GapGrowth(value, low, high, per_seed, per_eps, clips, len(epochs))


def _third(cells: dict, seed: int, eps: float, epochs: Sequence[int]) -> tuple[float, float]:
    """Mean train − val accuracy over some epochs, and its binomial variance."""
    gap = variance = 0.0
    for sign, split in ((1, "train"), (-1, "val")):
        chosen = [cells[seed, eps, epoch, split] for epoch in epochs]
        share = float(np.mean([_accuracy(row) for row in chosen]))
        gap += sign * share
        variance += share * (1 - share) / chosen[0]["clips"]
    return gap, variance


# ------------------------------------------------------------------------------------------------------- checks


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
    by_model = _grouped(table, "model")
    extra = _grouped(of_kind(rows, "masking"), "model")
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
