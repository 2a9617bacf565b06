"""A 3D denoising GAN before a classifier: the purifier, its critic, and the two models in one.

Source: APE-GAN (Jin et al., ICASSP 2019), made 3D by Kinfu and Vidal (arXiv 2206.07953, section 5): three strided 3D
convolutions down to 256 channels, three transposed ones up, batch norm, sigmoid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vidrobust.fast.view import answers

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor, Logits

CHANNELS = (64, 128, 256)
"""Of the published generator."""


class Purifier(nn.Module):
    """From clips to cleaner clips of the same shape, any length and size.

    Strides are in space alone, so that short clips keep their frames; sizes that they do not divide are padded and cut.

    Args:
        channels: of the three layers down.

    >>> Purifier((8, 16, 32))(torch.rand(2, 3, 5, 18, 20)).shape
    torch.Size([2, 3, 5, 18, 20])
    """

    def __init__(self, channels: tuple[int, int, int] = CHANNELS) -> None:
        super().__init__()
        self.channels = channels
        ends = (3, *channels)
        down: list[nn.Module] = []
        for inputs, outputs in zip(ends, channels, strict=False):
            down += [nn.Conv3d(inputs, outputs, (3, 4, 4), (1, 2, 2), 1), nn.BatchNorm3d(outputs), nn.ReLU()]
        up: list[nn.Module] = []
        for inputs, outputs in zip(channels[::-1], channels[-2::-1], strict=False):
            up += [nn.ConvTranspose3d(inputs, outputs, (3, 4, 4), (1, 2, 2), 1), nn.BatchNorm3d(outputs), nn.ReLU()]
        self.down, self.up = nn.Sequential(*down), nn.Sequential(*up)
        self.last = nn.ConvTranspose3d(channels[0], 3, (3, 4, 4), (1, 2, 2), 1)

    def forward(self, clips: ClipTensor) -> ClipTensor:
        """Clips in [0, 1]."""
        height, width = clips.shape[3:]
        padded = nn.functional.pad(clips.flatten(1, 2), (0, -width % 8, 0, -height % 8), mode="replicate")
        inner = padded.unflatten(1, clips.shape[1:3])
        return self.last(self.up(self.down(inner * 2 - 1)))[..., :height, :width].sigmoid()


class Critic(nn.Module):
    """From clips to one logit each: is it a clean clip, or a purified one?

    >>> Critic((8, 16, 32))(torch.rand(2, 3, 5, 18, 20)).shape
    torch.Size([2])
    """

    def __init__(self, channels: tuple[int, int, int] = CHANNELS) -> None:
        super().__init__()
        ends = (3, *channels)
        layers: list[nn.Module] = []
        for inputs, outputs in zip(ends, channels, strict=False):
            layers += [nn.Conv3d(inputs, outputs, (3, 4, 4), (1, 2, 2), 1), nn.BatchNorm3d(outputs), nn.LeakyReLU(0.2)]
        self.body, self.fc = nn.Sequential(*layers), nn.Linear(channels[-1], 1)

    def forward(self, clips: ClipTensor) -> Tensor:
        """``B``."""
        return self.fc(self.body(clips * 2 - 1).mean((2, 3, 4))).squeeze(1)


class Purified(nn.Module):
    """A classifier that sees purified clips. Attacks on it go through the purifier, with full gradients.

    Attributes:
        purifier: from clips to clips.
        classifier: what a blind attack would see, one that does not know of the purifier.
    """

    def __init__(self, purifier: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.purifier, self.classifier = purifier, classifier

    @property
    def described(self) -> dict[str, Any]:
        """What is to be known to build it again."""
        return {"around": "purified", "channels": self.purifier.channels, "of": self.classifier.described}

    def forward(self, clips: ClipTensor) -> Logits:
        """Logits ``B K``."""
        return answers(self.classifier)(self.purifier(clips))


def purified(classifier: nn.Module, channels: tuple[int, int, int] = CHANNELS, seed: int = 0) -> Purified:
    """A classifier behind a new purifier; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Purified(Purifier(channels), classifier)
