"""What tests of training share."""

from __future__ import annotations

import pytest

from vidrobust.data.clips import Clips
from vidrobust.data.dataset import VideoClips


@pytest.fixture(scope="session")
def few(small_data: VideoClips) -> Clips:
    return small_data.train.subset(range(0, 96, 3))  # 32 clips of several groups
