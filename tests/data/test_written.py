"""Clips written as files of their own come back through the pipeline that reads any data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vidrobust.data.dataset import VideoClips
from vidrobust.data.decoding.coded import check_codable, through_codec, video_bytes
from vidrobust.data.written import read_written, write_clip
from vidrobust.errors import DecodeError, InputError


def pixels(clips: torch.Tensor) -> np.ndarray:
    return (clips * 255).round().byte().permute(0, 2, 3, 4, 1).numpy()


def test_longer_clips_hold_the_window_of_the_clip(small_data: VideoClips) -> None:
    clips = small_data.test.subset([0, 3])
    longer = clips.longer(2)
    assert longer.centre([0, 1]).shape[2] == clips.frames + 4
    assert torch.equal(longer.centre([0, 1])[:, :, 2:-2], clips.centre([0, 1]))


def test_png_frames_come_back_bit_for_bit(small_data: VideoClips, tmp_path: Path) -> None:
    clips = small_data.test.subset([0, 3])
    frames = pixels(clips.longer(1).centre([0, 1]))
    paths = [write_clip(tmp_path, f"a/{index}", frames[index], "png", 18) for index in range(2)]
    again = read_written(tmp_path, paths, clips.labels.tolist(), clips)
    assert torch.equal(again.centre([0, 1]), clips.centre([0, 1]))
    assert torch.equal(again.labels, clips.labels) and again.frames == clips.frames
    assert len(again.viewed(3)) == 6


@pytest.mark.parametrize("crf", [10, 35])
def test_files_come_back_as_the_codec_leaves_them(crf: int, small_data: VideoClips, tmp_path: Path) -> None:
    """What the search takes for the codec is what the pipeline decodes."""
    clips = small_data.test.subset([0, 3])
    frames = pixels(clips.centre([0, 1]))
    paths = [write_clip(tmp_path, f"a/{index}", frames[index], "h264", crf) for index in range(2)]
    again = pixels(read_written(tmp_path, paths, clips.labels.tolist(), clips).centre([0, 1]))
    expected = np.stack([through_codec(clip, "h264", crf) for clip in frames])
    assert np.abs(again.astype(int) - expected).max() <= 2
    assert np.abs(again.astype(int) - frames).mean() > np.abs(again.astype(int) - expected).mean()


def test_a_lower_quality_costs_fewer_bytes_and_more_pixels() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (6, 96, 96, 3), np.uint8)
    for codec in ("h264", "h265"):
        assert len(video_bytes(frames, codec, 10)) > 2 * len(video_bytes(frames, codec, 40))
        near, far = (np.abs(through_codec(frames, codec, crf).astype(int) - frames).mean() for crf in (10, 40))
        assert near < far


def test_what_a_codec_cannot_take_is_refused() -> None:
    for codec, crf, height, width, says in (
        ("h264", 18, 17, 16, "even"),
        ("h264", 60, 16, 16, "crf"),
        ("h265", 18, 24, 24, "--codec h264"),
        ("h264", 18, 8, 8, "--codec png"),
    ):
        with pytest.raises(InputError, match=says):
            check_codable(codec, crf, height, width)  # type: ignore[arg-type]
    check_codable("png", 99, 7, 7)


def test_a_missing_file_is_named(small_data: VideoClips, tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="gone"):
        read_written(tmp_path, ["gone.mp4"], [0], small_data.test)
