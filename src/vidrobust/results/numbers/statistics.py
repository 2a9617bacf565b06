"""Intervals and tests, clustered by source, and for trainings also by seed.

Clips of one source (a UCF-101 group, a photograph) are alike: counting them as independent makes intervals too narrow.
Everything here takes values per clip with the source, and where trainings are compared the seed, that each belongs to:

- variances are cluster-robust, two-way where sources and seeds both vary (Cameron, Gelbach and Miller 2011, *Robust
  inference with multiway clustering*), with Student's t of one degree of freedom less than there are clusters;
- an accuracy has Wilson's interval at the effective number of clips (Dean and Pagano 2015, *Evaluating confidence
  interval methods for binomial proportions in clustered surveys*). Near 0 and 1, where few clips say how alike those of
  a source are, it leaves room at least for sources of which none was drawn (:func:`unseen`), as it does where no clip
  is right: so it rises with the number of right clips;
- under :data:`FEW` sources the bootstrap over sources is computed too and the wider of the two is given, for the
  bootstrap alone is too narrow there; such an interval is not :attr:`Estimate.trusted`;
- two things that saw the same clips are compared by their difference clip for clip (:func:`paired_difference`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from vidrobust.errors import InputError
from vidrobust.results.numbers.needed import Needed, needed
from vidrobust.results.numbers.spread import ClusterLabels, Spread, Variance, freedom_of, numbered, spread_of
from vidrobust.runs.wording import counted

FEW = 10
"""With fewer sources an interval is given but not to be trusted."""

LEVEL = 0.95

_RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean over clips with its interval.

    Attributes:
        value: the mean.
        low, high: its 95 % interval.
        variance: of the mean, clustered.
        freedom: degrees of freedom of its t.
        clips: how many values there were.
        sources, seeds: how many distinct ones; ``seeds`` is 1 where they were not told.
    """

    value: float
    low: float
    high: float
    variance: Variance
    freedom: int
    clips: int
    sources: int
    seeds: int = 1

    @property
    def error(self) -> float:
        """Its standard error, clustered."""
        return self.variance.error

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

    def half(self, seeds: int, sources: int, alpha: float) -> float:
        """How far from the mean a bound has to be for a one-sided P value of ``alpha``, with so many seeds and sources.

        The variance of each of them is taken to stay as it is.
        """
        freedom = freedom_of(sources, seeds)
        if not freedom:
            return math.inf
        return student_quantile(freedom, 1 - 2 * alpha) * self._with(seeds, sources).error

    def more_for(self, effect: float, alpha: float = (1 - LEVEL) / 2) -> Needed | None:
        """How many more seeds or sources give a mean ``effect`` off a bound a one-sided P value of ``alpha``.

        Args:
            effect: positive; the mean is taken to stay as far off.
            alpha: by default that half of the 95 % interval is as wide as ``effect``.

        Returns:
            See :func:`vidrobust.results.numbers.needed.needed`; of a single source, as many as can be trusted.

        >>> print(mean([0.0, 1.0] * 10, list(range(20))).more_for(0.1))
        84 more sources
        """
        if effect <= 0:
            raise InputError(f"the difference that matters must be positive, but is {effect:g}.")
        if self.sources == self.seeds == 1:
            return Needed(sources=FEW - 1)
        return needed(lambda seeds, sources: self.half(seeds, sources, alpha), effect, self.seeds, self.sources)

    def _with(self, seeds: int, sources: int) -> Variance:
        return self.variance.scaled(sources / self.sources, seeds / self.seeds)

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
    spread = spread_of(values, sources, seeds)
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
    spread = spread_of(_values(values, sources, seeds), sources, seeds)
    half = student_quantile(spread.freedom, level) * spread.error if spread.freedom else math.inf
    if half == 0:  # all clusters agree
        half = unseen(spread.clusters, level)
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


def unseen(drawn: int, level: float = LEVEL) -> float:
    """How large a share the sources may have of which none was among so many (Clopper and Pearson 1934, none of N).

    Whatever the sources that were drawn are like, with a chance of (1 − level) / 2 none was of such a share. So no
    interval of an accuracy that knows sources alone can end below it, even if all clips of those drawn are wrong. By
    the observed design effect one would: one right clip of 400 seems to say that clips of a source are not alike.

    >>> [round(unseen(drawn), 3) for drawn in (10, 128)]
    [0.308, 0.028]
    """
    return 1 - ((1 - level) / 2) ** (1 / drawn)


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


# ----------------------------------------------------------------------------------------------------- machinery


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


def _wilson(spread: Spread, level: float) -> tuple[float, float]:
    if not spread.freedom:
        return 0.0, 1.0
    share, clips = spread.value, len(spread.values)
    own, square_error = share * (1 - share), spread.error**2
    effective = own / square_error if own < clips * square_error else clips  # without spread all of them
    square = student_quantile(spread.freedom, level) ** 2
    centre = (share + square / (2 * effective)) / (1 + square / effective)
    half = math.sqrt(square * (own / effective + square / (4 * effective**2))) / (1 + square / effective)
    room = unseen(spread.clusters, level)
    return min(centre - half, share, 1 - room), max(centre + half, share, room)


def _estimate(
    spread: Spread,
    sources: ClusterLabels,
    low: float,
    high: float,
    bounds: tuple[float, float],
    level: float,
) -> Estimate:
    if 1 < spread.sources < FEW:
        resampled = _bootstrap(spread.values, numbered(sources)[0], level)
        low, high = min(low, resampled[0]), max(high, resampled[1])
    return Estimate(
        float(spread.value),
        float(max(low, bounds[0])),
        float(min(high, bounds[1])),
        spread.variance,
        int(spread.freedom),
        len(spread.values),
        int(spread.sources),
        int(spread.seeds),
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
