"""A camera that is held askew or shakes: what comes from outside the frame is black."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from vidrobust.evaluation.corruptions.kinds import ClipDraws, scale_of

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor


def static_rotate(clips: ClipTensor, degrees: float, draws: ClipDraws) -> ClipTensor:
    """All frames turned counterclockwise by the same angle."""
    return turned(clips, torch.full((len(clips), clips.shape[2]), degrees))


def rotate(clips: ClipTensor, degrees: int, draws: ClipDraws) -> ClipTensor:
    """Each frame turned by a whole number of degrees of its own, at most ``degrees`` either way."""
    return turned(clips, draws.integers(-degrees, degrees + 1, clips.shape[2]))


def turned(clips: ClipTensor, degrees: Tensor) -> ClipTensor:
    """Each frame (``B T``) turned counterclockwise about its centre, to the nearest pixel."""
    height, width = clips.shape[-2:]
    angle = degrees.to(clips.device).double() * math.pi / 180
    cosine, sine = (part[..., None, None] for part in (angle.cos(), angle.sin()))
    down = (torch.arange(height, device=clips.device) + 0.5 - height / 2)[:, None]
    right = torch.arange(width, device=clips.device) + 0.5 - width / 2
    rows = (cosine * down + sine * right + height / 2 + 1e-9).floor().long()
    columns = (cosine * right - sine * down + width / 2 + 1e-9).floor().long()
    return _looked_up(clips, rows, columns)


def translate(clips: ClipTensor, most: int, draws: ClipDraws) -> ClipTensor:
    """All frames of a clip moved up and left, each way by less than ``most`` pixels of frames of 224."""
    height, width = clips.shape[-2:]
    shift = (draws.integers(0, most, 2) * scale_of(clips)).round().long()[..., None, None, None]
    rows = torch.arange(height, device=clips.device)[:, None] + shift[:, 0]
    columns = torch.arange(width, device=clips.device) + shift[:, 1]
    shape = (len(clips), clips.shape[2], height, width)
    return _looked_up(clips, rows.expand(shape), columns.expand(shape))


def _looked_up(clips: ClipTensor, rows: Tensor, columns: Tensor) -> ClipTensor:
    """Each pixel from another place of its frame (``B T H W``); black from outside."""
    height, width = clips.shape[-2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    place = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    place = place.flatten(2)[:, None].expand(-1, clips.shape[1], -1, -1)
    return clips.flatten(3).gather(3, place).view_as(clips) * inside[:, None]
