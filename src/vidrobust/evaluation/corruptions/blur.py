"""Blur: by the lens, by a camera that moves or zooms while the shutter is open, and by a shutter that is open long."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from vidrobust.evaluation.corruptions.kinds import ClipDraws, scale_of

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor


def exposure(clips: ClipTensor, half: int, draws: ClipDraws) -> ClipTensor:
    """Each frame is the mean of the ``half`` frames before it, itself and the ``half`` − 1 after it.

    Beyond the ends of the clip stand its first and last frame.
    """
    frames = clips.shape[2]
    times = torch.arange(-half, frames + half - 1, device=clips.device).clamp(0, frames - 1)
    sums = clips[:, :, times].double().cumsum(2)
    sums = F.pad(sums, (0, 0, 0, 0, 1, 0))
    return ((sums[:, :, 2 * half :] - sums[:, :, : -2 * half]) / (2 * half)).to(clips)


def defocus(clips: ClipTensor, lens: tuple[float, float], draws: ClipDraws) -> ClipTensor:
    """A disk of (radius, softness of its edge), in pixels of frames of 224; beyond the frame it is mirrored."""
    kernel = disk(lens[0] * scale_of(clips), lens[1]).to(clips)
    # One clip at a time: a convolution may add in another order for another batch, and rounding would show it.
    return torch.cat([_convolved(clip, kernel) for clip in clips.split(1)])


def disk(radius: float, softness: float) -> Tensor:
    """The kernel of a lens out of focus: a disk of pixels, softened by a small Gaussian, with sum 1.

    >>> disk(2, 0.1).shape, round(float(disk(2, 0.1).sum()), 6)
    (torch.Size([7, 7]), 1.0)
    """
    reach = math.floor(radius)
    at = torch.arange(-reach, reach + 1, dtype=torch.float64)
    flat = (at[:, None] ** 2 + at**2 <= radius**2).double()
    edge = 1 if radius <= 8 else 2
    at = torch.arange(-edge, edge + 1, dtype=torch.float64)
    bell = (-(at**2) / (2 * softness**2)).exp()
    bell = bell / bell.sum()
    soft = F.conv2d(F.pad(flat, (2 * edge,) * 4)[None, None], (bell[:, None] * bell)[None, None])[0, 0]
    return (soft / soft.sum()).float()


def _convolved(clips: ClipTensor, kernel: Tensor) -> ClipTensor:
    """Every channel of every frame with one kernel, mirrored at the edge."""
    flat = clips.transpose(1, 2).flatten(0, 2).unsqueeze(1)
    reach = kernel.shape[0] // 2
    while reach:  # a mirror shows no more than the frame has
        step = min(reach, min(flat.shape[-2:]) - 1)
        flat, reach = F.pad(flat, (step,) * 4, mode="reflect"), reach - step
    found = F.conv2d(flat, kernel[None, None])
    return found.view(len(clips), clips.shape[2], clips.shape[1], *clips.shape[3:]).transpose(1, 2)


def motion(clips: ClipTensor, camera: tuple[float, float], draws: ClipDraws) -> ClipTensor:
    """A streak of (radius, sigma) in pixels of frames of 224, at an angle within ±45° that is new in every frame.

    The streak is half of a Gaussian, of 2⌈radius⌉ + 1 pixels, as ImageMagick's motion blur has it.
    """
    radius, sigma = (part * scale_of(clips) for part in camera)
    width = 2 * math.ceil(radius) + 1
    weights = [math.exp(-(step**2) / (2 * sigma**2)) for step in range(width)]
    angle = draws.uniform(clips.shape[2], low=-math.pi / 4, high=math.pi / 4).double()
    blurred = torch.zeros_like(clips)
    for step, weight in enumerate(weights):
        down, right = ((step * side - 0.5).ceil().long() for side in (angle.sin(), angle.cos()))
        blurred += weight / sum(weights) * _shifted(clips, down, right)
    return blurred


def _shifted(clips: ClipTensor, down: Tensor, right: Tensor) -> ClipTensor:
    """Each frame (``B T``) seen from so many pixels further down and right, with the edge repeated."""
    batch, channels, frames, height, width = clips.shape
    rows = (torch.arange(height, device=clips.device) + down[..., None]).clamp(0, height - 1)
    columns = (torch.arange(width, device=clips.device) + right[..., None]).clamp(0, width - 1)
    place = (rows[..., None] * width + columns[..., None, :]).view(batch, 1, frames, -1)
    return clips.flatten(3).gather(3, place.expand(-1, channels, -1, -1)).view_as(clips)


def zoom(clips: ClipTensor, lens: tuple[float, float], draws: ClipDraws) -> ClipTensor:
    """The mean of the frame and of its centre at the magnifications of ``numpy.arange(1, end, step)``.

    That may hold the end, by rounding: so it did where the severities were published.
    """
    factors = np.arange(1, *lens).tolist()
    return (clips + sum(_magnified(clips, factor) for factor in factors)) / (len(factors) + 1)


def _magnified(clips: ClipTensor, factor: float) -> ClipTensor:
    """The centre of frames at a magnification, bilinear."""
    height, width = clips.shape[-2:]
    kept = (math.ceil(height / factor), math.ceil(width / factor))
    top, left = (height - kept[0]) // 2, (width - kept[1]) // 2
    part = clips[..., top : top + kept[0], left : left + kept[1]]
    size = tuple(round(side * factor) for side in kept)
    flat = part.transpose(1, 2).flatten(0, 1)
    large = F.interpolate(flat, size, mode="bilinear", align_corners=True).unflatten(0, (len(clips), -1))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return large.transpose(1, 2)[..., top : top + height, left : left + width]
