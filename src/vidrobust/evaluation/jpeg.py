"""JPEG before a classifier, frame by frame: the defence of Dziugaite, Ghahramani and Roy (2016), and its gradient.

Rounding has none, so that an attack approximates it in one of two ways: by the identity (BPDA; Athalye, Carlini and
Wagner, ICML 2018), or by the gradient of the same JPEG with a rounding that is smooth (Shin and Song, NeurIPS workshop
on machine learning and computer security, 2017). The value is in both cases that of the real encoder and decoder.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor

LIGHT = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
COLOUR = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *[(99,) * 8] * 4,
)
"""Quantisers of luminance and of chrominance at quality 50 (ITU-T T.81, annex K.1)."""

YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""Of RGB (JFIF); 128 is added to the latter two."""


@dataclass(frozen=True)
class JPEG:
    """Through JPEG and back, every frame by itself, with colours at half the size.

    Args:
        quality: 1 to 95, as libjpeg scales its quantisers.
        smooth: is the gradient that of a JPEG with smooth rounding? Otherwise it is the identity's.

    Raises:
        InputError: there is no such quality.

    >>> JPEG(quality=50)(torch.rand(1, 3, 2, 17, 24)).shape
    torch.Size([1, 3, 2, 17, 24])
    """

    quality: int = 50
    smooth: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 95:
            raise InputError(f"quality is JPEG's, from 1 to 95 (best), but is {self.quality}.")

    @property
    def random(self) -> bool:
        return False

    @property
    def differentiable(self) -> bool:
        return self.smooth

    def __call__(self, clips: ClipTensor) -> ClipTensor:
        """Every frame by itself."""
        real = _encoded(clips.detach(), self.quality)
        if not (self.smooth and torch.is_grad_enabled() and clips.requires_grad):
            return real
        approximate = jpeg(clips, self.quality)
        return real + (approximate - approximate.detach())  # a sum with exact 0: the value is that of `real`


def _encoded(clips: ClipTensor, quality: int) -> ClipTensor:
    pixels = (clips.float() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 4, 1).cpu().numpy()
    again = np.stack([np.stack([_frame(frame, quality) for frame in clip]) for clip in pixels])
    return torch.from_numpy(again).permute(0, 4, 1, 2, 3).to(clips) / 255


def _frame(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer))


def smooth_round(values: Tensor) -> Tensor:
    """``⌊x⌉ + (x - ⌊x⌉)³``: near a rounded value, and with a gradient (Shin and Song 2017).

    >>> smooth_round(torch.tensor([2.0, 2.5, 2.75])).tolist()
    [2.0, 2.125, 2.984375]
    """
    nearest = values.detach().round()
    return nearest + (values - nearest) ** 3


def jpeg(clips: ClipTensor, quality: int, rounded: Callable[[Tensor], Tensor] = smooth_round) -> ClipTensor:
    """JPEG as a differentiable function: all but the lossless coding, which changes nothing.

    Args:
        clips: ``B 3 T H W`` in [0, 1].
        quality: as in :class:`JPEG`.
        rounded: how the coefficients are rounded.
    """
    batch, channels, length, height, width = clips.shape
    frames = clips.transpose(1, 2).reshape(batch * length, channels, height, width) * 255
    frames = F.pad(frames, (0, -width % 16, 0, -height % 16), mode="replicate")
    matrix = torch.tensor(YCBCR).to(frames)
    light, *colours = torch.einsum("ij,njhw->inhw", matrix, frames)
    light = _coded(light - 128, quantisers(LIGHT, quality), rounded) + 128
    coded = torch.stack([_coded(F.avg_pool2d(each, 2), quantisers(COLOUR, quality), rounded) for each in colours], 1)
    large = F.interpolate(coded, scale_factor=2, mode="bilinear", align_corners=False)
    planes = torch.cat([light[:, None], large], 1)
    found = torch.einsum("ij,njhw->nihw", torch.linalg.inv(matrix), planes)[..., :height, :width]
    return (found / 255).clamp(0, 1).view(batch, length, channels, height, width).transpose(1, 2)


def quantisers(table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """``8 8``: the quantisers at a quality, as libjpeg scales them.

    >>> quantisers(LIGHT, 50).int().tolist() == [list(row) for row in LIGHT]
    True
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return torch.tensor(table).mul(scale).add(50).div(100, rounding_mode="floor").clamp(1, 255).float()


def _coded(plane: Tensor, steps: Tensor, rounded: Callable[[Tensor], Tensor]) -> Tensor:
    """A plane ``N H W`` as it comes back from the quantised cosine transform of its 8 × 8 blocks."""
    count, height, width = plane.shape
    place = torch.arange(8, device=plane.device, dtype=torch.float64)
    cosines = torch.cos((2 * place + 1) * place[:, None] * math.pi / 16) / 2
    cosines[0] /= math.sqrt(2)
    basis, steps = cosines.to(plane), steps.to(plane)
    blocks = plane.view(count, height // 8, 8, width // 8, 8).transpose(2, 3)
    again = basis.T @ (rounded(basis @ blocks @ basis.T / steps) * steps) @ basis
    return again.transpose(2, 3).reshape(count, height, width)
