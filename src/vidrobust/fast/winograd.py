"""A 3×3×3 convolution with fewer multiplications (Winograd's minimal filtering; Lavin and Gray, CVPR 2016).

Every 6×6 tile of a frame gives 4×4 outputs with 36 multiplications per channel, the plain sum with 144. The tiles of a
frame go through matrix products: into 36 transformed positions, there times the transformed weights of three frames
in turn, and back. Only a frame is transformed at a time, which stays in the processor's cache. In float32 the results
differ from the plain sum's in the sixth digit.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS, SIZE = 48, 20
"""From so many channels and pixels of a side on, fewer multiplications outweigh the transforms."""

THREADS = 8
"""A frame's products are small: with more threads, PyTorch's convolution is left to share out the whole clip."""

_INTO = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]]
_INTO += [[0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
_WEIGHTS = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # times 24
_BACK = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


@cache
def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Of the transforms of a tile (36×36), of 3×3 weights (36×9) and of the outputs (16×36), rows times columns."""
    exact = {"dtype": torch.float64, "device": "cpu"}  # whatever the defaults are
    into, weights, back = (torch.tensor(rows, **exact) for rows in (_INTO, _WEIGHTS, _BACK))
    into, weights, back = (torch.kron(one, one).float() for one in (into, weights / 24, back))
    return into, weights, back


def is_worthwhile(shape: torch.Size, weight: Tensor) -> bool:
    """Is a 3×3×3 convolution of features of this shape faster so?"""
    wide = weight.shape[2:] == (3, 3, 3) and min(weight.shape[:2]) >= CHANNELS and min(shape[3:]) >= SIZE
    return wide and torch.get_num_threads() <= THREADS


def winograd_conv3d(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As ``F.conv3d(inputs, weight, bias, padding=1)`` of a 3×3×3 kernel, without a gradient.

    Args:
        inputs: ``B C T H W`` float32 on a CPU, best channels-last.
        weight: ``K C 3 3 3`` float32.
        bias: ``K`` float32.

    Returns:
        ``B K T H W`` float32, channels-last.

    >>> inputs, weight = torch.randn(1, 2, 3, 9, 8), torch.randn(4, 2, 3, 3, 3)
    >>> plain = torch.nn.functional.conv3d(inputs, weight, padding=1)
    >>> torch.allclose(winograd_conv3d(inputs, weight), plain, atol=1e-3)
    True
    """
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        return _convolve(inputs, _transformed(weight), bias)


def _transformed(weight: Tensor) -> Tensor:
    """The weights, ``3 36 C K``."""
    taps = weight.permute(2, 3, 4, 1, 0)
    return torch.matmul(_matrices()[1], taps.reshape(3, 9, -1)).unflatten(-1, taps.shape[3:])


def _convolve(inputs: Tensor, taps: Tensor, bias: Tensor | None) -> Tensor:
    batch, _, frames, height, width = inputs.shape
    shape = (batch, taps.shape[3], frames, height, width)
    output = torch.empty(shape, dtype=inputs.dtype, device=inputs.device, memory_format=torch.channels_last_3d)
    tiles = Tiles(inputs)
    product = inputs.new_empty(36, batch * tiles.rows * tiles.columns, taps.shape[3])
    before, here, after = (inputs.new_empty(36, product.shape[1], taps.shape[2]) for _ in range(3))
    tiles.load(0, here)
    for frame in range(frames):
        torch.bmm(here, taps[1], out=product)
        if frame > 0:
            torch.baddbmm(product, before, taps[0], out=product)
        if frame + 1 < frames:
            tiles.load(frame + 1, after)
            torch.baddbmm(product, after, taps[2], out=product)
        tiles.store(product, bias, output[:, :, frame].permute(0, 2, 3, 1))
        before, here, after = here, after, before
    return output


class Tiles:
    """The overlapping tiles of one frame of all clips, which are loaded from features and stored in others."""

    def __init__(self, inputs: Tensor) -> None:
        batch, channels, _, height, width = inputs.shape
        self.inputs = inputs.permute(2, 0, 3, 4, 1)
        self.rows, self.columns = -(-height // 4), -(-width // 4)
        self._padded = inputs.new_zeros(batch, 4 * self.rows + 2, 4 * self.columns + 2, channels)
        clip, row, column, _ = self._padded.stride()
        shape = (6, 6, batch, self.rows, self.columns, channels)
        self._overlapping = self._padded.as_strided(shape, (row, column, clip, 4 * row, 4 * column, 1))
        self._tiles = inputs.new_empty(shape)

    def load(self, frame: int, transformed: Tensor) -> None:
        """Transform the tiles of a frame, ``36 tiles C``."""
        height, width = self.inputs.shape[2:4]
        self._padded[:, 1 : height + 1, 1 : width + 1] = self.inputs[frame]
        self._tiles.copy_(self._overlapping)
        torch.mm(_matrices()[0], self._tiles.flatten(2).flatten(0, 1), out=transformed.flatten(1))

    def store(self, product: Tensor, bias: Tensor | None, output: Tensor) -> None:
        """Transform tiles back into a frame, ``B H W K``."""
        batch, height, width, channels = output.shape
        found = torch.mm(_matrices()[2], product.flatten(1)).view(4, 4, batch, self.rows, self.columns, channels)
        found = found.permute(2, 3, 0, 4, 1, 5)
        if (height, width) == (4 * self.rows, 4 * self.columns):
            output = output.view(found.shape)
        else:
            found = found.reshape(batch, 4 * self.rows, 4 * self.columns, channels)[:, :height, :width]
        if bias is None:
            output.copy_(found)
        else:
            torch.add(found, bias, out=output)
