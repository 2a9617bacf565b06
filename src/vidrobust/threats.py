"""What a perturbation may be: a norm and a budget.

A threat is not an algorithm: it says where the perturbed clip may lie, and an attack says how to search there.
:meth:`Threat.around` turns a threat into the feasible set around given clips, and every search needs only the three
operations of that set: a random point, a step uphill, and (implied by both) the projection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from vidrobust.types import Clips


class Feasible(Protocol):
    """The clips that a threat allows around given clips."""

    def project(self, point: Clips) -> Clips:
        """The nearest allowed clips."""
        ...

    def step(self, point: Clips, gradient: Clips, alpha: float) -> Clips:
        """The allowed clips after the steepest step of size ``alpha`` uphill."""
        ...

    def random(self, generator: Generator) -> Clips:
        """Allowed clips drawn at random."""
        ...

    def narrow(self, keep: Tensor) -> Feasible:
        """The feasible set of those clips alone (``keep``: indices or a mask), for clips that leave the batch."""
        ...


class Norm(Protocol):
    """How the size of a perturbation is measured."""

    def around(self, clips: Clips, eps: float) -> Feasible:
        """The ball of radius ``eps`` around ``clips``, cut with the box [0, 1]."""
        ...


def round_down(value: float) -> float:
    """The largest float32 that is not above ``value``.

    float32(8/255) lies above 8/255: to hold ``|δ| ≤ ε`` with no tolerance, the bound is rounded, not the check.

    >>> round_down(8 / 255) <= 8 / 255
    True
    """
    nearest = torch.tensor(value, dtype=torch.float32)
    if nearest.item() > value:
        nearest = torch.nextafter(nearest, torch.tensor(-math.inf))
    return nearest.item()


@dataclass(frozen=True)
class Linf:
    """The L∞ norm: no pixel changes by more than ε."""

    def around(self, clips: Clips, eps: float) -> LinfBall:
        """The interval of each pixel: ``[x-ε, x+ε]`` cut with [0, 1], as exact float32 bounds.

        Args:
            clips: ``B C T H W`` in [0, 1], float32.
            eps: budget in [0, 1].
        """
        exact, radius = clips.double(), round_down(eps)
        return LinfBall(_round_up(exact - radius).clamp_(min=0), _round_down(exact + radius).clamp_(max=1))


def _round_down(exact: Tensor) -> Tensor:
    nearest = exact.float()
    return torch.where(nearest.double() > exact, torch.nextafter(nearest, nearest.new_tensor(-math.inf)), nearest)


def _round_up(exact: Tensor) -> Tensor:
    return -_round_down(-exact)


@dataclass(frozen=True)
class LinfBall:
    """An L∞ ball cut with the pixel box: one interval a pixel.

    Attributes:
        low, high: ``B C T H W`` float32, the ends of the intervals.
    """

    low: Clips
    high: Clips

    def project(self, point: Clips) -> Clips:
        """Clamp every pixel into its interval, which is the nearest point in any norm."""
        return torch.clamp(point, self.low, self.high)

    def step(self, point: Clips, gradient: Clips, alpha: float) -> Clips:
        """Move every pixel by ``alpha`` along the sign of its gradient, then clamp (Madry et al. 2018, section 2.1)."""
        return self.project(torch.add(point, torch.sign(gradient), alpha=alpha))

    def random(self, generator: Generator) -> Clips:
        """Every pixel uniform in its interval, drawn from ``generator`` alone (on the CPU, the same on every device)."""
        share = torch.rand(self.low.shape, generator=generator).to(self.low.device)
        return self.project(torch.lerp(self.low, self.high, share))

    def narrow(self, keep: Tensor) -> LinfBall:
        """The intervals of the clips that are kept."""
        return LinfBall(self.low[keep], self.high[keep])


@dataclass(frozen=True)
class Threat:
    """What a perturbation may be.

    Args:
        norm: how its size is measured, such as :class:`Linf`.
        eps: the budget ε in [0, 1], in the units of the pixels (``8 / 255``).

    Raises:
        InputError: ε is not in [0, 1].

    >>> threat = Threat(Linf(), eps=8 / 255)
    >>> clips = torch.full((1, 3, 2, 4, 4), 0.5)
    >>> moved = threat.around(clips).project(clips + 1)
    >>> bool((moved - clips).abs().max() <= 8 / 255)
    True
    """

    norm: Norm
    eps: float

    def __post_init__(self) -> None:
        if not 0 <= self.eps <= 1:
            raise InputError(
                f"eps must lie in [0, 1], the range of the pixels, but is {self.eps}. "
                f"For {self.eps} grey levels write eps={self.eps}/255."
            )

    def around(self, clips: Clips) -> Feasible:
        """The feasible set around ``clips`` (``B C T H W`` in [0, 1], float32)."""
        return self.norm.around(clips, self.eps)
