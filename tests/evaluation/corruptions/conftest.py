"""Frames on which corruptions are held against formulas written a second time, from the papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor


@pytest.fixture(scope="package")
def clips() -> Tensor:
    """Two clips of a camera over a photograph, ``2 3 12 48 40`` in whole multiples of 1/255."""
    photograph = data.astronaut()[::4, ::4]
    shown = [[photograph[20 + t : 68 + t, start + t : start + 40 + t] for t in range(12)] for start in (25, 60)]
    return torch.from_numpy(np.array(shown)).permute(0, 4, 1, 2, 3).float() / 255


@pytest.fixture(scope="package")
def frames(clips: Tensor) -> np.ndarray:
    """The first clip as ``T H W 3``, float64 in [0, 1]."""
    return clips[0].permute(1, 2, 3, 0).double().numpy()
