"""What people watch of a clip are the frames of its video file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.data_videos import film, write

from vidrobust.data.dataset import DataConfig, load
from vidrobust.data.decoding.decode import decode
from vidrobust.data.recorded import LARGEST_SIDE, recorded_frames
from vidrobust.errors import InputError


@pytest.mark.parametrize(
    ("frames", "max_frames", "stride", "expected"),
    [(11, 9, 1, [3, 4, 5, 6]), (11, 9, 2, [2, 4, 6, 8]), (3, 9, 1, [0, 1, 2, 0])],
)
def test_they_are_those_that_the_clip_shows(
    frames: int, max_frames: int, stride: int, expected: list[int], tmp_path: Path
) -> None:
    for label in ("cat", "dog"):
        for number in range(3):
            write(tmp_path / label / f"{number}.avi", film(frames, 32, 48, seed=number + 3 * (label == "cat")))
    data = load(DataConfig(str(tmp_path), frames=4, size=8, max_frames=max_frames, stride=stride))
    for index, video in enumerate(data.test.videos):
        whole = decode(tmp_path / video, size=32, whole=True)
        assert np.array_equal(recorded_frames(data, data.test, index), whole[expected])


def test_large_videos_are_scaled_down(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        for number in range(3):
            write(tmp_path / label / f"{number}.avi", film(2, 200, 300, seed=number + 3 * (label == "cat")))
    data = load(DataConfig(str(tmp_path), frames=2, size=8))
    assert recorded_frames(data, data.test, 0).shape == (2, LARGEST_SIDE, 240, 3)


def test_a_clip_of_another_data_set_is_refused(small_data, tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        for number in range(3):
            write(tmp_path / label / f"{number}.avi", film(2, 16, 16, seed=number + 3 * (label == "cat")))
    other = load(DataConfig(str(tmp_path), frames=2, size=8))
    with pytest.raises(InputError, match="has no video"):
        recorded_frames(small_data, other.test, 0)
