"""Intervals and tests, clustered by source, and for trainings also by seed.

Clips of one source (a UCF-101 group, a photograph) are alike: counting them as independent makes intervals too narrow.
Everything here takes values per clip with the source, and where trainings are compared the seed, that each belongs to:

- variances are cluster-robust, two-way where sources and seeds both vary (Cameron, Gelbach and Miller 2011, *Robust
  inference with multiway clustering*), with Student's t of one degree of freedom less than there are clusters;
- an accuracy has Wilson's interval at the effective number of clips (Dean and Pagano 2015, *Evaluating confidence
  interval methods for binomial proportions in clustered surveys*), which holds near 0 and 1 as well;
- under :data:`FEW` sources the bootstrap over sources is computed too and the wider of the two is given, for the
  bootstrap alone is too narrow there; such an interval is not :attr:`Estimate.trusted`;
- two things that saw the same clips are compared by their difference clip for clip (:func:`paired_difference`).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from vidrobust.errors import InputError
from vidrobust.runs.wording import counted

FEW = 10
"""With fewer sources an interval is given but not to be trusted."""

LEVEL = 0.95

ClusterLabels = Sequence[Hashable] | np.ndarray
"""The source, or the seed, of each value."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean over clips with its interval.

    Attributes:
        value: the mean.
        low, high: its 95 % interval.
        error: its standard error, clustered.
        freedom: degrees of freedom of its t.
        clips: how many values there were.
        sources, seeds: how many distinct ones; ``seeds`` is 1 where they were not told.
        by_seed: is the variance between seeds the larger part?
    """

    value: float
    low: float
    high: float
    error: float
    freedom: int
    clips: int
    sources: int
    seeds: int = 1
    by_seed: bool = False

    @property
    def trusted(self) -> bool:
        """Whether there are enough sources for the interval to have its coverage."""
        return self.sources >= FEW

    @property
    def over(self) -> str:
        """What its interval is over, for people.

        >>> mean([1.0, 2.0] * 2, ["a", "b", "c", "d"], [0, 0, 1, 1]).over
        '4 sources and 2 seeds'
        """
        sources = counted(self.sources, "source")
        return sources if self.seeds == 1 else f"{sources} and {counted(self.seeds, 'seed')}"

    def above(self, bound: float) -> float:
        """One-sided P value against the mean being at most ``bound``: small where it is surely larger."""
        return _one_sided(self, bound - self.value)

    def below(self, bound: float) -> float:
        """One-sided P value against the mean being at least ``bound``: small where it is surely smaller."""
        return _one_sided(self, self.value - bound)

    def more_for(self, effect: float, level: float = LEVEL) -> Needed | None:
        """How many more sources or seeds make its half-width ``effect``; None where it is already."""
        return needed(self, effect, level)

    @property
    def p(self) -> float:
        """Two-sided p value of the mean being zero.

        With no spread at all the t statistic says nothing; a sign test over the clusters does.
        """
        if self.freedom < 1:
            return 1.0
        if self.error == 0:
            return 1.0 if self.value == 0 else min(1.0, 2.0 * 0.5 ** (self.freedom + 1))
        return min(1.0, 2 * _below(-abs(self.value) / self.error, self.freedom))


def accuracy_estimate(
    correct: ArrayLike, sources: ClusterLabels, seeds: ClusterLabels | None = None, level: float = LEVEL
) -> Estimate:
    """The share of right answers with its clustered interval.

    Args:
        correct: ``N`` zeros and ones (or booleans), one per clip and seed.
        sources: ``N``, the source of each.
        seeds: ``N``, the training seed of each, where several models are averaged.
        level: of the interval, in (0, 1).

    Raises:
        InputError: there are no values, their numbers differ, or a value is not 0 or 1.

    >>> found = accuracy_estimate([1, 1, 0, 0] * 10, [f"photograph {i // 4}" for i in range(40)])
    >>> found.value, found.sources, found.trusted
    (0.5, 10, True)
    """
    values = _values(correct, sources, seeds)
    if not (values == values.astype(bool)).all():
        raise InputError("correct must be 0 or 1 for each clip.")
    spread = _spread(values, sources, seeds)
    low, high = _wilson(spread, level)
    return _estimate(spread, sources, low, high, (0.0, 1.0), level)


def mean(
    values: ArrayLike,
    sources: ClusterLabels,
    seeds: ClusterLabels | None = None,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    level: float = LEVEL,
) -> Estimate:
    """The mean of values per clip with its clustered interval.

    Args:
        values: ``N`` numbers.
        sources, seeds, level: as :func:`accuracy_estimate` takes them.
        bounds: what a mean can be; the interval is cut to it.

    Raises:
        InputError: there are no values, their numbers differ, or one is not finite.

    >>> mean([1.0, 3.0] * 12, list(range(24))).value
    2.0
    """
    spread = _spread(_values(values, sources, seeds), sources, seeds)
    half = student_quantile(spread.freedom, level) * spread.error if spread.freedom else math.inf
    return _estimate(spread, sources, spread.value - half, spread.value + half, bounds, level)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    sources: ClusterLabels,
    seeds: ClusterLabels | None = None,
    level: float = LEVEL,
) -> Estimate:
    """How much more often the first is right than the second, on the same clips (and seeds), paired.

    Args:
        first, second: ``N`` zeros and ones each, lined up.
        sources, seeds, level: as :func:`accuracy_estimate` takes them.

    >>> found = paired_difference([1] * 30, [1] * 15 + [0] * 15, list(range(30)))
    >>> found.value, found.low > 0.3
    (0.5, True)
    """
    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.shape != two.shape:
        raise InputError(f"a paired difference needs the same clips: {one.size} and {two.size} values were given.")
    return mean(one - two, sources, seeds, (-1.0, 1.0), level)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for being of one family of claims (Holm 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def equivalent(found: Estimate, margin: float) -> float:
    """P value of two one-sided tests (Schuirmann 1987): small where the difference surely lies within ±``margin``.

    >>> equivalent(mean([-0.01, 0.01] * 20, list(range(40))), margin=0.05) < 0.001
    True
    """
    if margin <= 0:
        raise InputError(f"a margin must be positive, but is {margin:g}.")
    return max(found.below(margin), found.above(-margin))


def _one_sided(found: Estimate, distance: float) -> float:
    if found.freedom < 1:
        return 1.0
    if found.error == 0:
        return 0.5 ** (found.freedom + 1) if distance < 0 else 1.0
    return _below(distance / found.error, found.freedom)


@dataclass(frozen=True)
class Needed:
    """What would make an interval narrow enough: so many more of ``what``; prints as words."""

    more: int
    what: str

    def __str__(self) -> str:
        return f"{self.more} more {self.what if self.more != 1 else self.what[:-1]}"


def needed(found: Estimate, effect: float, level: float = LEVEL, at_most: int = 100_000) -> Needed | None:
    """How many more sources or seeds make the interval's half-width ``effect``; None where it is already.

    Seeds where these are the fewer clusters or vary more, else sources; the spread is taken to stay as it is.

    Args:
        found: the estimate so far, of at least two clusters.
        effect: the difference that matters, positive.
        level: of the interval.
        at_most: where counting ends.

    >>> print(needed(mean([0.0, 1.0] * 10, list(range(20))), effect=0.1))
    84 more sources
    """
    if effect <= 0:
        raise InputError(f"the difference that matters must be positive, but is {effect:g}.")
    seeds = found.seeds > 1 and (found.by_seed or found.seeds < found.sources)
    clusters = found.seeds if seeds else found.sources
    if found.freedom < 1:
        return Needed(FEW - found.sources, "sources")

    def wide(count: int) -> bool:
        return student_quantile(count - 1, level) * found.error * math.sqrt(clusters / count) > effect

    if not wide(clusters):
        return None
    low, high = clusters, clusters
    while wide(high) and high < at_most:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wide(middle) else (low, middle)
    return Needed(high - clusters, "seeds" if seeds else "sources")


# ----------------------------------------------------------------------------------------------------- machinery


@dataclass(frozen=True)
class _Spread:
    """A mean, its clustered standard error and what it was made of."""

    values: np.ndarray
    value: float
    error: float
    freedom: int
    sources: int
    seeds: int
    by_seed: bool

    @property
    def clusters(self) -> int:
        """What counts as one clip each where all agree: sources, or seeds where there is one source only.

        Not the fewer of both: five seeds that all fail on 128 sources would leave room for 61 %, one success of 640 for
        1 %.
        """
        return self.sources if self.sources > 1 else self.seeds


def _values(values: ArrayLike, sources: ClusterLabels, seeds: ClusterLabels | None) -> np.ndarray:
    found = np.asarray(values, dtype=float).reshape(-1)
    if found.size == 0:
        raise InputError("there are no clips to take a mean of.")
    if len(sources) != found.size or (seeds is not None and len(seeds) != found.size):
        seeds_text = f" and {len(seeds)} seeds" if seeds is not None else ""
        raise InputError(
            f"each value has a source: {found.size} values, but {len(sources)} sources{seeds_text} were given."
        )
    if not np.isfinite(found).all():
        raise InputError(f"{(~np.isfinite(found)).sum()} of {found.size} values are not finite.")
    return found


def _spread(values: np.ndarray, sources: ClusterLabels, seeds: ClusterLabels | None) -> _Spread:
    (by_source, count), value = _codes(sources), float(values.mean())
    residuals = values - value
    of_sources = _variance(residuals, by_source)
    by_seed, trainings = _codes([0] if seeds is None else seeds)
    if trainings == 1:
        return _Spread(values, value, math.sqrt(of_sources), count - 1, count, 1, False)
    of_seeds = _variance(residuals, by_seed)
    if count == 1:
        return _Spread(values, value, math.sqrt(of_seeds), trainings - 1, 1, trainings, True)
    of_both = of_sources + of_seeds - _variance(residuals, _codes(by_source * trainings + by_seed)[0])
    variance = max(of_both, of_sources, of_seeds)  # the difference may fall below either in small samples
    freedom = min(count, trainings) - 1
    return _Spread(values, value, math.sqrt(variance), freedom, count, trainings, of_seeds > of_sources)


def _codes(labels: ClusterLabels) -> tuple[np.ndarray, int]:
    """ClusterLabels as 0 … G−1, numbered in the order in which they are met, and G."""
    if isinstance(labels, np.ndarray) and labels.dtype == int:
        return _numbered_anew(labels.tobytes())
    return _numbered(tuple(labels))


@lru_cache(maxsize=16)
def _numbered_anew(whole_numbers: bytes) -> tuple[np.ndarray, int]:
    _, first, places = np.unique(np.frombuffer(whole_numbers, int), return_index=True, return_inverse=True)
    numbers = np.empty_like(first)
    numbers[np.argsort(first)] = np.arange(len(first))
    return numbers[places], len(first)


@lru_cache(maxsize=16)
def _numbered(labels: tuple[Hashable, ...]) -> tuple[np.ndarray, int]:
    """Remembered, since thousands of points of a figure have the clips, and so the sources, of one manifest."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels]), len(numbers)


