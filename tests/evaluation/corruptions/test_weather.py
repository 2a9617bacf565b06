"""Fog and rain, written a second time as loops over points and drops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.corrupted import changed, drawn
from PIL import Image, ImageDraw
from scipy.ndimage import uniform_filter
from torch import Tensor

FOG = ((1.5, 2), (2.0, 2), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
RAIN = ((770, 10, 0.8), (770, 30, 0.8), (770, 60, 0.7), (500, 60, 0.6), (400, 80, 0.5))


def diamond_square(size: int, decay: float, generator: torch.Generator) -> np.ndarray:
    """The algorithm point by point, on a torus, as textbooks have it."""
    grid, step, rough = np.zeros((size, size)), size, 1.0
    draw = torch.rand((1, 1), generator=generator)  # whose shape alone is used
    assert draw.shape == (1, 1)
    while step > 1:
        half, cells = step // 2, size // step
        noise = rough * (2 * torch.rand((3, cells, cells), generator=generator).double().numpy() - 1)
        points = [(y, x) for y in range(0, size, step) for x in range(0, size, step)]
        for y, x in points:
            corners = [grid[(y + dy) % size, (x + dx) % size] for dy in (0, step) for dx in (0, step)]
            grid[y + half, x + half] = np.mean(corners) + noise[0, y // step, x // step]
        for number, (dy, dx) in enumerate(((0, half), (half, 0)), 1):
            for y, x in points:
                at = (y + dy, x + dx)
                around = [grid[(at[0] + ay) % size, (at[1] + ax) % size]
                          for ay, ax in ((half, 0), (-half, 0), (0, half), (0, -half))]  # fmt: skip
                grid[at] = np.mean(around) + noise[number, y // step, x // step]
        step, rough = half, rough / decay**2
    return (grid - grid.min()) / (grid.max() - grid.min())


@pytest.mark.parametrize("severity", range(1, 6))
def test_fog_is_a_plasma_fractal_over_the_frame(clips: Tensor, frames: np.ndarray, severity: int) -> None:
    thickness, decay = FOG[severity - 1]
    cloud = diamond_square(64, decay, drawn())[:48, :40, None]
    expected = [(f + thickness * cloud) * f.max() / (f.max() + thickness) for f in frames]
    assert np.allclose(changed("minikinetics-c", "fog", severity, clips), expected, atol=1e-5)


@pytest.mark.parametrize("severity", range(1, 6))
def test_rain_is_streaks_that_blur_and_darken(severity: int) -> None:
    """On frames of 224 pixels, with Pillow's lines for drops: those lean by one pixel, half-way or thereabouts."""
    generator = torch.Generator().manual_seed(1)
    clip = torch.rand((1, 3, 2, 224, 224), generator=generator) * 0.8
    area_of_one, length, left = RAIN[severity - 1]
    count, generator = 224 * 224 // area_of_one, drawn()
    slant = torch.randint(-10, 10, (2, 1), generator=generator).numpy()
    across, down = (torch.rand((2, count), generator=generator).numpy() for _ in range(2))
    expected = []
    for t, frame in enumerate(clip[0].permute(1, 2, 3, 0).double().numpy()):
        low, high = min(slant[t, 0], 0), 224 - max(slant[t, 0], 0)
        drops = Image.new("L", (224, 224))
        for x, y in zip(across[t], down[t], strict=True):
            column, row = int(np.floor(low + (high - low) * x)), int(y * (224 - length))
            ImageDraw.Draw(drops).line((column, row, column - 1, row + length), fill=220)
        mask = np.asarray(drops)[..., None] / 255
        lit = frame + mask * (1 - frame) * (1 - frame.mean())
        wet = uniform_filter(lit, (3, 3, 1), mode="mirror")
        rainy = wet * mask + frame * (1 - mask)
        expected.append((rainy - rainy.mean((0, 1))) * left + rainy.mean((0, 1)))
    found = changed("minikinetics-c", "rain", severity, clip)
    differing = (np.abs(found - expected) > 0.01).any(-1).mean()
    assert differing < 0.01  # where a drop steps aside, Pillow may do so one row earlier
    assert (np.abs(found - clip[0].permute(1, 2, 3, 0).numpy()) > 0.05).any(-1).mean() > 0.03


def test_drops_cover_the_same_share_of_small_frames() -> None:
    black = [torch.zeros(1, 3, 16, size, size) for size in (48, 96, 224)]
    shares = [(changed("minikinetics-c", "rain", 3, clip) > 0.3).mean() for clip in black]
    assert 0.004 < max(shares) < 2 * min(shares)
