"""Least-squares fits of α* against ε: a straight line, and a power law in the same space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vidrobust.errors import InputError
from vidrobust.results.numbers.intervals import student


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
