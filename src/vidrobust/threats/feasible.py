"""The clips that a threat allows around given clips, as every search sees them: free variables and few operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from vidrobust.types import ClipTensor


class Feasible(Protocol):
    """The clips that a threat allows around given clips, in free variables (batch first).

    For a norm ball the free variables *are* the clips. For a flicker they are one colour offset per frame, for a
    universal perturbation one perturbation, the same in every row. A search changes free variables; :meth:`clips`
    converts them to clips.
    """

    @property
    def start(self) -> Tensor:
        """The free variables of the unperturbed clips."""
        ...

    @property
    def shared(self) -> bool:
        """Whether all clips share one perturbation. Then no clip may leave the batch."""
        ...

    @property
    def movable(self) -> Tensor | None:
        """Which free variables can change at all (bool, like them); None if all can."""
        ...

    def clips(self, free: Tensor) -> ClipTensor:
        """The perturbed clips, in [0, 1] and within the budget with no tolerance; differentiable in ``free``."""
        ...

    def project(self, free: Tensor) -> Tensor:
        """The nearest allowed free variables."""
        ...

    def ascend(self, gradient: Tensor, free: Tensor | None = None) -> Tensor:
        """The direction of size 1 of the steepest step uphill from ``free`` (by default from the start)."""
        ...

    def step(self, free: Tensor, gradient: Tensor, alpha: float | Tensor, out: Tensor | None = None) -> Tensor:
        """``project(free + alpha · ascend(gradient, free))``; ``alpha`` is a number or broadcasts over ``free``.

        The result may be written into ``out``, which can be the gradient itself where it is not needed any more.
        """
        ...

    def random(self, generator: Generator) -> Tensor:
        """Allowed free variables drawn at random, from ``generator`` alone (on the CPU, the same on every device)."""
        ...

    def penalty(self, free: Tensor) -> Tensor:
        """``B``: the support's penalty on these free variables; searches maximise the loss minus this."""
        ...

    def size(self, clips: ClipTensor) -> Tensor:
        """``B`` float64: the norm of the perturbation as measured on the clip, in pixels."""
        ...

    def narrow(self, keep: Tensor) -> Feasible:
        """The feasible set of those clips alone (``keep``: indices or a mask), for clips that leave the batch."""
        ...


@dataclass(frozen=True)
class Interval:
    """An L∞ ball cut with the pixel box: one interval per pixel. Its free variables are the clips.

    Attributes:
        start: ``B C T H W`` float32, the centre.
        low, high: ``B C T H W`` float32, the ends of the intervals; those of a pixel that may not change are equal.
    """

    start: ClipTensor
    low: ClipTensor
    high: ClipTensor

    @property
    def shared(self) -> bool:
        return False

    @property
    def movable(self) -> Tensor | None:
        return _none_if_all(self.low < self.high)

    def clips(self, free: ClipTensor) -> ClipTensor:
        return free

    def project(self, free: ClipTensor) -> ClipTensor:
        """Clamp every pixel into its interval, which is the nearest point in any norm."""
        return torch.clamp(free, self.low, self.high)

    def ascend(self, gradient: ClipTensor, free: ClipTensor | None = None) -> ClipTensor:
        """The sign of each pixel's gradient."""
        return torch.sign(gradient)

    def step(
        self, free: ClipTensor, gradient: ClipTensor, alpha: float | Tensor, out: Tensor | None = None
    ) -> ClipTensor:
        """Move every pixel by ``alpha`` along the sign of its gradient, then clamp (Madry et al. 2018, section 2.1)."""
        moved = torch.sign(gradient, out=out).mul_(alpha).add_(free)
        return torch.clamp(moved, self.low, self.high, out=moved)

    def random(self, generator: Generator) -> ClipTensor:
        """Every pixel uniform in its interval."""
        share = torch.rand(self.low.shape, generator=generator, dtype=torch.float32).to(self.low.device)
        return self.project(torch.lerp(self.low, self.high, share))

    def penalty(self, free: ClipTensor) -> Tensor:
        return free.new_zeros(len(free))

    def size(self, clips: ClipTensor) -> Tensor:
        return (clips.double() - self.start).abs().flatten(1).amax(1)

    def narrow(self, keep: Tensor) -> Interval:
        return Interval(self.start[keep], self.low[keep], self.high[keep])


