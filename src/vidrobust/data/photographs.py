"""The photographs in the scikit-image wheel, which are part of the pictures of the data set ``motion``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from vidrobust.errors import DataError

PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
"""The photographs of the wheel, without drawings, near-empty pictures and the second view of the motorcycle."""


def find_photographs() -> list[Path]:
    """Paths within the installed scikit-image; its own loaders could start a download.

    Raises:
        DataError: it is not installed, or lacks one.
    """
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise DataError("the data set `motion` needs scikit-image: install it, or give --data a folder of videos.")
    folder = Path(package.origin).parent / "data"
    missing = [name for name in PHOTOGRAPHS if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)}: install scikit-image from its wheel again.")
    return [folder / name for name in PHOTOGRAPHS]


def read_photograph(path: Path) -> np.ndarray:
    """A photograph: ``H W 3``, float32, in [0, 1]."""
    from PIL import Image  # only when there is work

    with Image.open(path) as image:
        return np.array(image.convert("RGB"), np.float32) / 255
