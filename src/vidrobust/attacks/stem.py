"""A faster first convolution.

The first convolution of a video network has 3 input channels and a spatial stride of 2: few channels fill few vector
lanes, and its input gradient is a large share of an attack's cost. The same convolution on pixel-unshuffled frames has
12 channels and stride 1. The outputs are equal up to the order of the sums: an input pixel at offset ``u = 2a + b`` from
the output's centre is found at offset ``a`` in the channel of parity ``b``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

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
        self.reach = tuple((size // 2 + 1) // 2 for size in conv.kernel_size[1:])
        kernel = (conv.kernel_size[0], *(2 * reach + 1 for reach in self.reach))
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
        row, column = down + self.reach[0], right + self.reach[1]
        taps = self.conv.weight.permute(3, 4, 0, 1, 2)  # kernel rows and columns first, as advanced indexing gives them
        self.weight[:, :, (rows % 2)[:, None], columns % 2, :, row[:, None], column] = taps

    def forward(self, clips: Tensor) -> Tensor:
        batch, channels, frames, height, width = clips.shape
        if height % 2 or width % 2:
            return self.conv(clips)
        parts = clips.to(self.weight.dtype).reshape(batch, channels, frames, height // 2, 2, width // 2, 2)
        parts = parts.permute(0, 1, 4, 6, 2, 3, 5).flatten(1, 3)
        parts = parts.contiguous(memory_format=torch.channels_last_3d)
        padding = (self.conv.kernel_size[0] // 2, *self.reach)
        return F.conv3d(parts, self.weight.flatten(1, 3), self.conv.bias, padding=padding)
