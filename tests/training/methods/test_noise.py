"""Training with Gaussian noise, and of a denoiser before a fixed classifier."""

from __future__ import annotations

import pytest
import torch
from helpers.training import batch_of, objective_of, weights
from torch.nn import functional as F

from vidrobust.data.clips import Clips
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.training.config import FitConfig
from vidrobust.training.methods.noise import noisy
from vidrobust.training.methods.table import fitted
from vidrobust.training.trainer import train


def test_noise_has_the_deviation_asked_for_and_belongs_to_its_clip() -> None:
    clips = torch.full((4, 3, 8, 16, 16), 0.5)
    shown = noisy(clips, 51.0, (1, 2, 3, 4))
    assert (shown - clips).std().item() == pytest.approx(0.2, rel=0.02)
    assert torch.equal(noisy(clips[2:3], 51.0, (3,)), shown[2:3])
    assert not torch.equal(shown[0], shown[1])


def test_noise_trains_on_the_cross_entropy_of_noisy_clips(few: Clips) -> None:
    batch, model = batch_of(few), build("r3d-small", 10)
    _, objectives = objective_of("Noise(σ=30)", model, batch)
    outcome = next(objectives).outcome()
    expected = F.cross_entropy(model(noisy(batch.clips, 30.0, batch.seeds)), batch.labels)
    assert outcome.loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_denoise_trains_the_purifier_alone_to_restore_and_to_be_classified(few: Clips) -> None:
    policy = parse_policy("Denoise(σ=30,width=4,rate=0.01)")
    model = fitted(build("r3d-small", 10), policy)
    batch = batch_of(few)
    learner, objectives = objective_of(str(policy), model, batch)
    loss = next(objectives).outcome().loss.item()
    restored = learner.run(model.purifier, noisy(batch.clips, 30.0, batch.seeds))
    expected = F.mse_loss(restored, batch.clips) + F.cross_entropy(model.classifier(restored), batch.labels)
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    before = [weights(model.classifier), weights(model.purifier)]
    train(model, few, policy, FitConfig(epochs=1, batch=8))
    assert torch.equal(weights(model.classifier), before[0])
    assert not torch.equal(weights(model.purifier), before[1])
