"""Models: the R3D and ResNeXt-3D family, and weights on disk. Names are loaded on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidrobust.models.checkpoints import load_model, save_model
    from vidrobust.models.resnet3d import ARCHITECTURES, ResNet3d, ResNet3dConfig, build

__all__ = ["ARCHITECTURES", "ResNet3d", "ResNet3dConfig", "build", "load_model", "save_model"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "checkpoints" if name.endswith("_model") else "resnet3d"
    return getattr(importlib.import_module(f"vidrobust.models.{home}"), name)
