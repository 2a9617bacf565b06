"""Corruptions as augmentation: drawn by the clip, the same after a kill, part of what a training is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import vidrobust as vr
from vidrobust.data.dataset import VideoClips
from vidrobust.errors import NotationError, RunError
from vidrobust.evaluation.corruptions import corruptions
from vidrobust.models.building import build
from vidrobust.training.augmenting import corrupted
from vidrobust.training.config import FitConfig
from vidrobust.training.fitting import FitRun

AUGMENT = "ucf101-p(kinds=(jumble,gaussian_noise),severity=1-3)"


@pytest.fixture
def small(small_data: VideoClips) -> VideoClips:
    splits = (small_data.train.spread(32), small_data.val.spread(8), small_data.test.spread(8))
    return VideoClips(small_data.folder, small_data.config, *splits)


def fit(data: VideoClips, augment: str, out: Path | None = None, **how: Any) -> FitRun:
    settings = FitConfig(epochs=2, batch=16, augment=augment, save_every=1)
    return vr.fit(build("r3d-small", 10), data, settings=settings, out=out, **how)


def test_each_clip_gets_one_of_the_corruptions_by_its_own_seed() -> None:
    clips, among = torch.rand(1, 3, 4, 8, 8).expand(60, -1, -1, -1, -1), corruptions("frames(kinds=(reversal,freeze))")
    found = corrupted(clips, among, range(60))
    known = [one(clips[:1], [0])[0] for one in among]
    which = [next(number for number, one in enumerate(known) if torch.equal(one, clip)) for clip in found]
    assert len(set(which)) > 4
    assert torch.equal(corrupted(clips[7:9], among, [7, 8]), found[7:9])
    assert corrupted(clips, [], range(60)) is clips


def test_another_augmentation_trains_other_weights_and_is_another_run(small: VideoClips, tmp_path: Path) -> None:
    plain, augmented, again = fit(small, ""), fit(small, AUGMENT, tmp_path / "run"), fit(small, AUGMENT)
    weights = [run.model.fc.weight for run in (plain, augmented, again)]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])
    with pytest.raises(RunError):
        fit(small, "", tmp_path / "run")


def test_a_killed_training_goes_on_with_the_same_draws(
    small: VideoClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidrobust.training.trainer import Checkpoints

    whole, saved = fit(small, AUGMENT), []
    after = Checkpoints.after_step

    def killed(self: Checkpoints) -> None:
        after(self)
        saved.append(self.training.at.step)
        if len(saved) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "after_step", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(small, AUGMENT, tmp_path / "run")
    monkeypatch.setattr(Checkpoints, "after_step", after)
    resumed = fit(small, AUGMENT, tmp_path / "run")
    assert torch.equal(resumed.model.fc.weight, whole.model.fc.weight)


def test_a_training_without_it_is_named_as_before() -> None:
    assert "augment" not in FitConfig().fields
    assert "augment" not in FitConfig().outcome
    assert FitConfig(augment=AUGMENT).outcome["augment"] == AUGMENT


def test_what_is_no_corruption_is_refused_at_once() -> None:
    with pytest.raises(NotationError, match="no kind 'fog'"):
        FitConfig(augment="ucf101-p(kinds=fog)")
