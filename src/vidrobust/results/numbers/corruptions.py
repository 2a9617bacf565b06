"""Rows of corruptions to numbers: accuracy by kind and severity, mPC, rPC, γᵃ, γʳ and mCE, with clustered intervals.

With A the accuracy of clean clips and A(k, s) that under kind k at severity s, over all kinds that count:

- mPC is the mean of A(k, s), and rPC = mPC / A (Yi et al., NeurIPS 2021 D&B, section 3.3, after Michaelis et al. 2019);
- γᵃ = 1 − (A − A(k, s)) and γʳ = 1 − (A − A(k, s)) / A, averaged (Schiappa et al., CVPR 2023, section 3.4);
- mCE is the mean over kinds of Σₛ (1 − A(k, s)) / Σₛ (1 − A_ref(k, s)), A_ref being a reference model's (Hendrycks and
  Dietterich, ICLR 2019).

Intervals are clustered by source. Those of quotients are of their linear approximation, clip for clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vidrobust.results.numbers.outcomes import sample, survived_clips
from vidrobust.results.numbers.selection import derived, grouped, model_order, of_kind
from vidrobust.results.numbers.spread import ClusterLabels, Variance
from vidrobust.results.numbers.statistics import Estimate, accuracy_estimate, mean
from vidrobust.runs.rows import Row

REFERENCE = "standard"
"""The model whose errors are the unit of mCE where no row says which is."""

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class CorruptionGrid:
    """What one model gets right in one convention, clip by clip, seeds one behind the other.

    Attributes:
        model, convention, split: of what.
        clean: ``N`` zeros and ones.
        cells: of (kind, severity) as many.
        counted: the kinds that enter the means over kinds.
        sources, seeds: ``N``, of each value the source of its clip and the seed of the training.
        clips: what tells the set of clips apart.
        reference: is the model marked as reference?
    """

    model: str
    convention: str
    split: str
    clean: np.ndarray
    cells: dict[tuple[str, int], np.ndarray]
    counted: tuple[str, ...]
    sources: ClusterLabels
    seeds: ClusterLabels
    clips: tuple[object, ...] = field(default=())
    reference: bool = False

    @property
    def kinds(self) -> list[str]:
        """All kinds, in the order in which they were measured."""
        return list(dict.fromkeys(kind for kind, _ in self.cells))

    @property
    def severities(self) -> list[int]:
        """The severities that were measured."""
        return sorted({severity for _, severity in self.cells})

    def at(self, kind: str, severity: int) -> Estimate | None:
        """The accuracy under one kind at one severity."""
        found = self.cells.get((kind, severity))
        return None if found is None else accuracy_estimate(found, self.sources, self.seeds)

    def mean_of(self, kinds: Iterable[str]) -> np.ndarray:
        """``N``: of each clip, how often it is right, each kind weighing the same."""
        return np.mean([self.of_kind(kind) for kind in kinds], 0)

    def of_kind(self, kind: str) -> np.ndarray:
        """``N``: of each clip, how often it is right over the severities of a kind."""
        return np.mean([values for (name, _), values in self.cells.items() if name == kind], 0)


@dataclass(frozen=True)
class CorruptionScores:
    """What a grid adds up to.

    Attributes:
        clean: accuracy of clean clips.
        mpc, rpc: mean accuracy under corruption, and its share of the clean one.
        absolute, relative: γᵃ and γʳ.
        mce: against the reference; None without one, or where the reference has no error under some kind.
        reference: the reference's name.
    """

    clean: Estimate
    mpc: Estimate
    rpc: Estimate | None
    absolute: Estimate
    relative: Estimate | None
    mce: Estimate | None
    reference: str


@derived
def grids(rows: Iterable[Row]) -> list[CorruptionGrid]:
    """The grids of all models, convention by convention.

    Of a model and convention that were measured on several sets of clips, the largest counts.
    """
    found = of_kind(rows, "corruption")
    order = list(dict.fromkeys(row["convention"] for row in found))
    complete = []
    for convention in order:
        by_model = grouped((row for row in found if row["convention"] == convention), "model")
        complete += [grid for model in model_order(by_model) if (grid := _grid(by_model[model])) is not None]
    return complete


def _grid(rows: Sequence[Row]) -> CorruptionGrid | None:
    """The grid of one model and convention: the seeds that were measured on the same clips in the same way."""
    sets = grouped(rows, "split", "clips", "clips_of", "draws")
    key, chosen = max(sets.items(), key=lambda item: (item[0][1], len(item[1])))
    by_seed = grouped(chosen, "seed")
    clean = {seed: next((row for row in some if row["severity"] == 0), None) for seed, some in by_seed.items()}
    seeds = [seed for seed, row in clean.items() if row is not None]
    cells = {seed: {(row["corruption"], row["severity"]): row for row in by_seed[seed] if row["severity"]}
             for seed in seeds}  # fmt: skip
    shared = [cell for cell in cells[seeds[0]] if all(cell in cells[seed] for seed in seeds)] if seeds else []
    if not shared:
        return None
    first = [row for row in clean.values() if row is not None]
    of = sample(first, [survived_clips(row) for row in first])
    counted = dict.fromkeys(kind for kind, severity in shared if cells[seeds[0]][kind, severity]["counted"])
    return CorruptionGrid(
        rows[0]["model"],
        rows[0]["convention"],
        key[0],
        of.values,
        {cell: np.concatenate([survived_clips(cells[seed][cell]) for seed in seeds]) for cell in shared},
        tuple(counted),
        of.sources,
        of.seeds,
        key,
        any(row.get("reference") for row in chosen),
    )


def reference_of(found: Sequence[CorruptionGrid], convention: str) -> CorruptionGrid | None:
    """The grid whose errors are the unit of mCE: the one marked, or else the standard model's beside others."""
    several = [grid for grid in found if grid.convention == convention]
    marked = [grid for grid in several if grid.reference]
    usual = [grid for grid in several if grid.model == REFERENCE and len(several) > 1]
    return next(iter([*marked, *usual]), None)


