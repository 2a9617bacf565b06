"""Small networks, and images and clips that they classify rightly, on which libraries are compared."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 6
SIDE, FRAMES = 16, 4


def gratings(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images of striped patterns of six orientations in noise, ``N 3 16 16``; pixels are multiples of 1/256."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    phase = torch.rand(count, generator=generator) * 6.28
    wave = _wave(labels * torch.pi / CLASSES, SIDE) + phase[:, None, None]
    return _noisy(wave[:, None], (count, 3, SIDE, SIDE), generator), labels


def drifting_gratings(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Clips of striped patterns that drift in six directions, in noise, ``N 3 4 16 16``; pixels as of images."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    start = torch.rand(count, 1, generator=generator) * 6.28
    drift = start - 1.2 * torch.arange(FRAMES)
    wave = _wave(labels * 2 * torch.pi / CLASSES, SIDE)[:, None] + drift[:, :, None, None]
    return _noisy(wave[:, None], (count, 3, FRAMES, SIDE, SIDE), generator), labels


def _wave(angle: Tensor, side: int) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    return (angle.cos()[:, None, None] * rows + angle.sin()[:, None, None] * columns) * 0.9


def _noisy(phase: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    pixels = 0.5 + 0.2 * phase.sin() + 0.1 * torch.randn(shape, generator=generator)
    return (pixels.clamp(0, 1) * 256).floor() / 256


def trained_on_gratings(count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A trained network and at most so many images that it gets right, with their labels."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, CLASSES),
    )  # fmt: skip
    return trained(model, gratings(1500, 1), gratings(2 * count, 2), count)


def trained_on_drifting_gratings(count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A trained network and at most so many clips that it gets right, with their labels."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv3d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv3d(16, 32, (2, 3, 3), stride=2, padding=(0, 1, 1)),
        nn.ReLU(), nn.AdaptiveAvgPool3d((1, 2, 2)), nn.Flatten(), nn.Linear(128, CLASSES),
    )  # fmt: skip
    return trained(model, drifting_gratings(1500, 1), drifting_gratings(2 * count, 2), count)


def trained(
    model: nn.Module, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], count: int
) -> tuple[nn.Module, Tensor, Tensor]:
    """The model after 300 steps, and what it gets right of the test set."""
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(300):
        part = torch.randint(len(train[0]), (64,))
        loss = F.cross_entropy(model(train[0][part]), train[1][part])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        right = model(test[0]).argmax(1) == test[1]
    assert right.float().mean() > 0.9
    return model, test[0][right][:count], test[1][right][:count]


class Frame(nn.Module):
    """An image model for clips of one frame."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: Tensor) -> Tensor:
        return self.model(clips.squeeze(2))
