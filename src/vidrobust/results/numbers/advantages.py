"""Differences between trainings: one policy against another, and how the generalisation gap of a model grew."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vidrobust.results.numbers.accuracy import evaluated, evaluated_split, main_steps
from vidrobust.results.numbers.intervals import Z95, bootstrap_mean, t_interval
from vidrobust.results.numbers.selection import grouped, of_kind, plain, same_clips
from vidrobust.runs.rows import Row

SEEDS_NEEDED = 3
"""From so many seeds on, an interval speaks of training runs; below it speaks of the clips only."""


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
        The advantage of the first, or None where no seed has all ε of both, on the same clips.
    """
    one, two = (_by_seed(rows) for rows in (first, second))
    eps = tuple(sorted({e for seeds in (one, two) for by_eps in seeds.values() for e in by_eps}))
    both = [seed for seed in sorted(one.keys() & two.keys()) if _comparable(one[seed], two[seed], eps)]
    if not both or not eps:
        return None
    per_seed = tuple((s, float(np.mean([_accuracy(one[s][e]) - _accuracy(two[s][e]) for e in eps]))) for s in both)
    values = [value for _, value in per_seed]
    if len(values) >= SEEDS_NEEDED:
        low, high = t_interval(values)
    else:
        low, high = _clip_interval([(one[s], two[s]) for s in both], eps)
    return Advantage(float(np.mean(values)), low, high, per_seed, one[both[0]][eps[0]]["clips"], eps)


def common_eps(rows: Iterable[Row]) -> set[float]:
    """The ε > 0 that most of the trained models (model and seed) were attacked at.

    One model attacked at a further ε must not leave all comparisons without a common one.
    """
    trained = defaultdict(set)
    for row in rows:
        if row["eps"] > 0:
            trained[row["eps"]].add((row["model"], row["seed"]))
    most = max(map(len, trained.values()), default=0)
    return {eps for eps, some in trained.items() if 2 * len(some) > most}


def _comparable(one: dict[float, Row], two: dict[float, Row], eps: Sequence[float]) -> bool:
    """Have both every ε, all of them on the same clips?"""
    if not set(eps) == one.keys() == two.keys():
        return False
    start = one[eps[0]]
    return all(same_clips(start, one[e]) and same_clips(start, two[e]) for e in eps)


def _by_seed(rows: Iterable[Row]) -> dict[int, dict[float, Row]]:
    found: dict[int, dict[float, Row]] = defaultdict(dict)
    for row in rows:
        if row["eps"] > 0:
            found[row["seed"]][row["eps"]] = row
    return found


def _accuracy(row: Row) -> float:
    return row["correct"] / row["clips"]


def _clip_interval(pairs: Sequence[tuple[dict, dict]], eps: Sequence[float]) -> tuple[float, float]:
    per_clip = [np.mean([survived_clips(one[e]) - survived_clips(two[e]) for e in eps], axis=0) for one, two in pairs]
    return bootstrap_mean(np.mean(per_clip, axis=0))


def survived_clips(row: Row) -> np.ndarray:
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
    """Advantage of one model over another against the contrast of the data: less contrast, harder."""
    rows = [row for row in of_kind(rows, "difficulty") if row["model"] in (first, second)]
    steps = main_steps(rows, "difficulty")
    if steps is None:
        return []
    split = evaluated_split(rows, "difficulty")
    by_contrast = grouped(evaluated(rows, steps, "difficulty", split), "contrast")
    points = []
    for contrast in sorted(by_contrast):
        shared = common_eps(by_contrast[contrast])
        here = [row for row in by_contrast[contrast] if row["eps"] in shared]
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
    rows = [row for row in of_kind(rows, "gap") if row["model"] == model and row["eps"] > 0 and plain(row)]
    steps = max((row["steps"] for row in rows), default=0)
    rows = [row for row in rows if row["steps"] == steps]
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
