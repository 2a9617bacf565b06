"""Linear classifiers, whose smallest perturbations are known, and clips that they get right."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidrobust.threats import L1, L2, Linf, Norm

NORMS: list[Norm] = [Linf(), L2(), L1()]


def linear(classes: int = 2, shape: tuple[int, ...] = (3, 2, 6, 6), clips: int = 8) -> tuple[nn.Module, Tensor, Tensor]:
    """A linear model, clips far from the ends of the pixel range, and the classes it gives them."""
    generator = torch.Generator().manual_seed(7)
    head = nn.Linear(torch.Size(shape).numel(), classes)
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) * 0.1)
        head.bias.copy_(-head.weight.sum(1) / 2)  # a grey clip has equal logits
    model = nn.Sequential(nn.Flatten(), head).eval()
    found = torch.rand(clips, *shape, generator=generator) * 0.4 + 0.3
    with torch.no_grad():
        return model, found, model(found).argmax(1)


def distance(model: nn.Module, clips: Tensor, labels: Tensor, norm: Norm) -> Tensor:
    """``B``: how far the nearest boundary is, within the box."""
    head = model[1]
    with torch.no_grad():
        logits = model(clips)
        found = [
            min(
                _to_plane(
                    norm, (row[label] - row[other]).item(), head.weight[other] - head.weight[label], clip.flatten()
                )
                for other in range(len(row))
                if other != label
            )
            for row, label, clip in zip(logits, labels, clips, strict=True)
        ]
    return torch.tensor(found)


def _to_plane(norm: Norm, gap: float, slope: Tensor, clip: Tensor) -> float:
    """|f| / ‖w‖ in the dual norm, as long as no pixel meets the end of its range; L1 fills pixel after pixel."""
    if isinstance(norm, Linf):
        return gap / slope.abs().sum().item()
    if isinstance(norm, L2):
        return gap / slope.norm().item()
    size = 0.0
    for index in slope.abs().argsort(descending=True).tolist():
        room = (1 - clip[index] if slope[index] > 0 else clip[index]).item()
        gain = slope[index].abs().item()
        if gap <= gain * room:
            return size + gap / gain
        gap, size = gap - gain * room, size + room
    return torch.inf


def convolutional(classes: int = 5) -> nn.Module:
    """A small non-linear model of fixed weights."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv3d(3, 6, 3, stride=(1, 2, 2), padding=1),
            nn.BatchNorm3d(6),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d((2, 3, 3)),
            nn.Flatten(),
            nn.Linear(6 * 18, classes),
        ).eval()
