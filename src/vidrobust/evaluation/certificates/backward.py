"""Bounds of linear functions of a network's values, carried backwards from the logits.

Going back through affine maps and sums is exact; a rectifier and a maximum are replaced by lines that bound them
between the bounds of what they are shown (Zhang et al. 2018, *Efficient neural network robustness certification with
general activation functions*, CROWN, section 3). Rounding is accounted for as in :mod:`.interval`: what each value is
rounded by counts with the coefficient that it has, and what the float64 sums here can be wrong by is subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from vidrobust.evaluation.certificates.interval import FLOAT64, IntervalBounds, gamma
from vidrobust.evaluation.certificates.network import Affine, Maximum, Network, ReluLayer, Sum

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 32
"""More roundings than a coefficient goes through on its way back past one value, from which on it is relative to it."""


def lower_bounds(
    network: Network, found: Sequence[IntervalBounds], coefficients: Tensor, value: int, *, relax: bool
) -> Tensor:
    """Lower bounds of linear functions of a value.

    Args:
        network: the operations.
        found: the bounds of each value, of ``B`` clips (:func:`.interval.intervals`), at least up to ``value``.
        coefficients: ``S B …``, ``S`` functions per clip, float64.
        value: of which value they are.
        relax: go back to the clips through lines that bound what is not linear (CROWN); else stop before it and take
            the bounds that are known there.

    Returns:
        ``S B``.
    """
    total = _Total(coefficients)
    pending = {value: coefficients}
    for place in range(value, -1, -1):
        now = pending.pop(place, None)
        if now is None:
            continue
        total.subtract(now.abs(), found[place].error + STEPS * FLOAT64 * found[place].size)
        operation = network.operations[place - 1] if place else None
        if operation is None or (not relax and isinstance(operation, ReluLayer | Maximum)):
            total.concretise(now, found[place])
            continue
        for source, part in _back(operation, now, found, total):
            if source in pending:
                part = pending[source] + part
                total.subtract(part.abs(), 2 * FLOAT64 * found[source].size)
            pending[source] = part
    return total.bound


class _Total:
    """A sum bounded from below."""

    def __init__(self, coefficients: Tensor) -> None:
        self.value = coefficients.new_zeros(coefficients.shape[:2])
        self.spent = self.value.clone()
        """What rounding in the sum can amount to."""

    def add(self, coefficients: Tensor, factor: Tensor | float) -> None:
        terms = (coefficients * factor).flatten(2)
        self.value = self.value + terms.sum(2)
        self.spent = self.spent + gamma(terms.shape[2] + 256, FLOAT64) * terms.abs().sum(2)

    def subtract(self, coefficients: Tensor, factor: Tensor | float) -> None:
        self.add(-coefficients, factor)

    def concretise(self, coefficients: Tensor, between: IntervalBounds) -> None:
        self.add(coefficients.clamp_min(0), between.lower)
        self.add(coefficients.clamp_max(0), between.upper)

    @property
    def bound(self) -> Tensor:
        return self.value - 1.001 * self.spent


def _back(
    operation: Affine | ReluLayer | Maximum | Sum, now: Tensor, found: Sequence[IntervalBounds], total: _Total
) -> list[tuple[int, Tensor]]:
    """The coefficients of what an operation was shown."""
    if isinstance(operation, Sum):
        if operation.first == operation.second:
            return [(operation.first, 2 * now)]
        return [(operation.first, now), (operation.second, now)]
    between = found[operation.source]
    if isinstance(operation, Affine):
        if torch.is_tensor(operation.offset):
            total.add(now, operation.offset)
        return [(operation.source, _transposed(operation, between.lower, now))]
    if isinstance(operation, Maximum):
        return [(operation.source, _chosen(operation, between, now, total))]
    above, intercept, below = rectifier_lines(between)
    total.add(now.clamp_max(0), intercept)
    return [(operation.source, now.clamp_min(0) * below + now.clamp_max(0) * above)]


def rectifier_lines(between: IntervalBounds) -> tuple[Tensor, Tensor, Tensor]:
    """Lines around a rectifier between bounds: ``max(x, 0) ≤ above·x + intercept`` and ``≥ below·x``.

    The lower one has the slope 0 or 1, whichever leaves less area; the upper one goes through both ends, rounded up.
    """
    lower, upper = between.lower, between.upper
    both = (lower < 0) & (upper > 0)
    steep = upper / (upper - lower).clamp_min(1e-300) * (1 + 8 * FLOAT64)
    above = torch.where(both, steep, (upper > 0).to(lower))
    intercept = torch.where(both, -steep * lower * (1 + 8 * FLOAT64), 0.0)
    return above, intercept, torch.where(both, (upper > -lower).to(lower), above)


def _transposed(operation: Affine, like: Tensor, now: Tensor) -> Tensor:
    """``Aᵀ`` of coefficients ``S B …``, for inputs like ``B …``."""
    flat, training = now.flatten(0, 1), torch.is_grad_enabled()
    with torch.enable_grad():
        x = like.new_zeros(len(flat), *like.shape[1:]).requires_grad_()
        (found,) = torch.autograd.grad(operation.linear(x), x, flat, create_graph=training)
    return found.unflatten(0, now.shape[:2])


def _chosen(operation: Maximum, between: IntervalBounds, now: Tensor, total: _Total) -> Tensor:
    """A maximum is at least the number whose lower bound is the largest, and at most the largest upper bound."""
    _, best = F.max_pool3d(between.lower, **operation.pool, return_indices=True)
    total.add(now.clamp_max(0), F.max_pool3d(between.upper, **operation.pool))
    parts = now.clamp_min(0).flatten(3)
    back = parts.new_zeros(*parts.shape[:3], between.lower[0, 0].numel())
    back.scatter_add_(3, best.flatten(2).expand_as(parts), parts)
    return back.unflatten(3, between.lower.shape[2:])
