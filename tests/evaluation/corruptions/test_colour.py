"""Light and colour agree with scikit-image's HSV."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.corrupted import changed
from skimage.color import hsv2rgb, rgb2hsv
from torch import Tensor

SEVERITIES = range(1, 6)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_is_drawn_to_the_mean_of_each_frame_and_channel(
    clips: Tensor, frames: np.ndarray, severity: int
) -> None:
    factor = (0.5, 0.4, 0.3, 0.2, 0.1)[severity - 1]
    expected = [(frame - frame.mean((0, 1))) * factor + frame.mean((0, 1)) for frame in frames]
    assert np.allclose(changed("minikinetics-c", "contrast", severity, clips), expected, atol=1e-6)


def with_odd_colours(clips: Tensor) -> Tensor:
    """Some pixels black, white, grey and pure, where HSV has its special cases."""
    odd = clips.clone()
    colours = torch.tensor([[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 0, 1], [0, 0.25, 0.25]])
    odd[:, :, 0, 0, : len(colours)] = colours.T
    return odd


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_raises_the_value_of_hsv(clips: Tensor, severity: int) -> None:
    odd = with_odd_colours(clips)
    hsv = rgb2hsv(odd[0].permute(1, 2, 3, 0).double().numpy())
    hsv[..., 2] = np.clip(hsv[..., 2] + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1], 0, 1)
    assert np.allclose(changed("minikinetics-c", "brightness", severity, odd), hsv2rgb(hsv), atol=1e-5)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_saturate_changes_the_saturation_of_hsv(clips: Tensor, severity: int) -> None:
    odd = with_odd_colours(clips)
    factor, lift = ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2))[severity - 1]
    hsv = rgb2hsv(odd[0].permute(1, 2, 3, 0).double().numpy())
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + lift, 0, 1)
    assert np.allclose(changed("minikinetics-c", "saturate", severity, odd), hsv2rgb(hsv), atol=1e-5)
