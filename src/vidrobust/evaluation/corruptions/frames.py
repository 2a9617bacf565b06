"""Corruptions that remove part of the picture, frames, their order or their detail."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from vidrobust.evaluation.corruptions.kinds import ClipDraws
from vidrobust.evaluation.corruptions.temporal import picked

if TYPE_CHECKING:
    from vidrobust.types import ClipTensor


def occlusion(clips: ClipTensor, share: float, draws: ClipDraws) -> ClipTensor:
    """A black rectangle of the frame's shape over a share of it, at one place in all frames."""
    height, width = clips.shape[-2:]
    high, wide = (max(1, round(side * math.sqrt(share))) for side in (height, width))
    place = draws.uniform(2)
    top = (place[:, 0] * (height - high + 1)).long()[:, None]
    left = (place[:, 1] * (width - wide + 1)).long()[:, None]
    rows, columns = (torch.arange(side, device=clips.device) for side in (height, width))
    across = (columns >= left) & (columns < left + wide)
    hidden = ((rows >= top) & (rows < top + high))[:, :, None] & across[:, None]
    return clips.masked_fill(hidden[:, None, None], 0)


def reversal(clips: ClipTensor, pieces: int, draws: ClipDraws) -> ClipTensor:
    """So many pieces of the clip, equally long, each played backwards."""
    times = torch.arange(clips.shape[2])
    return picked(clips, torch.cat([piece.flip(0) for piece in times.tensor_split(pieces)]))


def freeze(clips: ClipTensor, share: float, draws: ClipDraws) -> ClipTensor:
    """A share of the clip, up to its end, stands still."""
    frames = clips.shape[2]
    return picked(clips, torch.arange(frames).clamp_max(max(0, frames - round(share * frames))))


def dropped(clips: ClipTensor, share: float, draws: ClipDraws) -> ClipTensor:
    """A random share of the frames, never the first, is lost: the one before stays."""
    frames = clips.shape[2]
    lost = draws.orders(frames - 1).cpu()[:, : round(share * (frames - 1))] + 1
    kept = torch.ones(len(clips), frames, dtype=torch.bool).scatter_(1, lost, value=False)
    return picked(clips, torch.where(kept, torch.arange(frames), 0).cummax(1).values)


def shuffled(clips: ClipTensor, share: float, draws: ClipDraws) -> ClipTensor:
    """Frames in random order within windows of a share of the clip, of at least two frames."""
    frames = clips.shape[2]
    window = max(2, round(share * frames))
    orders = [start + draws.orders(min(window, frames - start)) for start in range(0, frames, window)]
    return picked(clips, torch.cat(orders, 1))


def shift(clips: ClipTensor, share: float, draws: ClipDraws) -> ClipTensor:
    """Earlier or later by a share of the clip's length; at the end that runs out, the outermost frame stands."""
    frames = clips.shape[2]
    way = draws.integers(0, 2, 1).cpu() * 2 - 1
    return picked(clips, (torch.arange(frames) + way * round(share * frames)).clamp(0, frames - 1))


def resolution(clips: ClipTensor, share: float, draws: ClipDraws) -> ClipTensor:
    """Height and width scaled down to a share, and up again."""
    height, width = clips.shape[-2:]
    small = (max(1, round(height * share)), max(1, round(width * share)))
    flat = clips.transpose(1, 2).flatten(0, 1)
    low = F.interpolate(flat, small, mode="bilinear", antialias=True, align_corners=False)
    back = F.interpolate(low, (height, width), mode="bilinear", align_corners=False)
    return back.unflatten(0, (len(clips), -1)).transpose(1, 2)
