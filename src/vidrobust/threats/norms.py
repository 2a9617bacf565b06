"""How the size of a perturbation is measured: L∞, L2 and L1.

Each norm knows the nearest point of its ball cut with an interval per pixel (the pixel box, a mask), its steepest
direction and a random point.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from vidrobust.errors import InputError
from vidrobust.threats.feasible import Ball, Interval
from vidrobust.threats.intervals import FEW, IntervalByFrames, bounds
from vidrobust.threats.rounding import below, round_towards

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor

    from vidrobust.threats.feasible import Feasible
    from vidrobust.types import ClipTensor

WITHIN = 1 - 2.0**-40
"""Projections aim at this share of the budget, so that rounding in float64 cannot leave the ball."""


ROUNDS = 32
"""Newton steps of a projection on a GPU, where the host would wait to know whether fewer are enough (about ten are).
Each step starts inside the ball, so that the budget holds after any number of them."""

IN_CACHE, AT_ONCE = 2**17, 2**22
"""Pixels whose bounds are computed at once, on a CPU and on a GPU: each call of few pixels takes time, and more do not
fit into the cache of a CPU."""


class Norm(Protocol):
    """How the size of a perturbation is measured."""

    def around(self, clips: ClipTensor, eps: Tensor, low: ClipTensor, high: ClipTensor) -> Feasible:
        """The ball around ``clips``, cut with one interval per pixel.

        Args:
            clips: ``B C T H W`` float32.
            eps: budgets, float64: ``B 1``, or ``B T`` for a ball per frame.
            low, high: ``B C T H W`` float32, with ``low ≤ clips ≤ high``.
        """
        ...

    def largest(self, count: float) -> float:
        """The largest size that ``count`` pixels of [0, 1] can have."""
        ...

    def repeated(self, count: int) -> float:
        """How many times larger a vector gets when each of its values is repeated ``count`` times."""
        ...

    def size(self, delta: Tensor) -> Tensor:
        """``R`` float64, the size of each row of ``R N``."""
        ...


@dataclass(frozen=True)
class Linf:
    """The L∞ norm: no pixel changes by more than ε."""

    def around(self, clips: ClipTensor, eps: Tensor, low: ClipTensor, high: ClipTensor) -> Interval | IntervalByFrames:
        """The interval of each pixel: ``[x-ε, x+ε]`` cut with the given one, as exact float32 bounds."""
        radius = below(eps)[:, None, :, None, None]
        if clips[:1].numel() > FEW:
            return IntervalByFrames(clips, radius, low, high)
        near, far = torch.empty_like(clips), torch.empty_like(clips)
        at_once = IN_CACHE if clips.device.type == "cpu" else AT_ONCE
        for start in range(0, len(clips), rows := max(1, at_once // max(1, clips[:1].numel()))):
            part = slice(start, start + rows)
            near[part], far[part] = bounds(clips[part], radius[part], low[part], high[part])
        return Interval(clips, near, far)

    def largest(self, count: float) -> float:
        return 1.0

    def repeated(self, count: int) -> float:
        return 1.0

    def size(self, delta: Tensor) -> Tensor:
        return delta.abs().amax(1).double()


@dataclass(frozen=True)
class L2:
    """The L2 norm: the root of the sum of the squared changes of all pixels of a clip."""

    def around(self, clips: ClipTensor, eps: Tensor, low: ClipTensor, high: ClipTensor) -> Ball:
        return Ball(self, clips, eps, low, high)

    def largest(self, count: float) -> float:
        return math.sqrt(count)

    def repeated(self, count: int) -> float:
        return math.sqrt(count)

    def project(self, point: Tensor, centre: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Scale the perturbation until its clamped size is ε: ``clamp(s·δ)`` meets the optimality conditions.

        The squared size is concave and piecewise linear in s², so Newton from s = 0 climbs to the root and ends there.
        """

        def scaled(rows: Tensor | slice) -> Tensor:
            middle, radius = centre[rows].double(), eps[rows] * WITHIN
            delta, down, up = point[rows] - middle, low[rows] - middle, high[rows] - middle
            squared, bound = delta.square(), torch.where(delta > 0, up, down).square()
            scale = torch.zeros_like(radius)
            for trial in itertools.count():
                free = squared * scale < bound
                slope = (squared * free).sum(1, keepdim=True)
                full = (bound * ~free).sum(1, keepdim=True)
                better = torch.where(slope > 0, (radius.square() - full) / slope, scale)
                if _ended(better <= scale * (1 + 1e-14), trial):
                    break
                scale = torch.maximum(better, scale)
            return middle + torch.clamp(delta * scale.sqrt(), down, up)

        return _projected(self, point, centre, eps, low, high, scaled)

    def ascend(self, gradient: Tensor, delta: Tensor) -> Tensor:
        """The gradient, scaled to length 1."""
        return gradient / _some(gradient.double().square().sum(1, keepdim=True).sqrt()).float()

    def random(self, centre: Tensor, eps: Tensor, low: Tensor, high: Tensor, generator: Generator) -> Tensor:
        """Uniform in the ball (a normal direction, a radius of ε·U^(1/n)), then clamped, which brings it closer."""
        drawn = torch.randn(centre.shape, generator=generator, dtype=torch.float64)
        return _in_ball(drawn / _some(self.size(drawn)[:, None]), centre, eps, low, high, generator)

    def size(self, delta: Tensor) -> Tensor:
        return delta.double().square().sum(1).sqrt()


