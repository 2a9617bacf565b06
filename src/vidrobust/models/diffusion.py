"""A purifier of many steps before a classifier: noise is added to clips, and a denoiser takes it away.

Source: DiffPure (Nie et al., ICML 2022), with the deterministic steps of DDIM (Song et al., ICLR 2021, equation 12 with
σ = 0). A full gradient through all steps would keep the activations of each. Here a step keeps its input alone and is
computed again in the backward pass (Chen et al., 2016): the gradient is the same, bit by bit, and the memory that of
one step and of a copy of the clips a step.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from vidrobust.types import ClipTensor


class DiffusionPurifier(nn.Module):
    """From clips to cleaner clips of the same shape, by a few steps of a denoiser; differentiable.

    Args:
        denoiser: from noisy clips ``B C T H W`` in about [-1, 1] and their signal's share ᾱ (a number, 1: no noise) to
            the noise of unit variance in them, of the same shape.
        signal: the share ᾱ after noise was added, above 0 and below 1.
        steps: of the denoiser, at least 1.
        seed: of the noise, which is then the same at each call. None draws it from the global random state: attack such
            a purifier by :class:`~vidrobust.attacks.wrappers.EOT`.

    Raises:
        InputError: a value is out of its range.

    >>> purifier = DiffusionPurifier(lambda noisy, signal: torch.zeros_like(noisy), signal=0.9, steps=10)
    >>> purifier(torch.rand(2, 3, 4, 8, 8)).shape
    torch.Size([2, 3, 4, 8, 8])
    """

    def __init__(
        self, denoiser: Callable[[Tensor, float], Tensor], signal: float = 0.9, steps: int = 10, seed: int | None = 0
    ) -> None:
        super().__init__()
        if not 0 < signal < 1:
            raise InputError(f"signal must lie above 0 and below 1, but is {signal}.")
        if steps < 1:
            raise InputError(f"steps must be at least 1, but is {steps}.")
        self.denoiser, self.signal, self.steps, self.seed = denoiser, signal, steps, seed

    def forward(self, clips: ClipTensor) -> ClipTensor:
        """Clips in [0, 1]."""
        if not torch.is_tensor(clips):
            raise TypeError("steps that are computed again cannot be traced into a graph.")
        shares = torch.linspace(self.signal, 1, self.steps + 1, dtype=torch.float64).tolist()
        here = shares[0] ** 0.5 * (2 * clips - 1) + (1 - shares[0]) ** 0.5 * self._noise(clips)
        again = partial(checkpoint, use_reentrant=False) if torch.is_grad_enabled() else _once
        for share, cleaner in zip(shares, shares[1:], strict=False):
            here = again(self._step, here, share, cleaner)
        return ((here + 1) / 2).clamp(0, 1)

    def _noise(self, clips: ClipTensor) -> Tensor:
        if self.seed is None:
            return torch.randn_like(clips)
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(clips.shape[1:], generator=generator, dtype=torch.float32)  # alike in every batch
        return drawn.to(clips).expand_as(clips)

    def _step(self, noisy: Tensor, share: float, cleaner: float) -> Tensor:
        """From one share of the signal to a larger one."""
        noise = self.denoiser(noisy, share)
        clean = (noisy - (1 - share) ** 0.5 * noise) / share**0.5
        return cleaner**0.5 * clean + (1 - cleaner) ** 0.5 * noise


def _once(step: Callable[[Tensor, float, float], Tensor], *given: object) -> Tensor:
    return step(*given)  # type: ignore[arg-type]
