"""Input transforms as defences before a classifier, and adaptive attacks on them.

A defence that breaks gradients or draws at random is no defence against an attack that takes this into account
(Athalye, Carlini and Wagner, ICML 2018). So a :class:`Defended` model differentiates a transform without a gradient as
if it were the identity (BPDA), and :func:`adaptive` attacks a random one by the mean of several draws (EOT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vidrobust.attacks.wrappers import EOT
from vidrobust.errors import InputError
from vidrobust.evaluation.jpeg import JPEG
from vidrobust.fast.view import answers

if TYPE_CHECKING:
    from vidrobust.attacks.wrappers import Search
    from vidrobust.types import ClipTensor, Logits


class Transform(Protocol):
    """What clips go through."""

    @property
    def random(self) -> bool:
        """Does it draw anew at each call, from torch's global random state?"""
        ...

    @property
    def differentiable(self) -> bool:
        """Has it a useful gradient?"""
        ...

    def __call__(self, clips: ClipTensor, /) -> ClipTensor:
        """Transformed clips of the same shape, in [0, 1]."""
        ...


@dataclass(frozen=True)
class Recompress:
    """Through MPEG-4 and back: high frequencies, which carry much of small perturbations, are quantised away.

    Args:
        quality: the quantiser, 2 (best) to 31.
    """

    random: ClassVar[bool] = False
    differentiable: ClassVar[bool] = False
    quality: int = 8

    def __call__(self, clips: ClipTensor) -> ClipTensor:
        """Every clip by itself."""
        from vidrobust.data.decoding.recompress import recompressed

        pixels = (clips.detach().float() * 255).round().byte().permute(0, 2, 3, 4, 1).cpu().numpy()
        again = np.stack([recompressed(clip, self.quality) for clip in pixels])
        return torch.from_numpy(again).permute(0, 4, 1, 2, 3).to(clips) / 255


@dataclass(frozen=True)
class RandomCrop:
    """A random part of the picture, the same in all frames, scaled back to the whole (Xie et al., ICLR 2018).

    Args:
        share: of height and width that is kept, above 0 and at most 1.
    """

    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    share: float = 0.875

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"share must lie above 0 and be at most 1, but is {self.share}.")

    def __call__(self, clips: ClipTensor) -> ClipTensor:
        """Every clip at a place of its own."""
        batch, _, frames, height, width = clips.shape
        kept = (max(1, round(height * self.share)), max(1, round(width * self.share)))
        tops = torch.randint(0, height - kept[0] + 1, (batch,)).tolist()
        lefts = torch.randint(0, width - kept[1] + 1, (batch,)).tolist()
        corners = zip(clips, tops, lefts, strict=True)
        parts = [clip[..., top : top + kept[0], left : left + kept[1]] for clip, top, left in corners]
        size = (frames, height, width)
        return F.interpolate(torch.stack(parts), size, mode="trilinear", align_corners=False).clamp(0, 1)


@dataclass(frozen=True)
class FrameShuffle:
    """Frames in random order within windows of a few.

    Args:
        window: frames per window, at least 2.
    """

    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    window: int = 2

    def __post_init__(self) -> None:
        if self.window < 2:
            raise InputError(f"window must be at least 2 frames, but is {self.window}.")

    def __call__(self, clips: ClipTensor) -> ClipTensor:
        """Every clip in an order of its own."""
        frames = clips.shape[2]
        starts = range(0, frames, self.window)
        orders = [
            torch.cat([start + torch.randperm(min(self.window, frames - start)) for start in starts]) for _ in clips
        ]
        return torch.stack([clip[:, order.to(clips.device)] for clip, order in zip(clips, orders, strict=True)])


TRANSFORMS = {"JPEG": JPEG, "Recompress": Recompress, "RandomCrop": RandomCrop, "FrameShuffle": FrameShuffle}
"""By the names that texts call them by."""


class Defended(nn.Module):
    """A classifier behind an input transform.

    >>> from vidrobust.models.building import build
    >>> model = Defended(build("r3d-small", 3), FrameShuffle(window=4)).eval()
    >>> model(torch.rand(2, 3, 8, 16, 16)).shape
    torch.Size([2, 3])
    """

    def __init__(self, classifier: nn.Module, transform: Transform) -> None:
        super().__init__()
        self.classifier, self.transform = classifier, transform

    def forward(self, clips: ClipTensor) -> Logits:
        """Logits ``B K``."""
        if not torch.is_tensor(clips):
            raise TypeError("a transform runs on tensors alone: it cannot be traced into a graph.")
        answer = answers(self.classifier)
        if self.transform.differentiable:
            return answer(self.transform(clips))
        moved = self.transform(clips)
        return answer(clips + (moved - clips).detach())  # the transform's value, the identity's gradient


DRAWS = 10
"""Over so many draws a model behind a random transform answers with the mean, attacked or not."""


def is_random(model: object) -> bool:
    """Does a random transform stand before the classifier?"""
    return bool(getattr(getattr(model, "transform", None), "random", False))


def adaptive(attack: Search, model: nn.Module, samples: int = DRAWS) -> Any:
    """The attack that takes a model's transform into account: over several draws if it is random.

    Args:
        attack: any search.
        model: maybe a :class:`Defended` one.
        samples: draws per pass.
    """
    return EOT(attack, samples) if is_random(model) else attack
