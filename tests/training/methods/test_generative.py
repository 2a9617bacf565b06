"""A denoising GAN before the classifier."""

from __future__ import annotations

import pytest
import torch
from helpers.training import batch_of, objective_of, weights
from torch.nn import functional as F

from vidrobust.data.clips import Clips
from vidrobust.models.building import build
from vidrobust.models.purifier import Purified
from vidrobust.notation import parse_policy
from vidrobust.training.config import FitConfig
from vidrobust.training.methods.table import fitted, method_of
from vidrobust.training.trainer import train


def test_ape_leaves_the_classifier_as_it_is_and_gat_does_not(few: Clips) -> None:
    for name, same in (("APE", True), ("GAT", False)):
        policy = parse_policy(f"{name}(ε=8,α=4,i=1,width=4)")
        model = fitted(build("r3d-small", 10), policy)
        assert isinstance(model, Purified)
        before = [weights(model.classifier), weights(model.purifier)]
        train(model, few, policy, FitConfig(epochs=1, batch=8))
        assert torch.equal(weights(model.classifier), before[0]) == same
        assert not torch.equal(weights(model.purifier), before[1])
        assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_generator_restores_and_fools_in_the_shares_given(few: Clips) -> None:
    batch = batch_of(few)
    losses = {}
    for fool in (0.0, 0.3, 1.0):  # the published share between the two extremes
        text = f"APE(ε=0,α=1,i=1,width=4,fool={fool})"
        model = fitted(build("r3d-small", 10), parse_policy(text))
        learner, objectives = objective_of(text, model, batch)
        next(objectives)  # the critic's
        losses[fool] = next(objectives).outcome().loss.item()
        made = learner.run(model.purifier, batch.clips)  # in training mode, as in the loss
        if fool == 0:
            assert losses[fool] == pytest.approx(F.mse_loss(made, batch.clips).item(), rel=1e-5)
        if fool == 1:
            verdicts = learner.run(learner.extras["critic"], made)
            assert losses[fool] == pytest.approx(F.softplus(-verdicts).mean().item(), rel=1e-5)
    assert losses[0.3] == pytest.approx(0.7 * losses[0.0] + 0.3 * losses[1.0], rel=1e-5)
    model = fitted(build("r3d-small", 10), parse_policy("APE(ε=8,α=4,i=1,width=4)"))
    for text, rate in (("APE(ε=8,α=4,i=1,width=4)", 2e-4), ("APE(ε=8,α=4,i=1,width=4,rate=0.01)", 0.01)):
        learner, _ = objective_of(text, model, batch)
        made = method_of(parse_policy(text)).optimisers(learner, FitConfig())
        assert [made[half].defaults["lr"] for half in ("generator", "critic")] == [rate, rate]
