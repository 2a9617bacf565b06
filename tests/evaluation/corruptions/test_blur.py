"""Blurs agree with SciPy, and with ImageMagick's kernel written as a loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.corrupted import changed, drawn
from scipy.ndimage import convolve, gaussian_filter
from scipy.ndimage import zoom as resized
from torch import Tensor

from vidrobust.evaluation.corruptions.blur import disk

SEVERITIES = range(1, 6)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_the_motion_blur_of_minikinetics_c_is_a_mean_over_frames(
    clips: Tensor, frames: np.ndarray, severity: int
) -> None:
    half, last = (3, 5, 7, 9, 11)[severity - 1], len(frames) - 1
    expected = [
        np.mean([frames[min(max(t, 0), last)] for t in range(at - half, at + half)], 0) for at in range(len(frames))
    ]
    assert np.allclose(changed("minikinetics-c", "motion_blur", severity, clips), expected, atol=1e-6)


def large(seed: int = 3) -> Tensor:
    """Smooth noise on frames of 224 pixels, for which the radii were published."""
    rough = np.random.default_rng(seed).random((2, 224, 224, 3))
    smooth = gaussian_filter(rough, (0, 2, 2, 0))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.from_numpy(smooth).permute(3, 0, 1, 2)[None].float()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_defocus_is_a_disk(severity: int) -> None:
    clip = large()
    radius, softness = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[severity - 1]
    y, x = np.mgrid[-14:15, -14:15]
    hard = (x**2 + y**2 <= radius**2).astype(float)
    kernel = gaussian_filter(hard / hard.sum(), softness, truncate=(1 if radius <= 8 else 2) / softness)
    expected = [np.stack([convolve(frame[..., c], kernel, mode="mirror") for c in range(3)], -1)
                for frame in clip[0].permute(1, 2, 3, 0).double().numpy()]  # fmt: skip
    assert np.allclose(changed("ucf101-p", "defocus_blur", severity, clip), expected, atol=1e-5)


def test_a_disk_larger_than_the_frame_is_no_error() -> None:
    assert np.isfinite(changed("ucf101-p", "defocus_blur", 5, torch.rand(1, 3, 2, 224, 5))).all()
    assert disk(0.3, 0.5).sum() == pytest.approx(1)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_the_motion_blur_of_ucf101_p_is_half_a_gaussian_at_an_angle(severity: int) -> None:
    clip = large()
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[severity - 1]
    degrees = (-math.pi / 4 + math.pi / 2 * torch.rand((2,), generator=drawn())).double()
    expected = []
    for frame, angle in zip(clip[0].permute(1, 2, 3, 0).double().numpy(), degrees.tolist(), strict=True):
        weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(2 * radius + 1)]
        padded = np.pad(frame, ((45, 45), (45, 45), (0, 0)), mode="edge")
        seen = np.zeros_like(frame)
        for i, weight in enumerate(weights):
            down, right = math.ceil(i * math.sin(angle) - 0.5), math.ceil(i * math.cos(angle) - 0.5)
            seen += weight / sum(weights) * padded[45 + down : 269 + down, 45 + right : 269 + right]
        expected.append(seen)
    assert np.allclose(changed("ucf101-p", "motion_blur", severity, clip), expected, atol=1e-5)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_zoom_blur_is_a_mean_over_magnifications(clips: Tensor, frames: np.ndarray, severity: int) -> None:
    square = clips[..., :40, :]
    factors = (
        np.arange(1, 1.11, 0.01),
        np.arange(1, 1.16, 0.01),
        np.arange(1, 1.21, 0.02),
        np.arange(1, 1.26, 0.02),
        np.arange(1, 1.31, 0.03),
    )[severity - 1]
    total = frames[:, :40].copy()
    for factor in factors:
        kept = math.ceil(40 / factor)
        top = (40 - kept) // 2
        part = frames[:, top : top + kept, top : top + kept]
        seen = resized(part, (1, factor, factor, 1), order=1)
        trim = (seen.shape[1] - 40) // 2
        total += seen[:, trim : trim + 40, trim : trim + 40]
    found = changed("ucf101-p", "zoom_blur", severity, square)
    assert np.allclose(found, total / (len(factors) + 1), atol=1e-5)
