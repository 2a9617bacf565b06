"""Feasible sets whose free variables are not the clips: repeated, shared and multiplicative perturbations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from vidrobust.errors import InputError
from vidrobust.threats.rounding import above, below, round_towards

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from vidrobust.threats.feasible import Feasible
    from vidrobust.threats.norms import Norm
    from vidrobust.types import ClipTensor

    Charge = Callable[[Tensor], Tensor]


class Added(torch.autograd.Function):
    """``clamp(origin + delta, 0, 1)`` rounded towards the origin, so that no budget is exceeded by rounding.

    The gradient is that of the clamp; the rounding has none of its own.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, origin: ClipTensor, delta: Tensor) -> ClipTensor:
        exact = origin.double() + delta
        ctx.save_for_backward((exact >= 0) & (exact <= 1))
        return round_towards(origin, exact).clamp_(0, 1)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[None, Tensor]:
        (inside,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return None, gradients[0] * inside


class Corrected(torch.autograd.Function):
    """The second argument with the gradient of the first: clips that exceed a budget by rounding alone, corrected."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, clips: ClipTensor, projected: ClipTensor) -> ClipTensor:
        return projected.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


@dataclass(frozen=True)
class Tied:
    """One free value for many pixels: the perturbation is ``free``, repeated over some dimensions, then clamped.

    The budget bounds the perturbation before the box clamps it, which can only make it smaller.

    Attributes:
        origin: ``B C T H W`` float32.
        norm: how the perturbation of a clip is measured.
        inner: the feasible set of the free perturbations: a ball around 0, ``B C T H W`` with 1 where values repeat.
        shared: have all clips the same free values?
        charge: the support's penalty.
    """

    origin: ClipTensor
    norm: Norm
    inner: Feasible
    shared: bool
    charge: Charge | None

    @property
    def start(self) -> Tensor:
        return self.inner.start

    @property
    def movable(self) -> Tensor | None:
        return self.inner.movable

    def clips(self, free: Tensor) -> ClipTensor:
        return Added.apply(self.origin, free.expand_as(self.origin))

    def project(self, free: Tensor) -> Tensor:
        """The nearest: under a shared perturbation that of the mean over the clips."""
        if self.shared:
            free = free.double().mean(0, keepdim=True).float().expand_as(free)
        return self.inner.project(free)

    def ascend(self, gradient: Tensor, free: Tensor | None = None) -> Tensor:
        return self.inner.ascend(self._agreed(gradient), free)

    def step(self, free: Tensor, gradient: Tensor, alpha: float | Tensor, out: Tensor | None = None) -> Tensor:
        return self.inner.step(free, self._agreed(gradient), alpha)

    def random(self, generator: Generator) -> Tensor:
        if not self.shared:
            return self.inner.random(generator)
        first = torch.tensor([0], device=self.origin.device)
        return self.inner.narrow(first).random(generator).expand_as(self.start).contiguous()

    def penalty(self, free: Tensor) -> Tensor:
        return free.new_zeros(len(free)) if self.charge is None else self.charge(free)

    def size(self, clips: ClipTensor) -> Tensor:
        return self.norm.size((clips.double() - self.origin).flatten(1))

    def narrow(self, keep: Tensor) -> Tied:
        return replace(self, origin=self.origin[keep], inner=self.inner.narrow(keep))

    def _agreed(self, gradient: Tensor) -> Tensor:
        """Under a shared perturbation, the gradient of the sum over the clips."""
        return gradient.sum(0, keepdim=True).expand_as(gradient).contiguous() if self.shared else gradient


def tie(
    clips: ClipTensor,
    norm: Norm,
    eps: Tensor,
    dims: tuple[int, ...],
    mask: Tensor | None = None,
    shared: bool = False,
    charge: Charge | None = None,
) -> Tied:
    """The feasible set of perturbations that repeat over ``dims`` (of ``B C T H W``), and over the batch if ``shared``.

    Raises:
        InputError: a budget per frame, but one frame repeated.
    """
    if 2 in dims and eps.shape[1] > 1:
        raise InputError("budgets per frame need a perturbation of its own for each frame, but here one is repeated.")
    shape = [1 if dim in dims else size for dim, size in enumerate(clips.shape)]
    times = math.prod(clips.shape[dim] for dim in dims)
    if shared:
        eps = eps.amin(0, keepdim=True).expand_as(eps)
    start = clips.new_zeros(shape)
    reach = torch.ones_like(start) if mask is None else mask.expand(shape).to(start)
    inner = norm.around(start, eps / norm.repeated(times), -reach, reach)
    return Tied(clips, norm, inner, shared, charge)


@dataclass(frozen=True)
class Scaled:
    """Multiplicative perturbations: the free variables are the logarithms of each pixel's factor.

    Attributes:
        ball: the feasible clips, whose intervals hold the bound on the factor.
        limit: the logarithm of the largest factor.
    """

    ball: Feasible
    limit: float

    @property
    def shared(self) -> bool:
        return False

    @property
    def start(self) -> Tensor:
        return torch.zeros_like(self.ball.start)

    @property
    def movable(self) -> Tensor | None:
        return self.ball.movable

    def clips(self, free: Tensor) -> ClipTensor:
        scaled = self._scaled(free)
        return Corrected.apply(scaled, self.ball.project(scaled.detach()))

    def project(self, free: Tensor) -> Tensor:
        """The factors of the nearest allowed clips (nearest in pixels)."""
        scaled, origin = self._scaled(free), self.ball.start
        near = self.ball.project(scaled)
        moved = torch.where(origin > 0, torch.log(near / origin), 0)
        return torch.where(near == scaled, free.clamp(-self.limit, self.limit), moved)

    def ascend(self, gradient: Tensor, free: Tensor | None = None) -> Tensor:
        return self.ball.ascend(gradient, None if free is None else self._scaled(free))

    def step(self, free: Tensor, gradient: Tensor, alpha: float | Tensor, out: Tensor | None = None) -> Tensor:
        return self.project(free + alpha * self.ascend(gradient, free))

    def random(self, generator: Generator) -> Tensor:
        origin = self.ball.start
        return torch.where(origin > 0, torch.log(self.ball.random(generator) / origin), 0)

    def penalty(self, free: Tensor) -> Tensor:
        return free.new_zeros(len(free))

    def size(self, clips: ClipTensor) -> Tensor:
        return self.ball.size(clips)

    def narrow(self, keep: Tensor) -> Scaled:
        return Scaled(self.ball.narrow(keep), self.limit)

    def _scaled(self, free: Tensor) -> ClipTensor:
        return self.ball.start * free.clamp(-self.limit, self.limit).exp()


def scale(clips: ClipTensor, norm: Norm, eps: Tensor, ratio: float, mask: Tensor | None) -> Scaled:
    """The feasible set of clips whose pixels are multiplied by factors between ``1/ratio`` and ``ratio``."""
    exact = clips.double()
    low, high = above(exact / ratio), below(exact * ratio).clamp_(max=1)
    if mask is not None:
        low, high = torch.where(mask, low, clips), torch.where(mask, high, clips)
    return Scaled(norm.around(clips, eps, low, high), math.log(ratio))
