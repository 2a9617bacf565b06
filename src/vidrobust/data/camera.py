"""A camera that moves over a picture: how the videos of the data set ``motion`` are made.

Only motion tells the classes apart. The window's place, angle, mirroring and scale are drawn in the same way for every
class, and hold at the middle of the video; the world beyond a picture's edge is its mirror image, so that a window's
place is uniform and nothing shows where the path began. Brightness and contrast are set by the surroundings of the
middle window, which are the same whatever will move: a clip's own mean would tell how far it went. There is no motion
blur.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

NOMINAL = 24
"""The clip size at which speeds are stated: 0.5 to 1.5 pixels per frame."""

STD = 0.25
"""Standard deviation of a clip of contrast 1."""

TEXTURE = 0.05
"""Least standard deviation of a window before its contrast is set: there must be something to see move."""

SURROUNDINGS = 2
"""Side of the surroundings that set a clip's contrast, in windows: as far as a pan goes."""

SIDES = (0.35, 0.6)
"""Range of a window's side, as a share of the picture's shorter side."""

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
def pyramid(picture: np.ndarray) -> list[Tensor]:
    """A picture (``H W 3``, float32, in [0, 1]) as ``1 3 H W``, and again at half the size, and so on."""
    levels = [torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous()]
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
        speed: pixels per frame at a size of 24; for zooms and rotations that of a point at the middle of an edge.
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
    """The window's pose at the middle of the video: side and centre in the picture's pixels."""

    side: float
    centre: np.ndarray
    angle: float
    mirror: float


REST = CameraPath(np.zeros((1, 2)), np.zeros(1), np.zeros(1))
"""The path of a single frame: the middle one."""


@one_thread()
def render(
    levels: list[Tensor], name: str, *, frames: int, size: int, contrast: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """One video of a class over a picture.

    Args:
        levels: the picture's :func:`pyramid`.
        name: the class.
        frames: ``T``.
        size: ``H`` and ``W``.
        contrast: range from which the clip's contrast is drawn.
        rng: decides everything else.

    Returns:
        ``T H W 3``, uint8. The surroundings of the middle window, twice its size, have a standard deviation of ``STD``
        times the contrast around the middle grey.
    """
    window = _draw_window(levels, rng)
    path = camera_path(name, frames, rng.uniform(0.5, 1.5), rng)
    mean, std = _statistics(levels, replace(window, side=window.side * SURROUNDINGS), NOMINAL * SURROUNDINGS)
    gain = STD * rng.uniform(*contrast) / max(std, 1e-3)
    tint = (mean - mean.mean()).clamp(-CAST, CAST)
    clip = _sample(levels, path, size, window).permute(0, 2, 3, 1)
    pixels = (clip - mean).mul_(gain).add_(tint + 0.5).clamp_(0, 1).mul_(255).round_()
    return pixels.to(torch.uint8).contiguous().numpy()


def _draw_window(levels: list[Tensor], rng: np.random.Generator) -> CameraWindow:
    """A window with texture, whatever will move over it: judged at rest, so that the class has no say."""
    height, width = levels[0].shape[2:]
    for _ in range(20):
        window = CameraWindow(
            side=min(height, width) * rng.uniform(*SIDES),
            centre=rng.uniform(0, 1, 2) * (width, height),
            angle=rng.uniform(0, 2 * math.pi),
            mirror=rng.choice((-1.0, 1.0)),
        )
        if _statistics(levels, window, NOMINAL)[1] > TEXTURE:
            break
    return window


def _statistics(levels: list[Tensor], window: CameraWindow, size: int) -> tuple[Tensor, float]:
    """Mean of each channel, and the standard deviation from it, of a window at so many pixels."""
    still = _sample(levels, REST, size, window)
    mean = still.mean((0, 2, 3))
    return mean, float((still - mean[:, None, None]).std(correction=0))


def _sample(levels: list[Tensor], path: CameraPath, size: int, window: CameraWindow) -> Tensor:
    """Look at the picture through the moving window: ``T 3 size size``."""
    grid = F.affine_grid(_poses(path, window, levels[0].shape), [len(path.zoom), 3, size, size], align_corners=False)
    # Each frame from the level whose pixels are nearest to the window's, so that none is coarser or finer than another.
    level = np.log2(window.side * np.exp(path.zoom) / size).round().clip(0, len(levels) - 1).astype(int)
    frames = torch.empty(len(grid), 3, size, size)
    for one in np.unique(level):
        which = torch.from_numpy(np.flatnonzero(level == one))
        source = levels[one].expand(len(which), -1, -1, -1)
        frames[which] = F.grid_sample(source, grid[which], padding_mode="reflection", align_corners=False)
    return frames


def _poses(path: CameraPath, window: CameraWindow, shape: Sequence[int]) -> Tensor:
    """``T 2 3``: from places in the window to places in the picture, both from -1 to 1."""
    turned = np.exp(path.zoom) * [[np.cos(path.angle), -np.sin(path.angle)], [np.sin(path.angle), np.cos(path.angle)]]
    moved = np.concatenate([turned / 2, path.centre.T[:, None] / NOMINAL], 1)  # 2 3 T, in sides of the window
    moved[0] *= window.mirror
    cos, sin = math.cos(window.angle), math.sin(window.angle)
    placed = window.side * np.einsum("ij,jkt->tik", np.array([[cos, -sin], [sin, cos]]), moved)
    placed[:, :, 2] += window.centre
    placed *= 2 / np.array([shape[3], shape[2]])[:, None]
    placed[:, :, 2] -= 1
    return torch.from_numpy(placed.astype(np.float32))
