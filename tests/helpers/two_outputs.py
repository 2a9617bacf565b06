"""Models that give more than logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Two(nn.Module):
    """Logits of three classes, and features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv3d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> Any:
        features = self.conv(x).mean((2, 3, 4))
        return self.head(features), features


class Named(Two):
    """The same as a dictionary, the features first."""

    def forward(self, x: torch.Tensor) -> Any:
        logits, features = super().forward(x)
        return {"features": features, "logits": logits}
