"""Models: text that names one, our own networks, other people's behind one face, weights on disk, a self-test.

``spec``, ``shapes`` and ``pixels`` are values without torch; ``building`` and ``description`` build what text or a file
names; ``libraries`` has a file for each library and format. Imports nothing of attacks, data or results; of the rooms
below ``runs``, ``fast`` and ``types``. Names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidrobust.models.adapters import Adapted, adapt
    from vidrobust.models.building import build
    from vidrobust.models.checkpoints import load_model, save_model
    from vidrobust.models.diagnosis import Finding, self_test
    from vidrobust.models.multibn import MultiBN, branched
    from vidrobust.models.purifier import Purified, purified
    from vidrobust.models.resnet3d import ResNet3d
    from vidrobust.models.shapes import ARCHITECTURES, ResNet3dConfig

_HOMES = {
    "Adapted": "adapters",
    "adapt": "adapters",
    "load_model": "checkpoints",
    "save_model": "checkpoints",
    "Finding": "diagnosis",
    "self_test": "diagnosis",
    "MultiBN": "multibn",
    "branched": "multibn",
    "Purified": "purifier",
    "purified": "purifier",
    "ARCHITECTURES": "shapes",
    "ResNet3d": "resnet3d",
    "ResNet3dConfig": "shapes",
    "build": "building",
}

__all__ = [
    "ARCHITECTURES",
    "Adapted",
    "Finding",
    "MultiBN",
    "Purified",
    "ResNet3d",
    "ResNet3dConfig",
    "adapt",
    "branched",
    "build",
    "load_model",
    "purified",
    "save_model",
    "self_test",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"vidrobust.models.{_HOMES[name]}"), name)