@dataclass(frozen=True)
class L1:
    """The L1 norm: the sum of the changes of all pixels of a clip.

    Args:
        share: the share of all coordinates, above 0 and at most 1, that a step moves at most. A step moves the
            coordinates of the largest gradients, and fewer as the perturbation gets sparser, as in APGD-L1 (Croce &
            Hein, ICML 2021, section 4; SLIDE of Tramèr & Boneh, NeurIPS 2019, keeps the share).

    Raises:
        InputError: the share is not in (0, 1].
    """

    share: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"share, of the coordinates an L1 step moves, must lie in (0, 1], but is {self.share}.")

    def around(self, clips: ClipTensor, eps: Tensor, low: ClipTensor, high: ClipTensor) -> Ball:
        return Ball(self, clips, eps, low, high)

    def largest(self, count: float) -> float:
        return float(count)

    def repeated(self, count: int) -> float:
        return float(count)

    def project(self, point: Tensor, centre: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Shrink every change by one θ: ``clamp(|δ| - θ, 0, room)`` of size ε (Croce & Hein 2021, proposition 2.1)."""

        def shrunk(rows: Tensor | slice) -> Tensor:
            middle, radius = centre[rows].double(), eps[rows] * WITHIN
            delta = point[rows] - middle
            change, room = delta.abs(), torch.where(delta > 0, high[rows] - middle, middle - low[rows])
            return middle + _clip(change - _threshold(change, room, radius), room) * delta.sign()

        return _projected(self, point, centre, eps, low, high, shrunk)

    def ascend(self, gradient: Tensor, delta: Tensor) -> Tensor:
        """The signs of the k largest coordinates, each 1/k: k is ``share``, later two thirds of what has changed."""
        most = max(1, int(self.share * gradient.shape[1]))
        changed = (delta != 0).sum(1)
        wanted = torch.where(changed > 0, (changed.float() / 1.5).long().clamp(1, most), most)
        size = gradient.abs()
        largest = size.topk(int(wanted.max()) if may_wait(size) else most, dim=1).values
        chosen = (size >= largest.gather(1, wanted[:, None] - 1)) & (size > 0)
        return gradient.sign() * chosen / chosen.sum(1, keepdim=True).clamp(min=1)

    def random(self, centre: Tensor, eps: Tensor, low: Tensor, high: Tensor, generator: Generator) -> Tensor:
        """Uniform in the ball (a Laplace direction, a radius of ε·U^(1/n)), then clamped, which brings it closer."""
        drawn = torch.empty(centre.shape, dtype=torch.float64).exponential_(generator=generator)
        drawn *= torch.randint(0, 2, centre.shape, generator=generator) * 2 - 1
        return _in_ball(drawn / _some(self.size(drawn)[:, None]), centre, eps, low, high, generator)

    def size(self, delta: Tensor) -> Tensor:
        return delta.double().abs().sum(1)


def may_wait(tensor: Tensor) -> bool:
    """May the host ask for a number? Of a GPU it would wait until all that was asked before is done."""
    return not tensor.is_cuda


def _ended(done: Tensor, trial: int) -> bool:
    """Are all rows done; on a GPU, have there been :data:`ROUNDS`?"""
    return bool(done.all()) if may_wait(done) else trial == ROUNDS


def _projected(
    norm: L1 | L2,
    point: Tensor,
    centre: Tensor,
    eps: Tensor,
    low: Tensor,
    high: Tensor,
    moved: Callable[[Tensor | slice], Tensor],
) -> Tensor:
    """The points clamped, and those that are still too far out at ``moved(rows)`` (float64).

    On a GPU ``moved`` gets all rows: to choose some the host would wait for it.
    """
    found = torch.clamp(point, low, high)
    far = norm.size(found.double() - centre) > eps[:, 0]
    if not may_wait(far):
        inside = round_towards(centre, moved(slice(None))).clamp_(low, high)
        return torch.where(far[:, None], inside, found)
    if far.any():
        found[far] = round_towards(centre[far], moved(far)).clamp_(low[far], high[far])
    return found


def _some(size: Tensor) -> Tensor:
    """Sizes to divide by: a vector of zeros stays one."""
    return torch.where(size > 0, size, 1)


def _in_ball(direction: Tensor, centre: Tensor, eps: Tensor, low: Tensor, high: Tensor, generator: Generator) -> Tensor:
    """The point a random radius away from the centre, clamped."""
    radius = torch.rand(len(centre), 1, generator=generator, dtype=torch.float64) ** (1 / centre.shape[1])
    delta = direction.to(centre.device) * (eps * WITHIN * radius.to(centre.device))
    return round_towards(centre, centre + delta).clamp_(low, high)


def _clip(change: Tensor, room: Tensor) -> Tensor:
    return torch.minimum(change.clamp(min=0), room)


def _threshold(change: Tensor, room: Tensor, eps: Tensor) -> Tensor:
    """θ ≥ 0, ``R 1``, with ``Σ clamp(change - θ, 0, room) = ε``: Newton between two bounds, halving where it strays."""
    low, high = torch.zeros_like(eps), change.amax(1, keepdim=True)
    theta = low
    for trial in range(200):
        left = change - theta
        excess = _clip(left, room).sum(1, keepdim=True) - eps
        low, high = torch.where(excess > 0, theta, low), torch.where(excess > 0, high, theta)
        found = (excess.abs() <= 1e-13 * eps) | (high - low <= 1e-16)
        if _ended(found, trial):
            break
        slope = ((left > 0) & (left < room)).sum(1, keepdim=True)
        newton, middle = theta + excess / slope, (low + high) / 2  # 0/0 is NaN, which fails the test
        stay = (newton > low) & (newton < high) & (trial % 3 != 2)
        theta = torch.where(found, theta, torch.where(stay, newton, middle))
    return torch.where(excess.abs() <= 1e-13 * eps, theta, high)
