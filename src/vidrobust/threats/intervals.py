"""L∞ balls around long clips: the bounds of few frames at a time, instead of two copies of the clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from vidrobust.threats.feasible import Interval
from vidrobust.threats.rounding import sum_above, sum_below

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from vidrobust.types import ClipTensor

FEW = 2**20
"""Pixels whose bounds are computed at once."""


def bounds(clips: ClipTensor, radius: Tensor, low: ClipTensor, high: ClipTensor) -> tuple[ClipTensor, ClipTensor]:
    """The ends of ``[clips - radius, clips + radius]`` cut with ``[low, high]``, float32 and exact."""
    return torch.maximum(sum_above(clips, -radius), low), torch.minimum(sum_below(clips, radius), high)


@dataclass(frozen=True)
class IntervalByFrames:
    """As :class:`~vidrobust.threats.feasible.Interval`, whose results it gives bit by bit, but without its bounds.

    Attributes:
        start: ``B C T H W`` float32, the centre.
        radius: of each clip or frame, float32, ``B 1 1 1 1`` or ``B 1 T 1 1``.
        low, high: like ``start``, what the intervals are cut with; best expanded from fewer numbers.
    """

    start: ClipTensor
    radius: Tensor
    low: ClipTensor
    high: ClipTensor

    @property
    def shared(self) -> bool:
        return False

    @property
    def movable(self) -> Tensor | None:
        found = [inner.movable for _, inner in self._inner()]
        if all(mask is None for mask in found):
            return None
        whole = torch.ones_like(self.start, dtype=torch.bool)
        for (part, _), mask in zip(self._inner(), found, strict=True):
            if mask is not None:
                whole[:, :, part] = mask
        return whole

    def clips(self, free: ClipTensor) -> ClipTensor:
        return free

    def project(self, free: ClipTensor) -> ClipTensor:
        """Clamp every pixel into its interval, which is the nearest point in any norm."""
        found = torch.empty_like(self.start)
        for part, inner in self._inner():
            found[:, :, part] = inner.project(free[:, :, part])
        return found

    def ascend(self, gradient: ClipTensor, free: ClipTensor | None = None) -> ClipTensor:
        """The sign of each pixel's gradient."""
        return torch.sign(gradient)

    def step(
        self, free: ClipTensor, gradient: ClipTensor, alpha: float | Tensor, out: Tensor | None = None
    ) -> ClipTensor:
        """Move every pixel by ``alpha`` along the sign of its gradient, then clamp (Madry et al. 2018, section 2.1)."""
        found = torch.empty_like(self.start) if out is None else out
        for part, inner in self._inner():
            own = alpha[:, :, part] if torch.is_tensor(alpha) and alpha.ndim == 5 and alpha.shape[2] > 1 else alpha
            inner.step(free[:, :, part], gradient[:, :, part], own, out=found[:, :, part])
        return found

    def random(self, generator: Generator) -> ClipTensor:
        """Every pixel uniform in its interval."""
        share = torch.rand(self.start.shape, generator=generator, dtype=torch.float32).to(self.start.device)
        for part, inner in self._inner():
            share[:, :, part] = inner.project(torch.lerp(inner.low, inner.high, share[:, :, part]))
        return share

    def penalty(self, free: ClipTensor) -> Tensor:
        return free.new_zeros(len(free))

    def size(self, clips: ClipTensor) -> Tensor:
        return torch.stack([inner.size(clips[:, :, part]) for part, inner in self._inner()]).amax(0)

    def narrow(self, keep: Tensor) -> IntervalByFrames:
        cut = {name: getattr(self, name)[keep] for name in ("start", "radius")}
        return replace(self, **cut, low=self.low[keep], high=self.high[keep])

    def _inner(self) -> Iterator[tuple[slice, Interval]]:
        """Frames, and the intervals of their pixels."""
        batch, channels, frames, *place = self.start.shape
        each = max(1, FEW // max(1, batch * channels * place[0] * place[1]))
        for first in range(0, frames, each):
            part = slice(first, min(frames, first + each))
            radius = self.radius if self.radius.shape[2] == 1 else self.radius[:, :, part]
            clips, low, high = (tensor[:, :, part] for tensor in (self.start, self.low, self.high))
            yield part, Interval(clips, *bounds(clips, radius, low, high))
