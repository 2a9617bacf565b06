"""Interval bounds: what every number of a network can be while the clips stay within bounds.

Gowal et al. 2018, *On the effectiveness of interval bound propagation for training verifiably robust models*,
section 3. Bounds for certificates are of the network as float32 arithmetic computes it, in whatever order it adds: see
:data:`FLOAT32`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from vidrobust.evaluation.certificates.network import Affine, Maximum, Network, Operation, ReluLayer

if TYPE_CHECKING:
    from torch import Tensor

FLOAT32, FLOAT64 = 2.0**-24, 2.0**-53
"""The largest relative error of one operation, rounding to nearest.

A sum of n products that is computed in float32, in any order and with or without fused operations, is within
``n u / (1 - n u)`` times the sum of their absolute values of the exact one (Higham 2002, *Accuracy and stability of
numerical algorithms*, section 3.1). Bounds are computed in float64 and allow **one float32 rounding more** than the
network can make: it exceeds by far what the computation of the bounds themselves, with fewer than 10⁶ roundings in
float64, can be wrong by.
"""

UNDERFLOW = 2.0**-125
"""More than a product loses that is too small for float32, be it kept as a subnormal number or set to 0."""


@dataclass(frozen=True, eq=False)
class IntervalBounds:
    """Bounds of one value of a network, ``B …``.

    Attributes:
        lower, upper: the bounds.
        error: the most by which rounding moves the value, given what it was computed from.
    """

    lower: Tensor
    upper: Tensor
    error: Tensor | float = 0.0

    @property
    def size(self) -> Tensor:
        """The largest absolute value."""
        return torch.maximum(self.lower.abs(), self.upper.abs())


def gamma(roundings: int, unit: float) -> float:
    """The largest relative error of so many roundings.

    >>> gamma(1, 0.25)
    0.3333333333333333
    """
    return roundings * unit / (1 - roundings * unit)


def intervals(network: Network, clips: IntervalBounds, rounding: bool = True) -> list[IntervalBounds]:
    """The bounds of every value of a network, from the clips to the logits.

    Args:
        network: the operations.
        clips: bounds of the clips, ``B C T H W``, of the type of the network's numbers.
        rounding: allow for rounding. Without it the bounds are those of exact arithmetic, as training takes them.
    """
    found = [clips]
    for operation in network.operations:
        found.append(bounds_after(operation, found, rounding))
    return found


def bounds_after(operation: Operation, found: Sequence[IntervalBounds], rounding: bool = True) -> IntervalBounds:
    """The bounds of what an operation makes, from those of the values so far."""
    if isinstance(operation, Affine):
        return _after_affine(operation, found[operation.source], rounding)
    if isinstance(operation, ReluLayer):
        x = found[operation.source]
        return IntervalBounds(x.lower.clamp_min(0), x.upper.clamp_min(0))
    if isinstance(operation, Maximum):
        x = found[operation.source]
        return IntervalBounds(F.max_pool3d(x.lower, **operation.pool), F.max_pool3d(x.upper, **operation.pool))
    first, second = found[operation.first], found[operation.second]
    error = gamma(2, FLOAT32) * (first.size + second.size) + UNDERFLOW if rounding else 0.0
    return IntervalBounds(first.lower + second.lower - error, first.upper + second.upper + error, error)


def _after_affine(operation: Affine, x: IntervalBounds, rounding: bool) -> IntervalBounds:
    roundings = operation.roundings(x.lower)
    if not roundings:
        return IntervalBounds(operation.linear(x.lower), operation.linear(x.upper))
    centre = operation.linear((x.lower + x.upper) / 2) + operation.offset
    reach = operation.size((x.upper - x.lower) / 2)
    if not rounding:
        return IntervalBounds(centre - reach, centre + reach)
    largest = operation.size(x.size) + operation.offset_size
    error = gamma(roundings + 1, FLOAT32) * largest + (roundings + 1) * UNDERFLOW
    return IntervalBounds(centre - reach - error, centre + reach + error, error)


def around(clips: Tensor, eps: float, rounding: bool = True) -> IntervalBounds:
    """The clips within ε under L∞ and within [0, 1], float64.

    With ``rounding`` the bounds are moved outwards by what float32 clips are rounded to, 2⁻²⁴.
    """
    clips = clips.double() if rounding else clips
    reach = eps + (FLOAT32 if rounding else 0.0)
    return IntervalBounds((clips - reach).clamp(0, 1), (clips + reach).clamp(0, 1))
