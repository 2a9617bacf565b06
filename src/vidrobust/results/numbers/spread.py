"""The variance of a mean over clips of some sources, and of some seeds, by what it comes from.

It is cluster-robust, two-way where sources and seeds both vary (Cameron, Gelbach and Miller 2011, *Robust inference
with multiway clustering*); its parts are those of an analysis of variance of sources × seeds.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

ClusterLabels = Sequence[Hashable] | np.ndarray
"""The source, or the seed, of each value."""


@dataclass(frozen=True)
class Variance:
    """The variance of a mean, by what makes it smaller.

    Attributes:
        sources: differences between sources that all seeds share: more sources alone make it smaller.
        seeds: differences between seeds on all sources: more seeds alone do.
        cells: of each seed on each source: both do.
    """

    sources: float
    seeds: float = 0.0
    cells: float = 0.0

    @property
    def error(self) -> float:
        """The standard error."""
        return math.sqrt(self.sources + self.seeds + self.cells)

    def scaled(self, sources: float, seeds: float) -> Variance:
        """With so many times as many of each."""
        return Variance(self.sources / sources, self.seeds / seeds, self.cells / (sources * seeds))


@dataclass(frozen=True)
class Spread:
    """A mean, its clustered variance and what it was made of."""

    values: np.ndarray
    value: float
    variance: Variance
    sources: int
    seeds: int

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.variance.error

    @property
    def freedom(self) -> int:
        """Degrees of freedom of its t."""
        return freedom_of(self.sources, self.seeds)

    @property
    def clusters(self) -> int:
        """What was drawn: sources, or seeds where there is one source only.

        Not the fewer of both: five seeds that all fail on 128 sources would leave room for 61 %.
        """
        return self.sources if self.sources > 1 else self.seeds


def spread_of(values: np.ndarray, sources: ClusterLabels, seeds: ClusterLabels | None) -> Spread:
    """How values ``N`` spread over the sources, and the seeds if any are told, that each is of."""
    (by_source, count), value = numbered(sources), float(values.mean())
    residuals = values - value
    of_sources = _of_clusters(residuals, by_source)
    by_seed, trainings = numbered([0] if seeds is None else seeds)
    if trainings == 1:
        return Spread(values, value, Variance(of_sources), count, 1)
    of_seeds = _of_clusters(residuals, by_seed)
    if count == 1:
        return Spread(values, value, Variance(0.0, of_seeds), 1, trainings)
    of_cells = _of_clusters(residuals, numbered(by_source * trainings + by_seed)[0])
    # The difference may fall below either in small samples.
    whole = max(of_sources + of_seeds - of_cells, of_sources, of_seeds)
    # What neither explains, as in an analysis of variance, of which these are the sums of squares.
    rest = of_cells * (count * trainings - 1) - of_sources * (count - 1) - of_seeds * (trainings - 1)
    cells = min(max(0.0, rest / ((count - 1) * (trainings - 1))), of_sources)
    return Spread(values, value, Variance(of_sources - cells, whole - of_sources, cells), count, trainings)


def freedom_of(sources: int, seeds: int) -> int:
    """Degrees of freedom of t: one less than there are clusters of the kind that has fewer, of those that vary."""
    return min(count for count in (sources, seeds) if count > 1) - 1 if max(sources, seeds) > 1 else 0


def numbered(labels: ClusterLabels) -> tuple[np.ndarray, int]:
    """Labels as 0 … G−1, numbered in the order in which they are met, and G."""
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


def _of_clusters(residuals: np.ndarray, clusters: np.ndarray) -> float:
    """Of the mean, cluster-robust: clusters may correlate within in any way."""
    sums = np.bincount(clusters, weights=residuals)
    if len(sums) < 2:
        return 0.0
    return float(len(sums) / (len(sums) - 1) * (sums @ sums) / len(residuals) ** 2)
