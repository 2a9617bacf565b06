"""Rows of corruptions: counts of clips, the same whatever clips stand beside them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.row_fields import unknown
from PIL import Image
from torch import nn

from vidrobust.data.dataset import VideoClips
from vidrobust.data.given import Given
from vidrobust.errors import InputError, NotationError
from vidrobust.evaluation.corruptions import Corruption
from vidrobust.evaluation.corruptions.measuring import clip_seeds, corruption_examples, evaluate_corruptions
from vidrobust.models.resnet3d import ResNet3d

ABOUT = {"model": "m", "seed": 0, "split": "test"}


def test_rows_count_what_the_model_says_of_corrupted_clips(trained: ResNet3d, small_data: VideoClips) -> None:
    clips = small_data.test.spread(20)
    rows = evaluate_corruptions(trained, clips, ["frames(kinds=reversal)", "ucf101-p(kinds=jpeg,severity=5)"], seed=3)
    assert [(row["convention"], row["corruption"], row["severity"]) for row in rows] == [
        ("frames", "none", 0), *(("frames", "reversal", severity) for severity in range(1, 6)),
        ("ucf101-p", "none", 0), ("ucf101-p", "jpeg", 5),
    ]  # fmt: skip
    shown, seeds = clips.centre(range(len(clips))), clip_seeds(clips, range(len(clips)), 3)
    for row in rows:
        corrupted = shown
        if row["severity"]:
            corrupted = Corruption(row["convention"], row["corruption"], row["severity"])(shown, seeds)
        with torch.no_grad():
            right = trained(corrupted).argmax(1) == clips.labels
        assert row["survived"] == "".join(str(int(one)) for one in right)
        assert row["correct"] == int(right.sum())
        assert (row["clips"], row["sources"], row["draws"]) == (20, len(set(clips.sources)), 3)
    assert unknown({**row, **ABOUT} for row in rows) == set()


def test_a_clip_is_corrupted_alike_in_any_subset(small_data: VideoClips) -> None:
    """By its own name, not by its place: who measures fewer clips measures the same ones."""
    clips = small_data.test
    every, few = clip_seeds(clips, range(len(clips)), 0), clips.subset([7, 3])
    assert clip_seeds(few, [0, 1], 0) == [every[7], every[3]]
    assert len(set(every)) == len(every)
    assert clip_seeds(clips, [0], 1) != every[:1]


class Brightest(nn.Module):
    """Says which channel is brightest."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return clips.mean((2, 3, 4))


def given(count: int = 70) -> Given:
    clips = torch.rand((count, 3, 4, 16, 16), generator=torch.Generator().manual_seed(0))
    return Given(clips, clips.mean((2, 3, 4)).argmax(1), [f"g{number % 9}" for number in range(count)])


def test_more_clips_than_a_batch_are_all_counted() -> None:
    rows = evaluate_corruptions(Brightest(), given(), "frames(kinds=(reversal,drop))")
    assert all(row["correct"] == 70 for row in rows if row["corruption"] in ("none", "reversal"))
    noisy = evaluate_corruptions(Brightest(), given(), "ucf101-p(kinds=gaussian_noise,severity=5)")
    assert noisy[1]["correct"] < 70


def test_nothing_asked_is_nothing_measured_and_faults_are_told() -> None:
    assert evaluate_corruptions(Brightest(), given(4), []) == []
    with pytest.raises(NotationError, match="no kind 'fog'"):
        evaluate_corruptions(Brightest(), given(4), "frames(kinds=fog)")
    with pytest.raises(InputError, match="no clips"):
        evaluate_corruptions(Brightest(), Given(torch.zeros(0, 3, 2, 8, 8), []), "frames")


def test_clips_to_watch_lie_side_by_side(tmp_path: Path, trained: ResNet3d, small_data: VideoClips) -> None:
    clips = small_data.test
    rows = corruption_examples(
        trained, clips, "frames(kinds=(occlusion,freeze),severity=(1,5))", tmp_path / "corruptions"
    )
    assert [row["file"] for row in rows] == ["corruptions/frames/occlusion.webp", "corruptions/frames/freeze.webp"]
    assert unknown({**row, "model": "m", "seed": 0} for row in rows) == set()
    for row in rows:
        assert row["severities"] == [0, 1, 5]
        assert [name in clips.classes for name, _ in row["answers"]] == [True] * 3
        image = Image.open(io.BytesIO((tmp_path / row["file"]).read_bytes()))
        assert getattr(image, "n_frames", 1) > 1
        assert image.width > 3 * image.height
    assert rows[0]["answers"][0][0] == rows[0]["label"]  # a clip that is right as it is
    image.seek(image.n_frames - 1)  # type: ignore[attr-defined]
    last = np.asarray(image.convert("RGB")).astype(int)
    image.seek(0)
    first = np.asarray(image.convert("RGB")).astype(int)
    third = image.width // 3
    assert np.abs(last[:, :third] - first[:, :third]).mean() > np.abs(last[:, -third:] - first[:, -third:]).mean() + 1
