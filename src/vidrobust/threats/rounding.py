"""Directed rounding to float32, so that budgets hold without a tolerance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def round_down(value: float) -> float:
    """The largest float32 that is not above ``value``.

    float32(8/255) lies above 8/255: to hold ``|δ| ≤ ε`` with no tolerance, the bound is rounded, not the check.

    >>> round_down(8 / 255) <= 8 / 255
    True
    """
    return below(torch.tensor(value, dtype=torch.float64)).item()


def below(exact: Tensor) -> Tensor:
    """The largest float32 numbers that are not above ``exact`` (float64)."""
    nearest = exact.float()
    return torch.where(nearest.double() > exact, torch.nextafter(nearest, nearest.new_tensor(-math.inf)), nearest)


def sum_below(one: Tensor, other: Tensor) -> Tensor:
    """The largest float32 numbers that are not above ``one + other`` (float32, a finite sum): in half float64's time.

    >>> eps = torch.tensor(round_down(8 / 255))
    >>> sum_below(torch.tensor(0.1), eps).double() <= torch.tensor(0.1).double() + eps.double()
    tensor(True)
    """
    nearest, lost = _rounded_sum(one, other)
    return torch.where(lost < 0, torch.nextafter(nearest, nearest.new_tensor(-math.inf)), nearest)


def sum_above(one: Tensor, other: Tensor) -> Tensor:
    """The smallest float32 numbers that are not below ``one + other`` (float32, a finite sum)."""
    nearest, lost = _rounded_sum(one, other)
    return torch.where(lost > 0, torch.nextafter(nearest, nearest.new_tensor(math.inf)), nearest)


def _rounded_sum(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """A sum as it is rounded, and what rounding took from it, which is a number of the same type.

    Source: Knuth, *The Art of Computer Programming*, volume 2, section 4.2.2, theorem B.
    """
    nearest = one + other
    share = nearest - one
    return nearest, (one - (nearest - share)) + (other - share)


def above(exact: Tensor) -> Tensor:
    """The smallest float32 numbers that are not below ``exact`` (float64)."""
    return -below(-exact)


def round_towards(centre: Tensor, exact: Tensor) -> Tensor:
    """``exact`` (float64) in the type of ``centre``, rounded towards it: no distance to the centre grows.

    >>> centre, exact = torch.tensor([0.5]), torch.tensor([0.6], dtype=torch.float64)
    >>> bool(round_towards(centre, exact) <= exact)
    True
    """
    nearest = exact.to(centre.dtype)
    beyond = torch.where(exact > centre, nearest.double() > exact, nearest.double() < exact)
    return torch.where(beyond, _neighbour(nearest, centre), nearest)


def _neighbour(value: Tensor, goal: Tensor) -> Tensor:
    """The next number of their type from ``value`` towards ``goal``."""
    if value.dtype in (torch.float32, torch.float64):
        return torch.nextafter(value, goal)
    bits = value.view(torch.int16)  # half types: as integers, numbers of one sign are ordered by size
    return torch.where(value.abs() > goal.abs(), bits - 1, bits + 1).view(value.dtype)
