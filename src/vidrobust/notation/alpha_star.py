"""What α* is: the step size of the greatest mean loss, estimated from the losses on a grid of step sizes.

It stands beside the notation, which writes ``α=α*``, because both who attack with it and who report it need the same
estimate, and the first may not import the second; no torch.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vidrobust.errors import InputError


@dataclass(frozen=True)
class StepSizeEstimate:
    """An estimate of the optimal step size.

    Attributes:
        alpha, low, high: the estimate and its 95 % interval over sources, in the unit of the grid.
        interior: False where the greatest loss lies on the edge of the grid: α* is then only a bound.
        clips: how many clips it rests on.
    """

    alpha: float
    low: float
    high: float
    interior: bool
    clips: int


def best_step(
    alphas: ArrayLike,
    clip_losses: ArrayLike,
    sources: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    resamples: int = 400,
) -> StepSizeEstimate:
    """Estimate α*: the step size with the greatest mean loss, at one ε and one number of iterations.

    A parabola in log α through the three to five grid points around the maximum; the interval comes from resampling
    the sources of the clips, so that a flat optimum shows as a wide interval.

    Args:
        alphas: ``A`` step sizes above 0, ascending, evenly spread in log α; at least 3.
        clip_losses: ``A × N`` loss of every clip at every step size.
        sources: ``N``, what each clip was cut from; clips of one source are drawn together. By default each clip is a
            source of its own.
        seed: of the resampling.
        resamples: how many.

    Returns:
        α* in the unit of ``alphas``, always inside the grid.

    Raises:
        InputError: shapes do not fit or step sizes are not positive and ascending.

    >>> grid = np.geomspace(0.25, 8, 11)
    >>> losses = -((np.log(grid) - np.log(2))[:, None] ** 2) + np.zeros((11, 5))
    >>> round(best_step(grid, losses).alpha, 6)
    2.0
    """
    alphas, losses = np.asarray(alphas, dtype=float), np.asarray(clip_losses, dtype=float)
    if sources is not None and losses.ndim == 2 and len(sources) != losses.shape[1]:
        raise InputError(f"each clip has a source: {losses.shape[1]} clips, but {len(sources)} sources were given.")
    if losses.ndim != 2 or alphas.shape != losses.shape[:1] or len(alphas) < 3 or losses.shape[1] < 1:
        raise InputError(f"step sizes {alphas.shape} and losses {losses.shape}: give A >= 3 and A × N, N >= 1.")
    if not (alphas[0] > 0 and np.all(np.diff(alphas) > 0)):
        raise InputError(f"step sizes must be above 0 and ascending, got {alphas.tolist()}.")
    x = np.log(alphas)
    mean = losses.mean(axis=1)
    best = float(np.exp(_vertex(x, mean[None])[0]))
    drawn = np.exp(_vertex(x, resample(losses.shape[1], resamples, seed, sources) @ losses.T))
    low, high = (float(bound) for bound in np.percentile(drawn, [2.5, 97.5]))
    return StepSizeEstimate(
        best, min(low, best), max(high, best), 0 < int(mean.argmax()) < len(alphas) - 1, losses.shape[1]
    )


def _vertex(x: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Where each of ``R × A`` curves over ``x`` has its maximum, by a weighted parabola around its greatest point."""
    peak = curves.argmax(axis=1)
    index, distance = np.arange(len(x)), np.abs(x[None] - x[peak][:, None])
    steps = np.abs(index[None] - peak[:, None])
    near = (steps <= 1) | ((steps <= 2) & (distance <= math.log(4)))  # wider, a parabola no longer describes the loss
    design = np.stack([np.ones_like(distance), x - x[peak][:, None], (x - x[peak][:, None]) ** 2], axis=-1)
    normal = np.einsum("ra,rai,raj->rij", near, design, design)
    right = np.einsum("ra,rai,ra->ri", near, design, curves - curves.max(axis=1, keepdims=True))
    inside = (peak > 0) & (peak < len(x) - 1)
    found = x[peak].copy()
    fit = np.linalg.solve(normal[inside], right[inside][..., None])[..., 0]
    concave = fit[:, 2] < 0
    shift = np.divide(-fit[:, 1], 2 * fit[:, 2], out=np.zeros(len(fit)), where=concave)
    found[inside] += shift
    return np.clip(found, x[np.maximum(peak - 1, 0)], x[np.minimum(peak + 1, len(x) - 1)])


def resample(clips: int, resamples: int, seed: int, sources: Sequence[Hashable] | None = None) -> np.ndarray:
    """Weights ``R × N`` of a bootstrap over clips, or over their sources: each row sums to 1.

    >>> drawn = resample(4, 100, seed=0, sources=["a", "a", "b", "b"])
    >>> bool((drawn[:, 0] == drawn[:, 1]).all()), sorted(set(drawn[:, 0].tolist()))
    (True, [0.0, 0.25, 0.5])
    """
    rng = np.random.default_rng(seed)
    if sources is None:
        return rng.multinomial(clips, np.full(clips, 1 / clips), size=resamples) / clips
    numbers = {source: number for number, source in enumerate(dict.fromkeys(sources))}
    drawn = rng.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), size=resamples)
    weights = drawn[:, [numbers[source] for source in sources]]
    return weights / weights.sum(axis=1, keepdims=True)
