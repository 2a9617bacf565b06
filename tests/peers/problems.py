"""A small network for images, and images that it classifies rightly, on which libraries are compared."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 6


def gratings(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images of striped patterns of six orientations in noise, ``N 3 16 16``; pixels are multiples of 1/256."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    angle = labels * torch.pi / CLASSES
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    phase = torch.rand(count, generator=generator) * 6.28
    wave = (angle.cos()[:, None, None] * rows + angle.sin()[:, None, None] * columns) * 0.9 + phase[:, None, None]
    images = 0.5 + 0.2 * wave.sin()[:, None] + 0.1 * torch.randn(count, 3, 16, 16, generator=generator)
    return (images.clamp(0, 1) * 256).floor() / 256, labels


def trained_on_gratings(images: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A trained network and at most so many images that it gets right, with their labels."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(128, CLASSES),
    )  # fmt: skip
    pictures, labels = gratings(1500, 1)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(300):
        part = torch.randint(len(pictures), (64,))
        loss = F.cross_entropy(model(pictures[part]), labels[part])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    pictures, labels = gratings(2 * images, 2)
    with torch.no_grad():
        right = model(pictures).argmax(1) == labels
    assert right.float().mean() > 0.9
    return model, pictures[right][:images], labels[right][:images]


class Frame(nn.Module):
    """An image model for clips of one frame."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: Tensor) -> Tensor:
        return self.model(clips.squeeze(2))
