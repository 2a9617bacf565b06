"""Perturbed and averaged weights."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers.training import batch_of, half, objective_of

from vidrobust.data.clips import Clips
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World
from vidrobust.training.trainer import new_training


def test_awp_raises_the_loss_and_puts_the_weights_back(few: Clips) -> None:
    model, batch = build("r3d-small", 10), batch_of(few, 8)
    before = {name: tensor.detach().clone() for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    plain = next(objective_of("AT(ε=8,α=4,i=1)", copy.deepcopy(model), batch)[1]).outcome().loss
    _, objectives = objective_of("AT(ε=8,α=4,i=1)+AWP(γ=0.05)", model, batch)
    objective = next(objectives)
    moved = {name: tensor for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])}
    assert {name.rpartition(".")[2] for name in moved} == {"weight"}
    for name, tensor in moved.items():
        assert (tensor.detach() - before[name]).norm().item() == pytest.approx(
            0.05 * before[name].norm().item(), rel=1e-3
        )
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_buffers())
    assert objective.outcome().loss > plain + 0.01
    objective.settle()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_parameters())


def test_the_average_is_kept_and_the_optimiser_keeps_its_state(few: Clips) -> None:
    policy = parse_policy("standard+EMA(τ=0.5)")
    model = build("r3d-small", 10)
    training = new_training(model, few, policy, FitConfig(epochs=2, batch=16), 0, half, World())
    by_hand = None
    for _ in range(2):
        training.epoch(lambda gradients: None, lambda: None)
        steps = [float(slots["step"]) for slots in training.optimisers["model"].state.values()]
    assert set(steps) == {4.0}  # two epochs of two steps: nothing was begun anew
    by_hand = training.average.weights()["fc.weight"]
    assert not torch.equal(by_hand, model.fc.weight)
    assert (by_hand - model.fc.weight).abs().max() < (build("r3d-small", 10).fc.weight - model.fc.weight).abs().max()
