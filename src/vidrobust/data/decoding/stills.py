"""Folders of frames: images to the arrays that decoding a video gives."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import StoredVideo
from vidrobust.errors import DecodeError


@dataclass(frozen=True)
class Stills:
    """The frames of a folder: ``frames`` (``H W 3`` each), how many there ought to be, and how many are lost."""

    frames: list[np.ndarray]
    numbers: int
    lost: int


def decode(source: StoredVideo, fit: Fit, max_frames: int | None) -> Stills:
    """The images in numeric order, or the window around the middle; gaps in the numbers count as lost frames."""
    found = source.frames()
    if max_frames is not None:
        start = max(0, (len(found) - max_frames) // 2)
        found = found[start : start + max_frames]
    numbers = found[-1][1] - found[0][1] + 1
    readable = [image for path, _ in found if (image := read(path, fit)) is not None]
    if len({size for _, size in readable}) > 1:
        raise DecodeError(f"{source} has frames of several shapes. Extract them again.", "ambiguous frames")
    return Stills([frame for frame, _ in readable], numbers, numbers - len(readable))


def pick(source: StoredVideo, fit: Fit, numbers: Sequence[int]) -> list[np.ndarray]:
    """The images at some places of the series, counting the readable ones alone is the caller's concern.

    Raises:
        DecodeError: one cannot be decoded.
    """
    found = source.frames()
    frames = {}
    for number in sorted(set(numbers)):
        image = read(found[number][0], fit)
        if image is None:
            raise DecodeError(f"{found[number][0]} cannot be decoded. Extract the frames again.", "damaged")
        frames[number] = image[0]
    return [frames[number] for number in numbers]


def size_of(path: Path) -> tuple[int, int] | None:
    """Width and height of a readable image, else None."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def read(path: Path, fit: Fit) -> tuple[np.ndarray, tuple[int, int]] | None:
    """An image as ``H W 3``, uint8, RGB, with its own width and height; None if it cannot be decoded whole."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # above it there is an error
            with Image.open(path) as image:
                own, size = image.size, fit.scaled(*image.size)
                image.draft("RGB", (2 * size[0], 2 * size[1]))  # a JPEG may be decoded at a half, a quarter, an eighth
                small = image.convert("RGB").resize(size, Image.Resampling.BOX)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return fit.cropped(np.asarray(small)), own
