"""Grouped convolutions of few channels per group, computed with fewer and wider groups.

In bfloat16 on a GPU, cuDNN has no kernel for groups of 4 channels and runs them one by one: on an H100 the convolution
8×128×32×28×28 of 32 groups takes 8.2 ms forward, and 0.23 ms as 8 groups of 16 channels whose weights are zero between
the groups that were merged. The outputs are equal up to the order of the sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrobust.fast.frozen import ConvWindow, frozen_conv3d, is_plain

if TYPE_CHECKING:
    from torch import Tensor

FEWEST = 4
"""Channels per group below which merging was not measured (depthwise convolutions have kernels of their own)."""

ENOUGH = 16
"""Channels that a merged group has at least."""


def groups_to_merge(conv: nn.Module) -> int:
    """How many neighbouring groups of a convolution to merge into one; 1 for those that stay as they are.

    >>> groups_to_merge(nn.Conv3d(128, 128, 3, groups=32)), groups_to_merge(nn.Conv3d(64, 64, 3))
    (4, 1)
    >>> groups_to_merge(nn.Conv3d(64, 64, 3, groups=64))
    1
    """
    if not isinstance(conv, nn.Conv3d) or not is_plain(conv):
        return 1
    each = conv.in_channels // conv.groups
    together = -(-ENOUGH // each)
    return together if FEWEST <= each < ENOUGH and conv.groups % together == 0 else 1


class MergedConv(nn.Module):
    """The grouped convolution ``conv`` with ``together`` groups merged into each, differentiable in the input alone.

    Call :meth:`refresh` after the weights of ``conv`` have changed.

    >>> conv = nn.Conv3d(8, 8, 3, padding=1, groups=4, dtype=torch.float64)
    >>> features = torch.rand(2, 8, 3, 5, 5, dtype=torch.float64)
    >>> torch.allclose(MergedConv(conv, 2)(features), conv(features))
    True
    """

    weight: Tensor

    def __init__(self, conv: nn.Conv3d, together: int) -> None:
        super().__init__()
        assert not isinstance(conv.padding, str)
        self.conv, self.together = conv, together
        self.window = ConvWindow(conv.stride, conv.padding, conv.dilation, conv.groups // together)
        out, channels, *kernel = conv.weight.shape
        zeros = conv.weight.new_zeros(out, channels * together, *kernel)
        self.register_buffer("weight", zeros.contiguous(memory_format=torch.channels_last_3d), persistent=False)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the weights of ``conv``: blocks on the diagonal, zeros between."""
        out, channels, *kernel = self.conv.weight.shape
        rows = out // self.conv.groups
        wide = self.weight.new_zeros(self.weight.shape)
        blocks = wide.view(-1, self.together, rows, self.together, channels, *kernel)
        source = self.conv.weight.reshape(-1, self.together, rows, channels, *kernel)
        for place in range(self.together):
            blocks[:, place, :, place] = source[:, place]
        self.weight.copy_(wide)  # in place: captured graphs know where it lies

    def forward(self, features: Tensor) -> Tensor:
        return frozen_conv3d(features, self.weight, self.conv.bias, self.window)


def merge_groups(graph: nn.Module) -> list[MergedConv]:
    """Replace the convolutions of a model whose groups are few channels wide."""
    found = {name: part for name, part in graph.named_modules() if groups_to_merge(part) > 1}
    merged = []
    for name, part in found.items():
        assert isinstance(part, nn.Conv3d)
        merged.append(MergedConv(part, groups_to_merge(part)))
        graph.set_submodule(name, merged[-1])
    return merged
