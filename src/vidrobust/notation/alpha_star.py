"""What α* is: the step size of the greatest mean loss, estimated from the losses on a grid of step sizes.

It stands beside the notation, which writes ``α=α*``, because both who attack with it and who report it need the same
estimate, and the first may not import the second; no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vidrobust.errors import InputError


@dataclass(frozen=True)
class StepSizeEstimate:
    """An estimate of the optimal step size.

    Attributes:
        alpha, low, high: the estimate and its 95 % interval over clips, in the unit of the grid.
        interior: False where the greatest loss lies on the edge of the grid: α* is then only a bound.
        clips: how many clips it rests on.
    """

    alpha: float
    low: float
    high: float
    interior: bool
    clips: int


def best_step(alphas: ArrayLike, clip_losses: ArrayLike, *, seed: int = 0, resamples: int = 400) -> StepSizeEstimate:
    """Estimate α*: the step size with the greatest mean loss, at one ε and one number of iterations.

    A parabola in log α through the three to five grid points around the maximum; the interval comes from resampling
    the clips, so that a flat optimum shows as a wide interval.

    Args:
        alphas: ``A`` step sizes above 0, ascending, evenly spread in log α; at least 3.
        clip_losses: ``A × N`` loss of every clip at every step size.
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
    if losses.ndim != 2 or alphas.shape != losses.shape[:1] or len(alphas) < 3 or losses.shape[1] < 1:
        raise InputError(f"step sizes {alphas.shape} and losses {losses.shape}: give A >= 3 and A × N, N >= 1.")
    if not (alphas[0] > 0 and np.all(np.diff(alphas) > 0)):
        raise InputError(f"step sizes must be above 0 and ascending, got {alphas.tolist()}.")
    x = np.log(alphas)
    mean = losses.mean(axis=1)
    best = float(np.exp(_vertex(x, mean[None])[0]))
    drawn = np.exp(_vertex(x, resample(losses.shape[1], resamples, seed) @ losses.T))
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


def resample(clips: int, resamples: int, seed: int) -> np.ndarray:
    """Weights ``R × N`` of a bootstrap over clips: each row sums to 1."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(clips, np.full(clips, 1 / clips), size=resamples) / clips
