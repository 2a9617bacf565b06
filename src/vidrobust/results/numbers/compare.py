"""Several runs beside each other: what differs in their configurations, and in their accuracies with intervals."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidrobust.results.numbers.accuracy import Point, robustness_curves
from vidrobust.results.numbers.advantages import SEEDS_NEEDED, fixed
from vidrobust.results.numbers.intervals import student
from vidrobust.results.numbers.outcomes import ClipValues, apart, sample, survived_clips
from vidrobust.results.numbers.selection import model_order, same_clips
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import Row


def config_table(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """The settings in which runs differ: (dotted name, each run's value as text, ``–`` where it has none)."""
    flat = [_flat({**_object(run.config), "kind of run": run.kind, "version": _version(run)}) for run in runs]
    names = sorted({name for one in flat for name in one})
    lines = [(name, [one.get(name, "–") for one in flat]) for name in names]
    return [(name, values) for name, values in lines if len(set(values)) > 1]


def _version(run: Run) -> str:
    return str(_object(_object(run.provenance).get("versions")).get("vidrobust", "unknown"))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = json.dumps(value, ensure_ascii=False)
    return found


@dataclass(frozen=True)
class Difference:
    """Accuracy in one run minus that in another, in [-1, 1], with its 95 % interval."""

    value: float
    low: float
    high: float
    over: str
    """What the interval is over: sources and seeds; of rows that do not tell their sources, seeds or clips."""


def point_difference(first: Point, second: Point) -> Difference:
    """Accuracy of the second point minus that of the first.

    Where the rows tell the sources of their clips the interval is over sources and seeds, paired by clip and seed where
    both saw the same clips. Else with three seeds or more on both sides it is Welch's t over the seeds; with fewer it
    is Newcombe's over the clips, which takes the clips of the two as unrelated: where they are the same it is wide.

    >>> one, two = Point(8, 50, 100, ((0, 0.5),)), Point(8, 70, 100, ((0, 0.7),))
    >>> found = point_difference(one, two)
    >>> round(found.value, 2), round(found.low, 3), round(found.high, 3), found.over
    (0.2, 0.064, 0.326, 'clips')
    """
    if first.estimate is not None and second.estimate is not None:
        return _clustered(first, second)
    value = second.accuracy - first.accuracy
    if min(len(first.per_seed), len(second.per_seed)) >= SEEDS_NEEDED:
        return Difference(*_welch(first, second), over="seeds")
    (low1, high1), (low2, high2) = first.interval, second.interval
    below = math.hypot(second.accuracy - low2, high1 - first.accuracy)
    above = math.hypot(high2 - second.accuracy, first.accuracy - low1)
    return Difference(value, value - below, value + above, over="clips")


def _clustered(first: Point, second: Point) -> Difference:
    paired = _paired(first, second)
    if paired is None:
        one, two = (sample(side.rows, [survived_clips(row) for row in side.rows]) for side in (first, second))
        paired = apart(two, one)
    found = fixed(paired)
    return Difference(found.value, found.low, found.high, found.over)


def _paired(first: Point, second: Point) -> ClipValues | None:
    """The differences clip by clip of the seeds that both have, if both saw the same clips in all of them."""
    one, two = ({row["seed"]: row for row in side.rows} for side in (first, second))
    shared = sorted(one.keys() & two.keys())
    known = all(one[seed].get("clips_of") is not None and same_clips(one[seed], two[seed]) for seed in shared)
    if not shared or not known:
        return None
    return sample([one[s] for s in shared], [survived_clips(two[s]) - survived_clips(one[s]) for s in shared])


def _welch(first: Point, second: Point) -> tuple[float, float, float]:
    one, two = (np.array([share for _, share in point.per_seed]) for point in (first, second))
    value = float(two.mean() - one.mean())
    parts = [float(side.var(ddof=1)) / len(side) for side in (one, two)]
    if sum(parts) == 0:
        return value, value, value
    freedom = sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (one, two), strict=True))
    half = student(freedom) * math.sqrt(sum(parts))
    return value, value - half, value + half


def accuracy_differences(first: Sequence[Row], second: Sequence[Row]) -> tuple[int, dict[str, dict[float, Difference]]]:
    """How the accuracies of the models that two runs share differ, under PGD with the steps that most of them share.

    Returns:
        The steps, of several the most (0 if none are shared), and, for each model and ε, the second run minus the
        first.
    """
    one, two = ({(c.model, c.steps): c for c in robustness_curves(rows)} for rows in (first, second))
    shared = Counter(steps for _, steps in one.keys() & two.keys())
    if not shared:
        return 0, {}
    steps = max(shared, key=lambda steps: (shared[steps], steps))
    found = {}
    for model in model_order(model for model, at in one if at == steps and (model, at) in two):
        points = {point.x: point for point in two[model, steps].points}
        mine = one[model, steps].points
        found[model] = {point.x: point_difference(point, points[point.x]) for point in mine if point.x in points}
    return steps, found
