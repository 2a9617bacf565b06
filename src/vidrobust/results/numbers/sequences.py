"""Intervals that are valid at any stopping time, for seeds that are added until a claim is decided.

An interval of a fixed number of seeds, looked at after every seed, is sooner or later wrong in far more than one case
of twenty. Here the seeds' means enter a confidence sequence for Gaussian means of unknown variance: the t statistic's
likelihood ratio, mixed over a Gaussian prior on the size of the effect in standard deviations, is a martingale where
there is no effect, so that by Ville's inequality it exceeds 1/α, ever, with probability at most α (Wang and Ramdas,
*Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance*, arXiv:2310.03722; Lindon,
Ham, Tingley and Bojinov 2022, *Anytime-valid linear models and regression adjusted causal inference*; for the principle
Howard, Ramdas, McAuliffe and Sekhon 2021, *Time-uniform, nonparametric, nonasymptotic confidence sequences*).

The sources of the clips do not grow in number while seeds are added: their share of the error is that of a fixed
sample, and is added to the sequence's half-width. Each of the two gets half of α.

P values of one side are those of the interval of both sides, which is valid, and up to twice as large as need be: half
of α would do for one side of the sources' share, but not quite for the mixture, whose paths may leave both sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vidrobust.results.numbers.outcomes import ClipValues
from vidrobust.results.numbers.statistics import LEVEL, Estimate, mean, student_quantile

PRIOR = 3.0
"""Standard deviation of the prior on the effect, in standard deviations between seeds: effects of training are several
of these, and a prior that is too wide costs little."""

SMALLEST_P = 1e-9


@dataclass(frozen=True)
class Look:
    """The statistics after a number of seeds.

    Attributes:
        seeds: how many, at least 2.
        value: the mean over them.
        spread: standard deviation between the seeds' means.
        error: standard error over sources, of the mean over these seeds.
        sources: how many.
    """

    seeds: int
    value: float
    spread: float
    error: float
    sources: int

    def half(self, alpha: float) -> float:
        """Half-width of the interval at level 1 − α, half of α being spent on seeds and half on sources."""
        if self.sources < 2:
            return math.inf
        over_sources = student_quantile(self.sources - 1, 1 - alpha / 2) * self.error
        return seeds_half(self.seeds, self.spread, alpha / 2) + over_sources


def seeds_half(seeds: int, spread: float, alpha: float) -> float:
    """Half-width of the confidence sequence of a Gaussian mean after so many values, at level 1 − α.

    Args:
        seeds: values so far, at least 2.
        spread: their standard deviation, with ``seeds`` − 1 in the denominator.
        alpha: in (0, 1): how often the sequence may ever miss the mean.

    >>> [round(seeds_half(seeds, 1.0, 0.05), 2) for seeds in (3, 5, 20, 1000)]
    [8.42, 2.41, 0.85, 0.12]
    """
    ratio = 1 + seeds * PRIOR**2
    bound = (math.sqrt(ratio) / alpha) ** (2 / seeds)
    if bound >= ratio:
        return math.inf  # so few values can never tell
    squared = (seeds - 1) * (bound - 1) / (1 - bound / ratio)
    return math.sqrt(squared / seeds) * spread


@dataclass(frozen=True)
class AnytimeEstimate(Estimate):
    """A mean whose interval and P values hold at whatever number of seeds one stops.

    Attributes:
        looks: what was seen after each seed from the second on. Evidence that was there once is not taken back, not
            even by later looks that exclude it: P values are the smallest of all looks, the interval what all leave.
    """

    looks: tuple[Look, ...] = ()

    def above(self, bound: float) -> float:
        """P value, at any stopping time, against the mean being at most ``bound``."""
        return min((_farther_off(look, look.value - bound) for look in self.looks), default=1.0)

    def below(self, bound: float) -> float:
        """P value, at any stopping time, against the mean being at least ``bound``."""
        return min((_farther_off(look, bound - look.value) for look in self.looks), default=1.0)

    def half(self, seeds: int, sources: int, alpha: float) -> float:
        """How far from the mean a bound has to be for a P value of ``alpha``, with so many seeds and sources."""
        if not self.looks:
            return math.inf
        last, then = self.looks[-1], self._with(seeds, sources)
        # Of the variance between seeds, that of cells alone is smaller with more sources.
        between = max(0.0, last.spread**2 - last.seeds * self.variance.cells) + seeds * then.cells
        drawn = last.sources * sources // self.sources
        return Look(seeds, last.value, math.sqrt(between), math.sqrt(then.sources + then.cells), drawn).half(alpha)


def anytime(found: ClipValues) -> Estimate:
    """The mean of differences per clip, for seeds that are added one after another until something is decided.

    Args:
        found: the values, of each seed the same clips; seeds are taken in ascending order.

    Returns:
        The mean with its interval, cut to [-1, 1].

    >>> seeds = [0.24, 0.26, 0.25, 0.25, 0.24, 0.26, 0.25, 0.25]
    >>> seen = anytime(ClipValues(np.repeat(seeds, 20), list(range(20)) * 8, np.repeat(range(8), 20).tolist()))
    >>> round(seen.value, 3), seen.low > 0, seen.above(0) < 0.05
    (0.25, True, True)
    """
    looks = _looks(found)
    low, high = _bounds(looks, 1 - LEVEL)
    sources, seeds = len(set(found.sources)), len(set(found.seeds))
    last = looks[-1] if looks else Look(1, float(found.values.mean()), math.inf, math.inf, sources)
    variance = mean(found.values, found.sources, found.seeds).variance
    return AnytimeEstimate(
        last.value, max(low, -1.0), min(high, 1.0), variance, seeds - 1, len(found.values), sources, seeds, looks
    )


def _looks(found: ClipValues) -> tuple[Look, ...]:
    """What is seen after each seed from the second on."""
    seeds, by_seed = np.unique(np.asarray(found.seeds), return_inverse=True)
    numbers = {source: number for number, source in enumerate(dict.fromkeys(found.sources))}
    by_source = np.array([numbers[source] for source in found.sources])
    cell, shape = by_seed * len(numbers) + by_source, (len(seeds), len(numbers))
    size = shape[0] * shape[1]
    sums = np.bincount(cell, weights=found.values, minlength=size).reshape(shape)
    clips = np.bincount(cell, minlength=size).reshape(shape)
    means = sums.sum(1) / clips.sum(1)
    return tuple(_look(means[:n], sums[:n].sum(0), clips[:n].sum(0)) for n in range(2, len(seeds) + 1))


def _look(means: np.ndarray, sums: np.ndarray, clips: np.ndarray) -> Look:
    """From the means of some seeds, and the sums and numbers of their values by source."""
    sources, values = len(sums), int(clips.sum())
    residuals = sums - sums.sum() / values * clips
    error = math.sqrt(sources / (sources - 1) * float(residuals @ residuals)) / values if sources > 1 else 0.0
    least = 0.5 * len(means) / values  # seeds that agree to the clip may still differ by less than a clip
    return Look(len(means), float(means.mean()), max(float(means.std(ddof=1)), least), error, sources)


def _bounds(looks: tuple[Look, ...], alpha: float) -> tuple[float, float]:
    """The interval that all looks leave; of looks that exclude each other, which few do, the last one's."""
    halves = [(look.value, look.half(alpha)) for look in looks]
    low = max((value - half for value, half in halves), default=-math.inf)
    high = min((value + half for value, half in halves), default=math.inf)
    return (low, high) if low <= high else (halves[-1][0] - halves[-1][1], halves[-1][0] + halves[-1][1])


@lru_cache(maxsize=4096)
def _farther_off(look: Look, distance: float) -> float:
    """The smallest α at which a bound so far below the value is outside a look's interval; 1 if it is at none."""
    if look.half(0.999) >= distance:
        return 1.0
    if look.half(SMALLEST_P) < distance:
        return SMALLEST_P
    low, high = math.log(SMALLEST_P), 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if look.half(math.exp(middle)) < distance else (middle, high)
    return math.exp(high)
