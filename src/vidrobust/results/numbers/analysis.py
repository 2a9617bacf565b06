"""Rows to what the figures and the claims need: intervals, surfaces, α*, fits, curves, gaps and checks.

All ε and α are in units of 1/255. Nothing here needs torch, and everything works on the rows of a run directory as
plain dictionaries; rows of other kinds are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from vidrobust.errors import InputError, VidrobustError
from vidrobust.runs.rows import Row

Z95 = NormalDist().inv_cdf(0.975)
"""Half-width of a 95 % interval in standard errors."""

CONTROLS = ("standard", "single frame")
"""Models that are not a defence; listed before the defences."""


class MissingRowsError(VidrobustError):
    """A figure or a statistic needs rows that the run does not (yet) have."""


# --------------------------------------------------------------------------------------------------- intervals


def interval(correct: int, clips: int) -> tuple[float, float]:
    """95 % Wilson interval of an accuracy.

    Args:
        correct: clips classified rightly, 0 … ``clips``.
        clips: how many clips there were, at least 1.

    Returns:
        Lower and upper bound, in [0, 1].

    Raises:
        InputError: the counts are impossible.

    >>> low, high = interval(50, 100)
    >>> round(low, 3), round(high, 3)
    (0.404, 0.596)
    """
    if not 0 <= correct <= clips or clips < 1:
        raise InputError(f"{correct} correct of {clips} clips is not possible: give 0 <= correct <= clips, clips >= 1.")
    share, square = correct / clips, Z95 * Z95
    centre = (share + square / (2 * clips)) / (1 + square / clips)
    half = Z95 * math.sqrt(share * (1 - share) / clips + square / (4 * clips * clips)) / (1 + square / clips)
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of independent values (seeds), by Student's t; at least two values.

    >>> low, high = t_interval([1.0, 2.0, 3.0])
    >>> round(low, 2), round(high, 2)
    (-0.48, 4.48)
    """
    if len(values) < 2:
        raise InputError(f"an interval over {len(values)} value is not possible: give at least 2.")
    half = student(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return mean - half, mean + half


def student(freedom: float) -> float:
    """The 97.5 % point of Student's t with so many degrees of freedom."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(freedom, 0.975))


def bootstrap_mean(values: ArrayLike, *, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of per-clip values (``N``), by resampling the clips."""
    values = np.asarray(values, dtype=float)
    weights = _resample(len(values), resamples, seed)
    low, high = np.percentile(weights @ values, [2.5, 97.5])
    return float(low), float(high)


def _resample(clips: int, resamples: int, seed: int) -> np.ndarray:
    """Weights ``R × N`` of a bootstrap over clips: each row sums to 1."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(clips, np.full(clips, 1 / clips), size=resamples) / clips


# -------------------------------------------------------------------------------------------------- sensitivity


@dataclass(frozen=True)
class Surface:
    """Mean PGD loss and accuracy over step size and iterations, at one ε."""

    eps: float
    alphas: np.ndarray
    """``A``, ascending, in 1/255."""
    steps: np.ndarray
    """0 … n."""
    loss: np.ndarray
    """``A × (n + 1)``: mean loss after each step."""
    accuracy: np.ndarray
    """``A × (n + 1)``, in [0, 1]."""
    clips: int
    """Clips behind each cell."""

    @property
    def ridge(self) -> np.ndarray:
        """The α of the greatest loss after each step (``n + 1``)."""
        return self.alphas[self.loss.argmax(axis=0)]


def attacked_model(rows: Iterable[Row], kind: str) -> str:
    """The model that rows of a kind are about: the standard one where there are several."""
    models = list(dict.fromkeys(row.get("model", "standard") for row in rows if row["kind"] == kind))
    return "standard" if "standard" in models or not models else models[0]


def surface_rows(rows: Iterable[Row], eps: float | None = None) -> list[Row]:
    """The trajectories on the grid of the slides, at one ε or at all."""
    chosen = [row for row in rows if row["kind"] == "trajectory" and row.get("surface")]
    model = attacked_model(chosen, "trajectory")
    return [row for row in chosen if row.get("model", "standard") == model and (eps is None or row["eps"] == eps)]


def step_size_rows(rows: Iterable[Row]) -> list[Row]:
    """The estimates of α* for one model."""
    chosen = [row for row in rows if row["kind"] == "step_size"]
    model = attacked_model(chosen, "step_size")
    return [row for row in chosen if row.get("model", "standard") == model]


def surface_eps(rows: Iterable[Row]) -> list[float]:
    """The ε for which there is a surface, ascending."""
    return sorted({row["eps"] for row in surface_rows(rows)})


def surface(rows: Iterable[Row], eps: float) -> Surface:
    """The sensitivity surface at one ε, seeds pooled.

    Raises:
        MissingRowsError: there is no trajectory at this ε.
    """
    chosen = surface_rows(rows, eps)
    if not chosen:
        raise MissingRowsError(f"no sensitivity trajectories at ε={eps:g}: run the study's step 3 (sensitivity).")
    length = min(len(row["loss"]) for row in chosen)
    alphas = sorted({row["alpha"] for row in chosen})
    groups = [[row for row in chosen if row["alpha"] == alpha] for alpha in alphas]
    clips = [sum(row["clips"] for row in group) for group in groups]
    loss = [np.average([r["loss"][:length] for r in g], axis=0, weights=[r["clips"] for r in g]) for g in groups]
    correct = [np.sum([row["correct"][:length] for row in group], axis=0) for group in groups]
    accuracy = np.array(correct) / np.array(clips)[:, None]
    return Surface(eps, np.array(alphas), np.arange(length), np.array(loss), accuracy, min(clips))


@dataclass(frozen=True)
class StepSize:
    """An estimate of the optimal step size with its 95 % interval, in 1/255."""

    alpha: float
    low: float
    high: float
    interior: bool
    """False where the greatest loss lies on the edge of the grid: α* is then only a bound."""


def best_step(alphas: ArrayLike, clip_losses: ArrayLike, *, seed: int = 0, resamples: int = 400) -> StepSize:
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
    drawn = np.exp(_vertex(x, _resample(losses.shape[1], resamples, seed) @ losses.T))
    low, high = (float(bound) for bound in np.percentile(drawn, [2.5, 97.5]))
    return StepSize(best, min(low, best), max(high, best), 0 < int(mean.argmax()) < len(alphas) - 1)


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


# --------------------------------------------------------------------------------------------------------- fits


@dataclass(frozen=True)
class LinearFit:
    """``y = intercept + slope · x`` by least squares, with 95 % intervals."""

    slope: float
    slope_low: float
    slope_high: float
    intercept: float
    intercept_low: float
    intercept_high: float
    r2: float
    aicc: float

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """The line at ``x``."""
        return self.intercept + self.slope * np.asarray(x, dtype=float)


@dataclass(frozen=True)
class PowerFit:
    """``y = scale · x ** exponent`` by least squares in the space of y, with 95 % intervals."""

    exponent: float
    exponent_low: float
    exponent_high: float
    scale: float
    r2: float
    aicc: float

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """The curve at ``x``."""
        return self.scale * np.asarray(x, dtype=float) ** self.exponent


def linear_fit(x: ArrayLike, y: ArrayLike) -> LinearFit:
    """Fit a straight line; at least 3 points.

    >>> round(linear_fit([1, 2, 3, 4], [1.2, 1.4, 1.6, 1.8]).slope, 6)
    0.2
    """
    x, y = _fit_points(x, y)
    freedom, middle = len(x) - 2, x.mean()
    spread = float(np.sum((x - middle) ** 2))
    slope = float(np.sum((x - middle) * y) / spread)
    intercept = float(y.mean() - slope * middle)
    residual = float(np.sum((y - intercept - slope * x) ** 2))
    reach, variance = student(freedom), residual / freedom
    wide = reach * math.sqrt(variance / spread)
    high = reach * math.sqrt(variance * (1 / len(x) + middle**2 / spread))
    r2, aicc = _quality(y, residual)
    return LinearFit(slope, slope - wide, slope + wide, intercept, intercept - high, intercept + high, r2, aicc)


def power_fit(x: ArrayLike, y: ArrayLike) -> PowerFit:
    """Fit a power law in the space of y, so that its AICc compares with the line's; x > 0, at least 3 points.

    >>> round(power_fit([1, 2, 3, 4], [0.5, 1.0, 1.5, 2.0]).exponent, 6)
    1.0
    """
    x, y = _fit_points(x, y)
    if np.any(x <= 0) or np.any(y <= 0):
        raise InputError("a power law needs x and y above 0.")
    exponent, log_scale = np.polyfit(np.log(x), np.log(y), 1)
    theta = np.array([float(np.exp(log_scale)), float(exponent)])
    theta = _gauss_newton(x, y, theta)
    model = theta[0] * x ** theta[1]
    residual = float(np.sum((y - model) ** 2))
    jacobian = np.stack([x ** theta[1], model * np.log(x)], axis=1)
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * residual / (len(x) - 2)
    wide = student(len(x) - 2) * math.sqrt(max(covariance[1, 1], 0.0))
    r2, aicc = _quality(y, residual)
    return PowerFit(float(theta[1]), float(theta[1] - wide), float(theta[1] + wide), float(theta[0]), r2, aicc)


def _gauss_newton(x: np.ndarray, y: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Least squares of scale and exponent from a start in log space; a step that does not help is halved."""

    def cost(scale: float, exponent: float) -> float:
        return float(np.sum((y - scale * x**exponent) ** 2))

    for _ in range(50):
        model = theta[0] * x ** theta[1]
        jacobian = np.stack([x ** theta[1], model * np.log(x)], axis=1)
        step = np.linalg.lstsq(jacobian, y - model, rcond=None)[0]
        while cost(*(theta + step)) > cost(*theta) and np.abs(step).max() > 1e-12:
            step = step / 2
        theta = theta + step
        if np.abs(step).max() <= 1e-12:
            break
    return theta


def _fit_points(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 3 or np.ptp(x) == 0:
        raise InputError(
            f"a fit needs two lists of equal length, 3 or more, with differing x; got {x.shape}, {y.shape}."
        )
    return x, y


def _quality(y: np.ndarray, residual: float) -> tuple[float, float]:
    """R² and AICc of a fit with two coefficients; lower AICc is better, 4 is a clear difference."""
    total, n, k = float(np.sum((y - y.mean()) ** 2)), len(y), 3  # the third parameter is the residual variance
    r2 = 1 - residual / total if total > 0 else (1.0 if residual == 0 else 0.0)
    floor = n * (1e-12 * max(float(np.abs(y).max()), 1e-300)) ** 2  # a perfect fit would have -infinity
    correction = 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else math.inf
    return r2, n * math.log(max(residual, floor) / n) + 2 * k + correction
