"""The attacks of adversarial training: where they start and stop, and at which setting."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.training import half, trained_by
from torch.nn import functional as F

from vidrobust.data.clips import Clips
from vidrobust.models.building import build
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.notation import parse_policy
from vidrobust.notation.schedules import Clock
from vidrobust.training.config import FitConfig
from vidrobust.training.crafting import friendly_clips, one_step_from_noise, policy_threat, random_points
from vidrobust.training.methods import adversarial
from vidrobust.training.methods.objectives import Batch
from vidrobust.training.randomness import clip_seed


def test_friendly_clips_stop_when_the_model_is_wrong(trained: ResNet3d, few: Clips) -> None:
    clips, labels = few.centre(range(32)), few.labels
    policy = parse_policy("Friendly(ε=12,α=2,i=20)")
    setting, threat = policy.at(Clock(0, 1), half), policy_threat(policy, 12)
    near = friendly_clips(trained, clips, labels, setting, threat, 0, "exact")
    far = friendly_clips(trained, clips, labels, setting, threat, 20, "exact")
    wrong = (trained(near).argmax(1) != labels) & (trained(clips).argmax(1) == labels)
    assert wrong.any()
    losses = [F.cross_entropy(trained(x)[wrong], labels[wrong]).item() for x in (near, far)]
    assert losses[0] < losses[1]
    already = trained(clips).argmax(1) != labels
    assert torch.equal(near[already], clips[already])


def test_noise_and_random_starts_belong_to_the_clip_not_to_the_batch(few: Clips) -> None:
    clips = few.centre(range(6))
    policy = parse_policy("N-FGSM(ε=8,k=2)")
    threat, seeds = policy_threat(policy, 16), [clip_seed(0, 1, index) for index in range(6)]
    whole = random_points(threat, clips, seeds)
    parts = torch.cat([random_points(threat, clips[:2], seeds[:2]), random_points(threat, clips[2:], seeds[2:])])
    assert torch.equal(whole, parts)
    model = build("r3d-small", 10).eval()
    batch = Batch(clips, few.labels[:6], tuple(seeds), Clock(0, 1), half)
    step = policy_threat(policy, 8)
    moved = (one_step_from_noise(model, batch, policy.at(Clock(0, 1), half), threat, step, "exact") - clips).abs()
    assert 16 / 255 < moved.max() <= 24 / 255 + 1e-6  # beyond ε: the noise of 2ε stays, and a step of ε goes on top


def test_a_step_schedule_moves_with_every_batch_and_an_epoch_schedule_does_not(
    few: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    true = adversarial.training_clips

    def spy(*given: Any) -> torch.Tensor:
        seen.append(given[3].eps)
        return true(*given)

    monkeypatch.setattr(adversarial, "training_clips", spy)
    for text in ("CAL(ε~U(0,7),α=ε,i=1,by=step)", "CAL(ε~U(0,7),α=ε,i=1)"):
        trained_by(text, few, FitConfig(epochs=2, batch=8))
    assert seen[:8] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert seen[8:] == [0] * 4 + [7] * 4
