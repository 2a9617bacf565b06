"""Folders of frames: images to the arrays that decoding a video gives."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import StoredVideo
from vidrobust.data.decoding.streams import FrameCount
from vidrobust.errors import DecodeError

if TYPE_CHECKING:
    from PIL.Image import Image

ORIENTATION = 0x0112
"""The EXIF tag of how a camera was held."""


def decode_stills(video: StoredVideo, fit: Fit, max_frames: int | None) -> tuple[np.ndarray, FrameCount]:
    """The images in numeric order, or the window around the middle of those that can be read, and the count of all.

    A gap in the numbers, and an image that cannot be read, count as lost frames.
    """
    sizes, count = image_sizes(video)
    kept = [number for number, size in enumerate(sizes) if size is not None]
    if max_frames is not None:
        start = max(0, (len(kept) - max_frames) // 2)
        kept = kept[start : start + max_frames]
    if not kept:
        return np.zeros((0, 1, 1, 3), np.uint8), count
    return np.stack(images_at(video, fit, kept)), count


def image_sizes(video: StoredVideo) -> tuple[list[tuple[int, int] | None], FrameCount]:
    """Width and height of each image, None where it cannot be decoded to its end.

    Raises:
        DecodeError: there are images of two shapes.
    """
    found = video.frames()
    sizes = [image_size(path) for path, _ in found]
    known = [size for size in sizes if size is not None]
    if len(set(known)) > 1:
        raise DecodeError(f"{video} has frames of several shapes. Extract them again.", "ambiguous frames")
    numbers = found[-1][1] - found[0][1] + 1
    return sizes, FrameCount(numbers, len(known), numbers - len(known))


def images_at(video: StoredVideo, fit: Fit, places: Sequence[int]) -> list[np.ndarray]:
    """The images at some places of the series: ``H W 3`` each.

    Raises:
        DecodeError: one cannot be decoded.
    """
    found = video.frames()
    frames = {}
    for place in sorted(set(places)):
        image = read_image(found[place][0], fit) if place < len(found) else None
        if image is None:
            raise DecodeError(f"{video}: image {place} cannot be decoded. Extract the frames again.", "damaged")
        frames[place] = image
    return [frames[place] for place in places]


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height of an image, upright; None if it cannot be decoded to its end."""
    opened = _opened(path, 1)
    return None if opened is None else opened[1]


def read_image(path: Path, fit: Fit) -> np.ndarray | None:
    """An image as ``H W 3``, uint8, RGB, upright; None if it cannot be decoded to its end."""
    from PIL import Image

    opened = _opened(path, 2 * fit.side)
    if opened is None:
        return None
    image, own = opened
    return fit.cropped(np.asarray(image.resize(fit.scaled(*own), Image.Resampling.BOX)))


def _opened(path: Path, least: int) -> tuple[Image, tuple[int, int]] | None:
    """An image, RGB, upright, and its full width and height; a JPEG may be smaller, but at least so many pixels."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, beyond which there is an error, and of odd metadata
            with Image.open(path) as image:
                turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
                own = image.size[::-1] if turned else image.size
                image.draft("RGB", (least, least))  # a JPEG may be decoded at a half, a quarter, an eighth
                return _eight_bits(ImageOps.exif_transpose(image)), own
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        return None


def _eight_bits(image: Image) -> Image:
    """RGB of 8 bits; of deep greys the upper 8 bits, which Pillow would clip to white instead."""
    from PIL import Image

    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")