def _variance(residuals: np.ndarray, clusters: np.ndarray) -> float:
    """Of the mean, cluster-robust: clusters may correlate within in any way."""
    sums = np.bincount(clusters, weights=residuals)
    if len(sums) < 2:
        return 0.0
    return float(len(sums) / (len(sums) - 1) * (sums @ sums) / len(residuals) ** 2)


def _wilson(spread: _Spread, level: float) -> tuple[float, float]:
    if not spread.freedom:
        return 0.0, 1.0
    share, clips = spread.value, len(spread.values)
    own = share * (1 - share)
    # Of clips that all agree, nobody knows how alike they are within a source: then a source counts as one clip.
    effective = spread.clusters if own == 0 or spread.error == 0 else min(clips, own / spread.error**2)
    square = student_quantile(spread.freedom, level) ** 2
    centre = (share + square / (2 * effective)) / (1 + square / effective)
    half = math.sqrt(square * (own / effective + square / (4 * effective**2))) / (1 + square / effective)
    return min(centre - half, share), max(centre + half, share)


def _estimate(
    spread: _Spread,
    sources: ClusterLabels,
    low: float,
    high: float,
    bounds: tuple[float, float],
    level: float,
) -> Estimate:
    if spread.error == 0 and spread.freedom:  # all clusters agree: how seldom could another one be, unseen so far?
        unseen = 1 - ((1 - level) / 2) ** (1 / spread.clusters)
        low, high = min(low, spread.value - unseen), max(high, spread.value + unseen)
    if 1 < spread.sources < FEW:
        resampled = _bootstrap(spread.values, _codes(sources)[0], level)
        low, high = min(low, resampled[0]), max(high, resampled[1])
    return Estimate(
        float(spread.value),
        float(max(low, bounds[0])),
        float(min(high, bounds[1])),
        spread.error,
        int(spread.freedom),
        len(spread.values),
        int(spread.sources),
        int(spread.seeds),
        bool(spread.by_seed),
    )


def _bootstrap(values: np.ndarray, clusters: np.ndarray, level: float) -> tuple[float, float]:
    """Percentile interval of the mean over sources drawn with replacement."""
    sums, sizes = np.bincount(clusters, weights=values), np.bincount(clusters)
    drawn = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=_RESAMPLES)
    low, high = np.quantile((drawn @ sums) / (drawn @ sizes), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@lru_cache(maxsize=1024)
def student_quantile(freedom: int, level: float) -> float:
    """Half-width, in standard errors, of the interval at a level by Student's t."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(freedom, (1 + level) / 2))


def _below(statistic: float, freedom: int) -> float:
    from scipy.special import stdtr

    return float(stdtr(freedom, statistic))