class RowNorm(Protocol):
    """A norm of rows: ``R N`` tensors, each row with its own budget, ``R 1`` float64.

    A row is a clip, or a frame where budgets are per frame. Intervals hold the centre: ``low ≤ centre ≤ high``.
    """

    def size(self, delta: Tensor) -> Tensor:
        """``R`` float64, the norm of each row."""
        ...

    def project(self, point: Tensor, centre: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The nearest point of the ball cut with the intervals, float32."""
        ...

    def ascend(self, gradient: Tensor, delta: Tensor) -> Tensor:
        """The direction of size 1 of the steepest step uphill, where the perturbation so far is ``delta``."""
        ...

    def random(self, centre: Tensor, eps: Tensor, low: Tensor, high: Tensor, generator: Generator) -> Tensor:
        """A random point of the ball cut with the intervals, float32."""
        ...


@dataclass(frozen=True)
class Ball:
    """A ball of any norm cut with one interval per pixel. Its free variables are the clips.

    Attributes:
        norm: how a row is measured.
        start: ``B C T H W`` float32, the centre.
        eps: the budgets, float64: ``B 1``, or ``B T`` where each frame has a ball of its own, or ``B V`` where each of
            V equal stretches of frames has.
        low, high: ``B C T H W`` float32, the ends of the intervals; those of a pixel that may not change are equal.
    """

    norm: RowNorm
    start: ClipTensor
    eps: Tensor
    low: ClipTensor
    high: ClipTensor

    @property
    def shared(self) -> bool:
        return False

    @property
    def movable(self) -> Tensor | None:
        budgets = self.eps.repeat_interleave(self.start.shape[2] // self.eps.shape[1], 1)[:, None, :, None, None]
        return _none_if_all((self.low < self.high) & (budgets > 0))

    def clips(self, free: ClipTensor) -> ClipTensor:
        return free

    def project(self, free: ClipTensor) -> ClipTensor:
        points, centre, low, high = map(self._rows, (free, self.start, self.low, self.high))
        return self._whole(self.norm.project(points, centre, self.eps.reshape(-1, 1), low, high))

    def ascend(self, gradient: ClipTensor, free: ClipTensor | None = None) -> ClipTensor:
        """The norm's direction among the pixels that can still move that way."""
        free = self.start if free is None else free
        blocked = torch.where(gradient > 0, free >= self.high, free <= self.low)
        rows = self._rows(gradient.masked_fill(blocked, 0))
        return self._whole(self.norm.ascend(rows, self._rows(free - self.start)))

    def step(
        self, free: ClipTensor, gradient: ClipTensor, alpha: float | Tensor, out: Tensor | None = None
    ) -> ClipTensor:
        return self.project(free + alpha * self.ascend(gradient, free))

    def random(self, generator: Generator) -> ClipTensor:
        centre, low, high = map(self._rows, (self.start, self.low, self.high))
        return self._whole(self.norm.random(centre, self.eps.reshape(-1, 1), low, high, generator))

    def penalty(self, free: ClipTensor) -> Tensor:
        return free.new_zeros(len(free))

    def size(self, clips: ClipTensor) -> Tensor:
        """The norm of the whole clip's perturbation, also where budgets are per frame."""
        return self.norm.size((clips.double() - self.start).flatten(1))

    def narrow(self, keep: Tensor) -> Ball:
        return Ball(self.norm, self.start[keep], self.eps[keep], self.low[keep], self.high[keep])

    def _rows(self, x: Tensor) -> Tensor:
        if self.eps.shape[1] == 1:
            return x.flatten(1)
        return x.transpose(1, 2).reshape(-1, x[0].numel() // self.eps.shape[1])

    def _whole(self, rows: Tensor) -> ClipTensor:
        batch, channels, frames, *place = self.start.shape
        if self.eps.shape[1] == 1:
            return rows.view(self.start.shape)
        return rows.view(batch, frames, channels, *place).transpose(1, 2).contiguous()


def _none_if_all(mask: Tensor) -> Tensor | None:
    return None if mask.all() else mask
