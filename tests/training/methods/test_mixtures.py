"""Several threats at once."""

from __future__ import annotations

import torch
from helpers.training import batch_of, objective_of

from vidrobust.data.clips import Clips
from vidrobust.models.building import build
from vidrobust.models.multibn import MultiBN
from vidrobust.notation import parse_policy
from vidrobust.notation.policies import Policy
from vidrobust.training.config import FitConfig
from vidrobust.training.methods.table import fitted
from vidrobust.training.trainer import train


def test_the_worst_threat_counts_in_max_and_all_in_avg(few: Clips) -> None:
    parts = "AT(ε=8,α=4,i=2),AT(ε=1,α=1,i=1)"
    model, batch = build("r3d-small", 10), batch_of(few, 8)
    worst, mean = (next(objective_of(f"{name}({parts})", model, batch)[1]).outcome() for name in ("MAX", "AVG"))
    assert worst.loss > mean.loss
    assert worst.logits is not None and worst.logits.shape == (8, 10)


def trained_branches(few: Clips) -> tuple[MultiBN, Policy]:
    policy = parse_policy("MultiBN(AT(ε=8,α=4,i=1),AT(ε=64,α=32,i=1,support=Border(ratio=0.1)))")
    model = fitted(build("r3d-small", 10), policy)
    assert isinstance(model, MultiBN)
    train(model, few, policy, FitConfig(epochs=1, batch=8))
    return model, policy


def test_branches_hold_statistics_of_their_own(few: Clips) -> None:
    model, _ = trained_branches(few)
    norm = model.classifier.bn1
    means = [branch.running_mean for branch in norm.norms]
    assert not torch.equal(means[0], means[1])
    model.eval()
    clips = few.centre([0, 1])
    weighed = model(clips)
    shares = model.detector(clips).softmax(1)
    assert torch.allclose(shares.sum(1), torch.ones(2))
    assert not torch.equal(weighed, model.use(0)(clips))
    clips.requires_grad_(True)
    model(clips).sum().backward()
    assert clips.grad is not None and clips.grad.abs().sum() > 0
