"""The order of frames: clips of which each frame is one of the clip's own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from vidrobust.evaluation.corruptions.kinds import ClipDraws

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor


def picked(clips: ClipTensor, times: Tensor) -> ClipTensor:
    """The frames at these times (``B T``, or ``T`` for all clips alike)."""
    times = times.to(clips.device).expand(len(clips), -1)
    return clips.gather(2, times[:, None, :, None, None].expand(-1, clips.shape[1], -1, *clips.shape[3:]))


def sampling(clips: ClipTensor, rate: int, draws: ClipDraws) -> ClipTensor:
    """One frame in ``rate``, each shown until the next."""
    return picked(clips, _sampled(clips, rate))


def reverse_sampling(clips: ClipTensor, rate: int, draws: ClipDraws) -> ClipTensor:
    """The same, played backwards."""
    return picked(clips, _sampled(clips, rate).flip(0))


def _sampled(clips: ClipTensor, rate: int) -> Tensor:
    return torch.arange(clips.shape[2]) // rate * rate


def jumble(clips: ClipTensor, segment: int, draws: ClipDraws) -> ClipTensor:
    """Frames in random order within segments of so many."""
    frames = clips.shape[2]
    orders = [start + draws.orders(min(segment, frames - start)) for start in range(0, frames, segment)]
    return picked(clips, torch.cat(orders, 1))


def box_jumble(clips: ClipTensor, segment: int, draws: ClipDraws) -> ClipTensor:
    """Segments of so many frames in random order, each in its own."""
    frames = clips.shape[2]
    order = draws.orders(math.ceil(frames / segment))
    times = [[time for box in own for time in range(box * segment, min((box + 1) * segment, frames))]
             for own in order.tolist()]  # fmt: skip
    return picked(clips, torch.tensor(times))


def freeze(clips: ClipTensor, kept: tuple[float, int], draws: ClipDraws) -> ClipTensor:
    """Of a random (share, at least so many) of the frames, each is shown until the next; before them, the first."""
    frames = clips.shape[2]
    share, least = kept
    count = min(frames, max(least, int(share * frames)))
    chosen = torch.zeros(len(clips), frames, dtype=torch.bool)
    chosen.scatter_(1, draws.orders(frames)[:, :count].cpu(), value=True)
    return picked(clips, torch.where(chosen, torch.arange(frames), 0).cummax(1).values)
