"""A camera that moves over a photograph: the pictures behind the data set ``motion``.

Only motion tells the classes apart. The window's place, angle, mirroring and scale are drawn in the same way for every
class, and hold at the middle of the video; the world beyond a picture's edge is its mirror image, so that a window's
place is uniform and nothing shows where the path began. There is no motion blur.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

NOMINAL = 24
"""The clip size at which speeds are stated: 0.5 to 1.5 pixels a frame."""

STD = 0.25
"""Standard deviation of a clip of contrast 1."""

TEXTURE = 0.05
"""Least standard deviation of a window before its contrast is set: there must be something to see move."""

CAST = 0.15
"""Largest part of a channel's mean that is kept as a tint; the gain must not drive a colour into the clipping."""


@contextlib.contextmanager
def one_thread() -> Generator[None]:
    """Render on one thread: the frames are so small that threads would mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def pyramid(path: Path) -> list[Tensor]:
    """The photograph as ``1 3 H W`` in [0, 1], and again at half the size, and so on."""
    pixels = np.array(Image.open(path).convert("RGB"), np.float32) / 255
    levels = [torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()]
    while min(levels[-1].shape[2:]) > 8:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


@dataclass(frozen=True)
class CameraPath:
    """The window's path: centre (``T 2``: x, y in the window's own axes), log scale and angle (``T``)."""

    centre: np.ndarray
    zoom: np.ndarray
    angle: np.ndarray


def camera_path(name: str, frames: int, speed: float, rng: np.random.Generator) -> CameraPath:
    """How the window moves, as offsets from its pose at the middle of the video.

    Args:
        name: the class.
        frames: length of the path.
        speed: pixels a frame at a size of 24; for zooms and rotations that of a point at the middle of an edge.
        rng: decides the period and phase of a shake.
    """
    time = np.arange(frames) - (frames - 1) / 2
    still = np.zeros(frames)
    swing = still
    if name.startswith("Shake"):
        period, phase = rng.uniform(4, 8), rng.uniform(0, 2 * math.pi)
        swing = speed * period / 4 * np.sin(2 * math.pi * time / period + phase)  # mean speed as asked
    turn = speed / (NOMINAL / 2) * time
    x, y, zoom, angle = {
        "PanLeft": (-speed * time, still, still, still),
        "PanRight": (speed * time, still, still, still),
        "PanUp": (still, -speed * time, still, still),
        "PanDown": (still, speed * time, still, still),
        "ShakeHorizontal": (swing, still, still, still),
        "ShakeVertical": (still, swing, still, still),
        "ZoomIn": (still, still, -turn, still),
        "ZoomOut": (still, still, turn, still),
        "RotateClockwise": (still, still, still, turn),
        "RotateCounterclockwise": (still, still, still, -turn),
    }[name]
    return CameraPath(np.stack([x, y], 1), zoom, angle)


@dataclass(frozen=True)
class CameraWindow:
    """The window's pose at the middle of the video: side and centre in the photograph's pixels."""

    side: float
    centre: np.ndarray
    angle: float
    mirror: float


@one_thread()
def render(
    levels: list[Tensor], name: str, *, frames: int, size: int, contrast: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """One video of a class over a photograph.

    Args:
        levels: the photograph's :func:`pyramid`.
        name: the class.
        frames: ``T``.
        size: ``H`` and ``W``.
        contrast: range from which the clip's contrast is drawn.
        rng: decides everything else.

    Returns:
        ``T H W 3``, uint8, with a standard deviation of ``STD`` times the contrast around the middle grey.
    """
    window = _draw_window(levels, size, rng)
    path = camera_path(name, frames, rng.uniform(0.5, 1.5), rng)
    clip = _sample(levels, path, size, window)
    mean, std = _statistics(clip)
    gain = STD * rng.uniform(*contrast) / max(std, 1e-3)
    tint = np.clip(mean - mean.mean(), -CAST, CAST)
    pixels = (clip.numpy().transpose(0, 2, 3, 1) - mean) * gain + tint + 0.5
    return (pixels.clip(0, 1) * 255).round().astype(np.uint8)


def _draw_window(levels: list[Tensor], size: int, rng: np.random.Generator) -> CameraWindow:
    """A window with texture, whatever will move over it: judged at rest, so that the class has no say."""
    height, width = levels[0].shape[2:]
    for _ in range(20):
        window = CameraWindow(
            side=min(height, width) * rng.uniform(0.3, 0.6),
            centre=rng.uniform(0, 1, 2) * (width, height),
            angle=rng.uniform(0, 2 * math.pi),
            mirror=rng.choice((-1.0, 1.0)),
        )
        rest = CameraPath(np.zeros((1, 2)), np.zeros(1), np.zeros(1))
        if _statistics(_sample(levels, rest, size, window))[1] > TEXTURE:
            break
    return window


def _statistics(clip: Tensor) -> tuple[np.ndarray, float]:
    """Mean of each channel, and the standard deviation from it as a network sees it, at about 24 pixels."""
    coarse = F.avg_pool2d(clip, max(1, clip.shape[-1] // NOMINAL)).numpy()  # finer texture vanishes there
    mean = coarse.mean((0, 2, 3), dtype=np.float64).astype(np.float32)
    return mean, float((coarse - mean[:, None, None]).std())


def _sample(levels: list[Tensor], path: CameraPath, size: int, window: CameraWindow) -> Tensor:
    """Look at the photograph through the moving window: ``T 3 size size``."""
    height, width = levels[0].shape[2:]
    steps = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.meshgrid(steps, steps)
    scale = np.exp(path.zoom)[:, None, None]
    cos, sin = np.cos(path.angle)[:, None, None], np.sin(path.angle)[:, None, None]
    shift = path.centre[:, :, None, None] / NOMINAL
    u = window.mirror * (scale * (cos * x - sin * y) + shift[:, 0])
    v = scale * (sin * x + cos * y) + shift[:, 1]
    cos_0, sin_0 = math.cos(window.angle), math.sin(window.angle)
    picture_x = window.centre[0] + window.side * (cos_0 * u - sin_0 * v)
    picture_y = window.centre[1] + window.side * (sin_0 * u + cos_0 * v)
    grid = np.stack([2 * picture_x / width - 1, 2 * picture_y / height - 1], -1)
    grid = torch.from_numpy(grid.astype(np.float32))
    # Each frame from the level whose pixels are nearest to the window's, so that none is coarser or finer than another.
    level = np.log2(window.side * np.exp(path.zoom) / size).round().clip(0, len(levels) - 1).astype(int)
    frames = torch.empty(len(grid), 3, size, size)
    for one in np.unique(level):
        which = torch.from_numpy(np.flatnonzero(level == one))
        source = levels[one].expand(len(which), -1, -1, -1)
        frames[which] = F.grid_sample(source, grid[which], padding_mode="reflection", align_corners=False)
    return frames
