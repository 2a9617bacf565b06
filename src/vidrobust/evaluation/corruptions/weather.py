"""Rain, whose drops are new in every frame, and fog, which stands still over the whole video."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from vidrobust.evaluation.corruptions.kinds import ClipDraws, scale_of

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor

DROP = 220 / 255
"""How bright a drop is."""


def fog(clips: ClipTensor, fog: tuple[float, float], draws: ClipDraws) -> ClipTensor:
    """A cloud of (thickness, decay) over all frames alike; the brightest pixel of a frame stays as bright.

    The cloud is a plasma fractal by the diamond-square algorithm (Fournier, Fussell and Carpenter 1982), whose
    roughness falls by the square of the decay from one scale to the next.
    """
    thickness, decay = fog
    height, width = clips.shape[-2:]
    cloud = plasma(1 << (max(height, width) - 1).bit_length(), decay, draws)[:, None, None, :height, :width]
    brightest = clips.amax((1, 3, 4), keepdim=True)
    return (clips + thickness * cloud) * brightest / (brightest + thickness)


def plasma(size: int, decay: float, draws: ClipDraws) -> Tensor:
    """``B size size`` in [0, 1]: a fractal on a torus, ``size`` a power of two.

    >>> cloud = plasma(16, 2.0, ClipDraws([0, 1]))
    >>> cloud.shape, float(cloud.amin()), float(cloud.amax())
    (torch.Size([2, 16, 16]), 0.0, 1.0)
    """
    corner = torch.zeros_like(draws.uniform(1, 1))
    rough = 1.0
    while (cells := corner.shape[-1]) < size:
        right, below = corner.roll(-1, 2), corner.roll(-1, 1)
        spread = rough * draws.uniform(3, cells, cells, low=-1, high=1)
        centre = (corner + right + below + right.roll(-1, 1)) / 4 + spread[:, 0]
        across = (corner + right + centre + centre.roll(1, 1)) / 4 + spread[:, 1]
        down = (corner + below + centre + centre.roll(1, 2)) / 4 + spread[:, 2]
        finer = corner.new_empty(len(corner), 2 * cells, 2 * cells)
        finer[:, ::2, ::2], finer[:, 1::2, 1::2] = corner, centre
        finer[:, ::2, 1::2], finer[:, 1::2, ::2] = across, down
        corner, rough = finer, rough / decay**2
    lowest, highest = corner.amin((1, 2), keepdim=True), corner.amax((1, 2), keepdim=True)
    return (corner - lowest) / (highest - lowest).clamp_min(1e-12)


def rain(clips: ClipTensor, shower: tuple[int, int, float], draws: ClipDraws) -> ClipTensor:
    """A shower of (pixels of picture per drop, length of a drop, contrast that is left), new in every frame.

    Bright streaks lie over the picture, blurred with what is behind them, and the contrast falls. A streak is one pixel
    wide; its length is that on frames of 224 pixels, and there are so many that they cover the same share of others.
    """
    area_of_one, length, left = shower
    streaks = DROP * _streaks(clips, area_of_one, length, draws)
    dark = 1 - clips.mean((1, 3, 4), keepdim=True)
    lit = clips + streaks * (1 - clips) * dark
    wet = F.avg_pool2d(F.pad(lit.transpose(1, 2).flatten(0, 1), (1, 1, 1, 1), mode="reflect"), 3, 1)
    wet = wet.unflatten(0, (len(clips), -1)).transpose(1, 2)
    rainy = wet * streaks + clips * (1 - streaks)
    mean = rainy.mean((3, 4), keepdim=True)
    return mean + left * (rainy - mean)


def _streaks(clips: ClipTensor, area_of_one: int, length: int, draws: ClipDraws) -> Tensor:
    """``B 1 T H W`` of 0 and 1: falling drops, almost upright, that lean by one pixel to the left."""
    frames, height, width = clips.shape[2:]
    scale = scale_of(clips)
    long = min(max(1, round(length * scale)), height - 1)
    count = max(1, round(height * width / area_of_one / scale))
    slant = draws.integers(-10, 10, frames, 1) * scale
    low, high = slant.clamp_max(0), width - slant.clamp_min(0)
    left = (low + (high - low) * draws.uniform(frames, count)).floor().long()
    top = (draws.uniform(frames, count) * (height - long)).floor().long()
    along = torch.arange(long + 1, device=clips.device)
    rows = top[..., None] + along
    columns = left[..., None] - (2 * along >= long).long()
    inside = ((columns >= 0) & (columns < width)).to(clips)
    place = (rows * width + columns.clamp(0, width - 1)).flatten(2)
    covered = torch.zeros(len(clips), frames, height * width, device=clips.device, dtype=clips.dtype)
    covered.scatter_reduce_(2, place, inside.flatten(2), "amax")
    return covered.view(len(clips), 1, frames, height, width)
