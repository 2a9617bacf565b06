"""TRADES and MART: their losses by hand, and what they attack."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers.training import batch_of, half, objective_of
from torch.nn import functional as F

from vidrobust.data.clips import Clips
from vidrobust.models.building import build
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.notation import parse_policy
from vidrobust.training.crafting import policy_threat, random_points
from vidrobust.training.learner import Learner
from vidrobust.training.methods import divergence
from vidrobust.training.methods.table import method_of


def test_trades_is_clean_loss_plus_beta_times_the_divergence(few: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, seen = build("r3d-small", 10), batch_of(few), []
    whole = divergence.both
    monkeypatch.setattr(divergence, "both", lambda *a: seen.append((a[2], out := whole(*a))) or out)
    _, objectives = objective_of("TRADES(ε=8,α=4,i=3,β=2)", model, batch)
    loss = next(objectives).outcome().loss
    attacked, (clean, adversarial) = seen[0]
    assert 0 < (attacked - batch.clips).abs().max() <= 8 / 255
    p, q = clean.softmax(1), adversarial.softmax(1)
    by_hand = F.cross_entropy(clean, batch.labels) + 2 * (p * (p.log() - q.log())).sum(1).mean()
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_trades_attacks_what_the_model_says_not_the_label(trained: ResNet3d, few: Clips) -> None:
    """Its clips diverge more from the clean answer than random ones."""
    model, batch = copy.deepcopy(trained), batch_of(few, 16)
    method = method_of(parse_policy("TRADES(ε=8,α=2,i=5)"))
    assert isinstance(method, divergence.Trades)
    setting = method.policy.at(batch.clock, half)
    attacked = method._attacked(Learner(model, precision="exact"), batch, setting)
    noisy = random_points(policy_threat(method.policy, 8), batch.clips, batch.seeds)
    clean = model(batch.clips).softmax(1)
    apart = [F.kl_div(model(x).log_softmax(1), clean, reduction="batchmean").item() for x in (attacked, noisy)]
    assert apart[0] > 3 * apart[1]


def test_mart_weighs_the_divergence_by_doubt(few: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, seen = build("r3d-small", 10), batch_of(few), []
    whole = divergence.both
    monkeypatch.setattr(divergence, "both", lambda *a: seen.append(out := whole(*a)) or out)
    _, objectives = objective_of("MART(ε=8,α=4,i=2,β=3)", model, batch)
    loss = next(objectives).outcome().loss
    clean, adversarial = (logits.softmax(1) for logits in seen[0])
    rows = torch.arange(4)
    wrong = adversarial.clone()
    wrong[rows, batch.labels] = 0
    boosted = -adversarial[rows, batch.labels].log() - (1.0001 - wrong.amax(1)).log()
    apart = (clean * (clean.log() - adversarial.log())).sum(1) * (1 - clean[rows, batch.labels])
    assert loss.item() == pytest.approx((boosted + 3 * apart).mean().item(), rel=1e-4)