def scores(grid: CorruptionGrid, reference: CorruptionGrid | None = None) -> CorruptionScores:
    """What a grid adds up to; mCE over the kinds and severities that the reference has as well.

    >>> clean, harmed = np.array([1, 1, 1, 0] * 6), np.array([1, 0, 0, 0] * 6)
    >>> sources = list("abcdefghijklmnopqrstuvwx")
    >>> grid = CorruptionGrid("m", "c", "test", clean, {("fog", 1): harmed}, ("fog",), sources, [0] * 24)
    >>> found = scores(grid)
    >>> round(found.mpc.value, 3), round(found.rpc.value, 3), round(found.absolute.value, 3)
    (0.25, 0.333, 0.5)
    """
    kinds = grid.counted or tuple(grid.kinds)
    harmed = grid.mean_of(kinds)
    relative = _quotient(harmed, grid.clean, grid)
    return CorruptionScores(
        accuracy_estimate(grid.clean, grid.sources, grid.seeds),
        mean(harmed, grid.sources, grid.seeds, (0.0, 1.0)),
        relative,
        robustness(grid, kinds)[0],
        robustness(grid, kinds)[1],
        None if reference is None else mean_error(grid, reference),
        "" if reference is None else reference.model,
    )


def robustness(grid: CorruptionGrid, kinds: Iterable[str]) -> tuple[Estimate, Estimate | None]:
    """γᵃ and γʳ over some kinds."""
    harmed = grid.mean_of(kinds)
    absolute = mean(1 - (grid.clean - harmed), grid.sources, grid.seeds, (0.0, 2.0))
    return absolute, _quotient(harmed, grid.clean, grid)


def mean_error(grid: CorruptionGrid, reference: CorruptionGrid) -> Estimate | None:
    """mCE: the mean over kinds of the errors over those of a reference, from 0; 1 is as many.

    On the same clips and one training each, its interval takes the two as paired; otherwise it has none (infinite).
    """
    shared = [kind for kind in grid.counted or grid.kinds if kind in reference.kinds]
    pairs = []
    for kind in shared:
        levels = [level for level in SEVERITIES if (kind, level) in grid.cells and (kind, level) in reference.cells]
        if levels:
            pairs.append([1 - np.mean([one.cells[kind, level] for level in levels], 0) for one in (grid, reference)])
    if not pairs or any(theirs.mean() == 0 for _, theirs in pairs):
        return None
    ratios = [own.mean() / theirs.mean() for own, theirs in pairs]
    value = float(np.mean(ratios))
    if grid.clips != reference.clips or len({*grid.seeds}) > 1 or len({*reference.seeds}) > 1:
        return Estimate(value, 0.0, math.inf, Variance(math.inf), 0, len(grid.clean), len(set(grid.sources)))
    moved = [(own - ratio * theirs) / theirs.mean() for (own, theirs), ratio in zip(pairs, ratios, strict=True)]
    return mean(value + np.mean(moved, 0), grid.sources, None, (0.0, math.inf))


def _quotient(upper: np.ndarray, lower: np.ndarray, grid: CorruptionGrid) -> Estimate | None:
    """The quotient of two means over the same clips."""
    if not lower.mean():
        return None
    value = upper.mean() / lower.mean()
    return mean(value + (upper - value * lower) / lower.mean(), grid.sources, grid.seeds, (0.0, math.inf))
