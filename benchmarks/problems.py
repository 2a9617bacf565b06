"""Models and clips to measure on: random weights with running statistics that fit them, random clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidrobust.models.building import build
from vidrobust.models.resnet3d import ResNet3d, ResNet3dConfig


@dataclass(frozen=True)
class Problem:
    """A model and how many clips of which size.

    Attributes:
        name: of the row.
        model: its text, or ``r3d-18/WIDTH``: R3D-18 of that width.
        clips, frames, size: of the batch.
        bounds: of ratios, by contestant.
        few: does it take so long that only few contestants run?
    """

    name: str
    model: str
    clips: int
    frames: int
    size: int
    bounds: dict[str, float]
    few: bool = False

    def make(self, device: torch.device) -> tuple[nn.Module, Tensor, Tensor]:
        """The model in evaluation mode, clips, and the classes it gives them."""
        torch.manual_seed(0)
        model = r3d_18(int(self.model.partition("/")[2])) if self.model.startswith("r3d-18/") else build(self.model, 10)
        model = model.to(device).train()
        clips = torch.rand(self.clips, 3, self.frames, self.size, self.size).to(device)
        with torch.no_grad():
            for _ in range(3):
                model(clips)  # in training mode: the running statistics
            model.eval()
            labels = model(clips).argmax(1)
        return model, clips, labels


def r3d_18(width: int) -> nn.Module:
    """R3D-18's shape (Tran et al., CVPR 2018) at a width."""
    strides = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    widths: Any = tuple(width * factor for factor in (1, 2, 4, 8))
    stem: dict[str, Any] = {"stem_width": width, "stem_kernel": (3, 7, 7), "stem_stride": (1, 2, 2)}
    return ResNet3d(ResNet3dConfig(classes=10, layers=(2, 2, 2, 2), widths=widths, strides=strides, **stem))


ON_GPU = (
    Problem("PGD-10, small network of the study, 64×3×8×24×24", "r3d-small", 64, 8, 24, {"torchattacks": 0.25}),
    Problem("PGD-10, R3D-18, 16×3×16×112×112", "r3d-18/64", 16, 16, 112, {"torchattacks": 0.45, "bare": 1.05}),
    Problem(
        "PGD-10, 3D-ResNeXt-101, 8×3×64×112×112",
        "resnext3d-101",
        8,
        64,
        112,
        {"torchattacks": 0.5, "bare": 1.05},
        few=True,
    ),
)
ON_CPU = (
    Problem("PGD-10, R3D-18 of width 16, 8×3×16×56×56", "r3d-18/16", 8, 16, 56, {"torchattacks": 0.88, "bare": 1.05}),
    Problem("PGD-10, R3D-18, 2×3×16×112×112", "r3d-18/64", 2, 16, 112, {"torchattacks": 0.80, "bare": 1.05}),
)
TINY = (
    Problem("PGD-10, small network of the study, 4×3×8×16×16", "r3d-small", 4, 8, 16, {"torchattacks": 0.25}),
    Problem("PGD-10, R3D-18 of width 4, 2×3×4×32×32", "r3d-18/4", 2, 4, 32, {"torchattacks": 0.45, "bare": 1.05}),
)


def problems(device: torch.device, tiny: bool) -> tuple[Problem, ...]:
    """The problems of a device."""
    return TINY if tiny else ON_GPU if device.type == "cuda" else ON_CPU
