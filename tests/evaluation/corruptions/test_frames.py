"""What is hidden of the picture, and what detail is left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.corrupted import changed
from skimage.transform import resize
from torch import Tensor

SEVERITIES = range(1, 6)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_occlusion_hides_a_share_at_one_place_in_all_frames(severity: int) -> None:
    white = torch.ones(1, 3, 4, 100, 80)
    hidden = changed("frames", "occlusion", severity, white) == 0
    assert (hidden == hidden[:1, ..., :1]).all()
    rows, columns = hidden[0, ..., 0].any(1), hidden[0, ..., 0].any(0)
    assert np.array_equal(hidden[0, ..., 0], rows[:, None] & columns)  # a rectangle
    share = (0.05, 0.1, 0.2, 0.3, 0.5)[severity - 1]
    assert hidden.mean() == pytest.approx(share, abs=0.01)
    assert rows.sum() / columns.sum() == pytest.approx(100 / 80, abs=0.05)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_resolution_keeps_the_detail_of_smaller_frames(clips: Tensor, frames: np.ndarray, severity: int) -> None:
    """Against scikit-image, whose filter before scaling down is a Gaussian and not a triangle."""
    share = (0.75, 0.5, 0.35, 0.25, 0.125)[severity - 1]
    small = [resize(f, (round(48 * share), round(40 * share)), order=1, anti_aliasing=True) for f in frames]
    expected = np.stack([resize(one, (48, 40), order=1, mode="edge") for one in small])
    found = changed("frames", "resolution", severity, clips)
    assert np.abs(found - expected).mean() < 0.015
    assert np.abs(found - frames).mean() > 2 * np.abs(found - expected).mean() or severity == 1
