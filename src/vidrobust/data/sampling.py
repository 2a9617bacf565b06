"""Sampling of clips: windows in time, and crops of the frames, as in the literature.

Crops are boxes ``B 4`` (top, left, height, width), whole pixels within the frame, drawn from numbers in [0, 1) so that
a caller's generator alone decides.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from vidrobust.errors import InputError

Views: TypeAlias = "int | Literal['sliding']"

SCALES = tuple(2 ** (-step / 4) for step in range(5))
"""Sides of the corner crops as shares of the shorter side: 1, 0.84, 0.71, 0.59, 0.5 (Hara et al. 2018, section 3.2)."""

AREA, RATIO = (0.25, 1.0), (3 / 4, 4 / 3)
"""Range of the area and of the aspect ratio of a random-resized crop, as 3D-ResNets trains its Kinetics-700 models."""

_MIRRORED = (("left", "right"), ("clockwise", "counterclockwise"), ("clockwise", "anticlockwise"))


def window(start: Tensor, frames: int, stride: int, length: Tensor) -> Tensor:
    """The frames of clips, ``B T``; past its end a video begins again."""
    return (start[:, None] + torch.arange(frames) * stride) % length[:, None]


def random_first_frame(draws: Tensor, length: Tensor, reach: int) -> Tensor:
    """``B``: a start for each clip, uniform over those whose window lies in the video."""
    free = (length - reach).clamp_min(0) + 1
    return torch.minimum((draws * free).long(), free - 1)


def starts(length: int, reach: int, views: Views) -> list[int]:
    """Where the evaluation's clips of a video start.

    Args:
        length: frames of the video.
        reach: frames per clip reaches over.
        views: so many clips, evenly from the first possible start to the last (one: the centre); or ``sliding``: one
            behind the other without overlap, the last one moved back so that it ends with the video.

    Raises:
        InputError: there are fewer than one view.

    >>> starts(20, 8, 3), starts(20, 8, "sliding"), starts(20, 8, 1), starts(5, 8, "sliding")
    ([0, 6, 12], [0, 8, 12], [6], [0])
    """
    free = max(0, length - reach)
    if views == "sliding":
        return [*range(0, free, reach), free] if free else [0]
    if not isinstance(views, int) or views < 1:
        raise InputError(f"views must be a number from 1, or sliding, but is {views!r}.")
    if views == 1:
        return [free // 2]
    return [round(free * view / (views - 1)) for view in range(views)]


def corner_boxes(draws: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Multi-scale corner crops (Wang et al. 2015; Hara et al. 2018): a square at the centre or in a corner, 5 scales.

    Args:
        draws: ``B 2`` in [0, 1): the scale, and the place.
        height, width: ``B``, of the frames.
    """
    scale = torch.tensor(SCALES)[(draws[:, 0] * len(SCALES)).long()]
    side = (torch.minimum(height, width) * scale).long().clamp_min(1)
    place = (draws[:, 1] * 5).long()
    down, right = (height - side), (width - side)
    top = torch.where(place == 4, down // 2, down * (place // 2))
    left = torch.where(place == 4, right // 2, right * (place % 2))
    return torch.stack([top, left, side, side], 1)


def resized_boxes(draws: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Random-resized crops (Szegedy et al. 2015): random area and aspect ratio, cut to the frame, at a random place.

    Args:
        draws: ``B 4`` in [0, 1): area, aspect ratio, and the place from the top and from the left.
        height, width: ``B``, of the frames.
    """
    area = (AREA[0] + (AREA[1] - AREA[0]) * draws[:, 0]) * height * width
    low, high = map(math.log, RATIO)
    ratio = torch.exp(low + (high - low) * draws[:, 1])
    sides = torch.sqrt(area / ratio), torch.sqrt(area * ratio)
    tall, wide = (
        torch.minimum(side.round().long(), limit).clamp_min(1)
        for side, limit in zip(sides, (height, width), strict=True)
    )
    top = (draws[:, 2] * (height - tall + 1)).long()
    left = (draws[:, 3] * (width - wide + 1)).long()
    return torch.stack([top, left, tall, wide], 1)


def centre_box(height: int, width: int) -> tuple[int, int, int, int]:
    """The largest square around the centre."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def mirror_swaps(classes: Sequence[str]) -> bool:
    """Does a mirror turn one of these classes into another, as a pan to the left into one to the right?

    >>> mirror_swaps(["PanLeft", "PanRight"]), mirror_swaps(["Archery", "Bowling"])
    (True, False)
    """
    names = {name.casefold() for name in classes}
    return any(_swapped(name, one, other) in names - {name} for name in names for one, other in _MIRRORED)


def _swapped(name: str, one: str, other: str) -> str:
    """The name with the two words exchanged; the longer one first, because one may be the end of the other."""
    words = {one: other, other: one}
    return re.sub("|".join(sorted(words, key=len, reverse=True)), lambda found: words[found[0]], name)
