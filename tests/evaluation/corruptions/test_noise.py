"""Noise agrees with the published formulas, on the same random numbers and in its statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.corrupted import changed, drawn
from torch import Tensor

SEVERITIES = range(1, 6)


def planes(drawn_numbers: Tensor) -> np.ndarray:
    return drawn_numbers.permute(1, 2, 3, 0).double().numpy()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_adds_the_published_deviation(clips: Tensor, frames: np.ndarray, severity: int) -> None:
    sigma = (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]
    normal = planes(torch.randn(clips.shape[1:], generator=drawn()))
    assert np.allclose(changed("ucf101-p", "gaussian_noise", severity, clips), frames + sigma * normal, atol=1e-6)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_speckle_noise_is_in_proportion_to_the_brightness(clips: Tensor, frames: np.ndarray, severity: int) -> None:
    sigma = (0.15, 0.2, 0.25, 0.3, 0.35)[severity - 1]
    normal = planes(torch.randn(clips.shape[1:], generator=drawn()))
    expected = frames + frames * normal * sigma
    assert np.allclose(changed("ucf101-p", "speckle_noise", severity, clips), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("convention", "photons"), [("minikinetics-c", (60, 25, 12, 5, 3)), ("ucf101-p", (250, 100, 50, 30, 15))]
)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_shot_noise_counts_photons(convention: str, photons: tuple[int, ...], severity: int) -> None:
    """Whole photons, whose mean and variance are those of Poisson's law."""
    count, brightness = photons[severity - 1], 0.4
    grey = torch.full((1, 3, 4, 48, 48), brightness)
    counted = changed(convention, "shot_noise", severity, grey) * count
    assert np.allclose(counted, np.round(counted), atol=1e-4)
    values = counted.size
    assert abs(counted.mean() - brightness * count) < 4 * np.sqrt(brightness * count / values)
    assert abs(counted.var() / (brightness * count) - 1) < 0.06


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise_is_salt_and_pepper(clips: Tensor, frames: np.ndarray, severity: int) -> None:
    """As skimage.util.random_noise(mode="s&p") does it: a share of single values, half of them 0 and half 1."""
    amount = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    generator = drawn()
    flipped = planes(torch.rand(clips.shape[1:], generator=generator)) < amount
    salted = planes(torch.rand(clips.shape[1:], generator=generator)) < 0.5
    expected = np.where(flipped, salted.astype(float), frames)
    found = changed("ucf101-p", "impulse_noise", severity, clips)
    assert np.array_equal(found.astype(np.float32), expected.astype(np.float32))
    assert abs(flipped.mean() - amount) < 0.01
