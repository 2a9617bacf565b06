"""Light and colour, the same for all frames of a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vidrobust.evaluation.corruptions.kinds import ClipDraws

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor


def contrast(clips: ClipTensor, factor: float, draws: ClipDraws) -> ClipTensor:
    """Each channel of each frame, drawn towards its mean."""
    mean = clips.mean((-2, -1), keepdim=True)
    return mean + factor * (clips - mean)


def brightness(clips: ClipTensor, lift: float, draws: ClipDraws) -> ClipTensor:
    """The value of HSV raised by ``lift``, at most to 1; hue and saturation stay."""
    value = clips.amax(1, keepdim=True)
    return _hues(clips, value) * (value + lift).clamp_max(1)


def saturate(clips: ClipTensor, change: tuple[float, float], draws: ClipDraws) -> ClipTensor:
    """The saturation of HSV multiplied and raised by (factor, lift), at most to 1; hue and value stay.

    A grey pixel has the hue of red, as everywhere in HSV: a lift tinges it.
    """
    factor, lift = change
    value = clips.amax(1, keepdim=True)
    away = 1 - _hues(clips, value)  # from white: saturation times a share that the hue alone decides
    saturation = away.amax(1, keepdim=True)
    red = torch.tensor([0.0, 1.0, 1.0]).to(clips).view(1, 3, 1, 1, 1)
    shares = torch.where(saturation > 0, away / saturation.clamp_min(1e-12), red)
    return value * (1 - shares * (saturation * factor + lift).clamp(0, 1))


def _hues(clips: ClipTensor, value: Tensor) -> Tensor:
    """Colours at full value; of black, white."""
    return torch.where(value > 0, clips / value.clamp_min(1e-12), 1.0)
