"""Intervals of accuracies and of means: Wilson's and Student's t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from vidrobust.errors import InputError

Z95 = NormalDist().inv_cdf(0.975)
"""Half-width of a 95 % interval in standard errors."""


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
