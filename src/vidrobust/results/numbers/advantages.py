"""Differences between trainings: one policy against another, and how the generalisation gap of a model grew.

The unit of chance is the source of a clip and the seed of a training: what is compared is paired by clip and by seed,
and its interval is over sources and seeds (:mod:`vidrobust.results.numbers.statistics`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidrobust.results.numbers.accuracy import evaluated, evaluated_split, main_steps
from vidrobust.results.numbers.outcomes import ClipValues, apart, sample, survived_clips, tells_sources
from vidrobust.results.numbers.selection import grouped, of_kind, plain, same_clips
from vidrobust.results.numbers.statistics import Estimate, mean
from vidrobust.runs.rows import Row

SEEDS_NEEDED = 3
"""Fewer seeds decide no claim about training: of one, an interval is over sources alone, of two it is very wide."""


@dataclass(frozen=True)
class Effect:
    """A difference between trainings, or within one, in [-1, 1].

    Attributes:
        found: the difference with its interval, over sources and, of several seeds, over both.
        per_seed: (seed, difference).
        clips: clips behind each seed's difference.
        unit: what the interval is over beside seeds: ``source``, or of rows of earlier versions ``clip`` or ``seed``.
    """

    found: Estimate
    per_seed: tuple[tuple[int, float], ...]
    clips: int
    unit: str

    @property
    def value(self) -> float:
        """The mean over seeds and clips."""
        return self.found.value

    @property
    def low(self) -> float:
        """Of the 95 % interval."""
        return self.found.low

    @property
    def high(self) -> float:
        """Of the 95 % interval."""
        return self.found.high

    @property
    def over(self) -> str:
        """What the interval is over, for people."""
        return self.found.over.replace("source", self.unit)

    def __str__(self) -> str:
        """In percentage points, with the interval and what it is over."""
        low, high = 100 * self.low, 100 * self.high
        return f"{100 * self.value:+.1f} points ({low:+.1f} to {high:+.1f} over {self.over})"


@dataclass(frozen=True)
class Advantage(Effect):
    """How much more accurate one model is than another on the same clips: mean over ``eps``."""

    eps: tuple[float, ...]


Estimator = Callable[[ClipValues], Estimate]
"""From differences per clip to their mean with its interval."""


def fixed(found: ClipValues) -> Estimate:
    """For seeds whose number was chosen before anything was measured: clustered by source and seed."""
    several = len(set(found.seeds)) > 1
    return mean(found.values, found.sources, found.seeds if several else None, (-1.0, 1.0))


def advantage(first: Iterable[Row], second: Iterable[Row], over: Estimator = fixed) -> Advantage | None:
    """Compare two models clip by clip and seed by seed, over the attacked rows (ε > 0) that both have.

    Args:
        first: rows of one model under one number of steps, with ``survived``.
        second: rows of the other, of the same clips in the same order.
        over: gives the interval.

    Returns:
        The advantage of the first, or None where no seed has all ε of both, on the same clips.
    """
    one, two = (_by_seed(rows) for rows in (first, second))
    eps = tuple(sorted({e for seeds in (one, two) for by_eps in seeds.values() for e in by_eps}))
    both = [seed for seed in sorted(one.keys() & two.keys()) if _comparable(one[seed], two[seed], eps)]
    if not both or not eps:
        return None
    lead = {s: np.mean([survived_clips(one[s][e]) - survived_clips(two[s][e]) for e in eps], axis=0) for s in both}
    rows = [one[s][eps[0]] for s in both]
    return Advantage(
        over(sample(rows, list(lead.values()))),
        tuple((s, float(lead[s].mean())) for s in both),
        rows[0]["clips"],
        "source" if tells_sources(rows) else "clip",
        eps,
    )


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
            one, two = ([row for row in chosen if row["model"] == model] for model in (first, second))
            found = advantage(one, two)
            if found:
                points.append(DifficultyPoint(contrast, eps, found))
    return points


@dataclass(frozen=True)
class GapGrowth(Effect):
    """By how much train − validation accuracy grew: last third of the epochs minus the first third, mean over ε.

    Attributes:
        per_eps: (ε, growth).
        epochs: how many were measured.
    """

    per_eps: tuple[tuple[float, float], ...]
    epochs: int


_Cells = Mapping[tuple[int, float, int, str], Row]
"""Rows by seed, ε, epoch and split."""


def gap_growth(rows: Iterable[Row], model: str, over: Estimator = fixed) -> GapGrowth | None:
    """How the generalisation gap of a model moved while it trained, or None with fewer than 3 epochs.

    Of each clip it is the mean over ε and epochs of the last third minus that of the first; of training clips less of
    validation clips. Rows of earlier versions, which do not tell the clips that were right, are taken seed by seed.
    """
    rows = [row for row in of_kind(rows, "gap") if row["model"] == model and row["eps"] > 0 and plain(row)]
    steps = max((row["steps"] for row in rows), default=0)
    cells = {(row["seed"], row["eps"], row["epoch"], row["split"]): row for row in rows if row["steps"] == steps}
    whole = {key[:3] for key in cells if all((*key[:3], split) in cells for split in ("train", "val"))}
    epochs = sorted({epoch for _, _, epoch in whole})
    if len(epochs) < 3:
        return None
    eps = sorted({e for _, e, _ in whole})
    seeds = [s for s in sorted({s for s, _, _ in whole}) if all((s, e, n) in whole for e in eps for n in epochs)]
    if not seeds:
        return None  # all stopped half way
    grown = _Grown(cells, epochs)
    growth = {(s, e): grown.of(s, (e,), "train", _share) - grown.of(s, (e,), "val", _share) for s in seeds for e in eps}
    per_seed = tuple((s, float(np.mean([growth[s, e] for e in eps]))) for s in seeds)
    used = [cells[s, e, n, split] for s in seeds for e in eps for n in epochs for split in ("train", "val")]
    by_clip = all("survived" in row for row in used)
    by_seed = ClipValues(np.array([value for _, value in per_seed]), seeds, [0] * len(seeds))
    return GapGrowth(
        grown.estimate(seeds, eps, over) if by_clip else fixed(by_seed),
        per_seed,
        cells[seeds[0], eps[0], epochs[0], "val"]["clips"],
        "seed" if not by_clip else "source" if tells_sources(used) else "clip",
        tuple((e, float(np.mean([growth[s, e] for s in seeds]))) for e in eps),
        len(epochs),
    )


@dataclass(frozen=True)
class _Grown:
    """What the last third of the epochs has more than the first."""

    cells: _Cells
    epochs: Sequence[int]

    def of(self, seed: int, eps: Sequence[float], split: str, value: Callable[[Row], np.ndarray]) -> np.ndarray:
        """Of one split, mean over ε: one number, or one per clip, as ``value`` gives them."""
        third = len(self.epochs) // 3
        late, early = (
            np.mean([value(self.cells[seed, e, n, split]) for e in eps for n in some], axis=0)
            for some in (self.epochs[-third:], self.epochs[:third])
        )
        return late - early

    def estimate(self, seeds: Sequence[int], eps: Sequence[float], over: Estimator) -> Estimate:
        """Training clips against validation clips, over sources and seeds."""
        train, val = (
            sample(
                [self.cells[s, eps[0], self.epochs[0], split] for s in seeds],
                [self.of(s, eps, split, survived_clips) for s in seeds],
            )
            for split in ("train", "val")
        )
        return replace(over(apart(train, val)), sources=min(len(set(part.sources)) for part in (train, val)))


def _share(row: Row) -> np.ndarray:
    return np.array(row["correct"] / row["clips"])
