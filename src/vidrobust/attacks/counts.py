"""Checks of the numeric parameters of attacks."""

from __future__ import annotations

import math
from numbers import Integral, Real

from vidrobust.errors import InputError


def at_least_one(**counts: int) -> None:
    """Refuse counts that are not whole numbers of at least 1.

    >>> at_least_one(steps=0)
    Traceback (most recent call last):
    ...
    vidrobust.errors.InputError: steps must be a whole number of at least 1, but is 0.
    """
    for name, count in counts.items():
        if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
            raise InputError(f"{name} must be a whole number of at least 1, but is {count!r}.")


def not_negative(**numbers: float) -> None:
    """Refuse a value that is not a finite number of at least 0.

    >>> not_negative(momentum=float("nan"))
    Traceback (most recent call last):
    ...
    vidrobust.errors.InputError: momentum must be a finite number of at least 0, but is nan.
    """
    for name, number in numbers.items():
        if not (isinstance(number, Real) and 0 <= number < math.inf):
            raise InputError(f"{name} must be a finite number of at least 0, but is {number!r}.")


def check_seed(seed: int) -> None:
    """Refuse a value that cannot seed a random generator.

    >>> check_seed(0.5)
    Traceback (most recent call last):
    ...
    vidrobust.errors.InputError: seed must be a whole number of 64 bits, but is 0.5.
    """
    if not (isinstance(seed, Integral) and -(2**63) <= seed < 2**63):
        raise InputError(f"seed must be a whole number of 64 bits, but is {seed!r}.")
