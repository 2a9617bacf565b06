"""A faster first convolution.

The first convolution of a video network has 3 input channels and a spatial stride of 2: few channels fill few vector
lanes, and its input gradient is a large share of an attack's cost. The same convolution on pixel-unshuffled frames has
12 channels and stride 1. The outputs are equal up to the order of the sums: an input pixel at offset ``u = 2a + b``
from the output's centre is found at offset ``a`` in the channel of parity ``b``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrobust.fast.frozen import ConvWindow, frozen_conv3d

if TYPE_CHECKING:
    from torch import Tensor


def has_rewritable_stem(module: nn.Module) -> bool:
    """Is it a convolution of few channels, spatial stride 2 and an odd kernel, padded to half its size?"""
    return (
        type(module) is nn.Conv3d
        and module.in_channels <= 4
        and module.stride == (1, 2, 2)
        and module.dilation == (1, 1, 1)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and module.padding == tuple(size // 2 for size in module.kernel_size)
        and all(size % 2 for size in module.kernel_size)
    )


class UnshuffledStem(nn.Module):
    """The convolution ``conv``, computed on pixel-unshuffled frames where height and width are even.

    Call :meth:`refresh` after the weights of ``conv`` have changed.

    >>> conv = nn.Conv3d(3, 4, (3, 7, 5), (1, 2, 2), (1, 3, 2), dtype=torch.float64)
    >>> clips = torch.rand(2, 3, 4, 12, 10, dtype=torch.float64)
    >>> torch.allclose(UnshuffledStem(conv)(clips), conv(clips))
    True
    """

    weight: Tensor

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv
        halves = [size // 2 for size in conv.kernel_size[1:]]
        self.before, self.after = [(half + 1) // 2 for half in halves], [half // 2 for half in halves]
        kernel = (conv.kernel_size[0], *(1 + sum(reach) for reach in zip(self.before, self.after, strict=True)))
        shape = (conv.out_channels, conv.in_channels, 2, 2, *kernel)
        self.register_buffer("weight", conv.weight.new_zeros(shape), persistent=False)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the weights of ``conv``."""
        rows, columns = (
            torch.arange(size, device=self.weight.device) - size // 2 for size in self.conv.kernel_size[1:]
        )
        down, right = (offset.div(2, rounding_mode="floor") for offset in (rows, columns))
        row, column = down + self.before[0], right + self.before[1]
        taps = self.conv.weight.permute(3, 4, 0, 1, 2)  # kernel rows and columns first, as advanced indexing gives them
        self.weight[:, :, (rows % 2)[:, None], columns % 2, :, row[:, None], column] = taps

    def forward(self, clips: Tensor) -> Tensor:
        if clips.shape[3] % 2 or clips.shape[4] % 2:
            return self.conv(clips)
        uneven = self.before != self.after  # convolutions pad both sides alike
        parts = Unshuffle.apply(clips, self.weight.dtype, (*self.before, *self.after) if uneven else (0, 0, 0, 0))
        padding = (self.conv.kernel_size[0] // 2, *((0, 0) if uneven else self.before))
        return frozen_conv3d(parts, self.weight.flatten(1, 3), self.conv.bias, ConvWindow(padding=padding))


class Unshuffle(torch.autograd.Function):
    """Pixel-unshuffled, padded, channels-last clips of another type; its gradient is :class:`Shuffle`.

    First even and odd rows are set apart, then two neighbours in a row, which lie side by side before and after, are
    moved as one number: half the time of other orders.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, clips: Tensor, dtype: torch.dtype, pad: tuple[int, int, int, int]
    ) -> Tensor:
        ctx.dtype, ctx.pad = clips.dtype, pad  # type: ignore[attr-defined]
        top, left, bottom, right = pad
        batch, channels, frames, height, width = clips.shape
        rows, columns = height // 2 + top + bottom, width // 2 + left + right
        make = torch.zeros if any(pad) else torch.empty
        apart = make((batch, channels, 2, frames, rows, 2 * columns), dtype=dtype, device=clips.device)
        inner = apart[..., top : rows - bottom, 2 * left : 2 * (columns - right)]
        inner.copy_(clips.unflatten(3, (-1, 2)).permute(0, 1, 4, 2, 3, 5))
        pairs = apart.view(-1).view(_PAIR[dtype.itemsize]).view(batch, 2 * channels, frames * rows * columns)
        parts = pairs.transpose(1, 2).reshape(-1).view(dtype)
        return parts.view(batch, frames, rows, columns, 4 * channels).permute(0, 4, 1, 2, 3)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return Shuffle.apply(gradients[0], ctx.dtype, ctx.pad), None, None  # type: ignore[attr-defined]


class Shuffle(torch.autograd.Function):
    """Clips of another type from pixel-unshuffled, padded ones; its gradient is :class:`Unshuffle`.

    Two neighbours in a row, which lie side by side before and after, are moved as one number: half the time.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, parts: Tensor, dtype: torch.dtype, pad: tuple[int, int, int, int]
    ) -> Tensor:
        ctx.dtype, ctx.pad = parts.dtype, pad  # type: ignore[attr-defined]
        top, left, bottom, right = pad
        batch, channels, frames, height, width = parts.shape
        numbers = parts.permute(0, 2, 3, 4, 1).reshape(-1)  # flat: strides of empty or single dimensions mean nothing
        pairs = numbers.view(_PAIR[parts.dtype.itemsize]).view(batch, frames, height, width, channels // 4, 2)
        inner = pairs[:, :, top : height - bottom, left : width - right]
        rows, columns = inner.shape[2:4]
        shuffled = inner.permute(0, 4, 1, 2, 5, 3).reshape(-1).view(parts.dtype)
        return shuffled.view(batch, channels // 4, frames, 2 * rows, 2 * columns).to(dtype)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return Unshuffle.apply(gradients[0], ctx.dtype, ctx.pad), None, None  # type: ignore[attr-defined]


_PAIR = {2: torch.int32, 4: torch.int64, 8: torch.complex128}
"""Types of twice as many bytes as a number has."""
