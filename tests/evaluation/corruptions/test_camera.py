"""Rotations agree with Pillow's, translations with slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.corrupted import changed, drawn
from PIL import Image
from torch import Tensor

SEVERITIES = range(1, 6)


def turned(frames: np.ndarray, degrees: list[float]) -> np.ndarray:
    pixels = (frames * 255).round().astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(p).rotate(a)) for p, a in zip(pixels, degrees, strict=True)]) / 255


@pytest.mark.parametrize("severity", SEVERITIES)
def test_static_rotation_is_pillows(clips: Tensor, frames: np.ndarray, severity: int) -> None:
    square, expected = clips[..., :40, :], turned(frames[:, :40], [(7.5, 15, 30, 45, 90)[severity - 1]] * len(frames))
    found = changed("ucf101-p", "static_rotate", severity, square)
    assert (np.abs(found - expected) > 1e-6).any(-1).mean() < 0.002  # pixels that lie between two


@pytest.mark.parametrize("severity", SEVERITIES)
def test_random_rotation_is_another_in_each_frame(clips: Tensor, frames: np.ndarray, severity: int) -> None:
    most = 6 * severity + 1
    degrees = torch.randint(-most, most + 1, (len(frames),), generator=drawn()).tolist()
    found = changed("ucf101-p", "rotate", severity, clips)
    assert (np.abs(found - turned(frames, degrees)) > 1e-6).any(-1).mean() < 0.002
    assert len(set(degrees)) > 3


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_translation_is_one_crop_of_the_whole_video(severity: int) -> None:
    clip = torch.rand((1, 3, 2, 224, 224), generator=torch.Generator().manual_seed(0))
    down, right = torch.randint(0, 8 * severity, (2,), generator=drawn()).tolist()
    frames = clip[0].permute(1, 2, 3, 0).numpy()
    expected = np.zeros_like(frames)
    expected[:, : 224 - down, : 224 - right] = frames[:, down:, right:]
    assert np.array_equal(changed("ucf101-p", "translate", severity, clip), expected)
