"""How often a training step waits for the device: once, besides what its attack needs."""

from __future__ import annotations

import pytest
import torch
from helpers.synchronisations import Synchronisations
from helpers.training import half

from vidrobust.data.clips import Clips
from vidrobust.models.building import build
from vidrobust.notation import Setting, parse_policy
from vidrobust.training.config import FitConfig
from vidrobust.training.crafting import friendly_clips, policy_threat
from vidrobust.training.distributed import World
from vidrobust.training.methods import adversarial, divergence
from vidrobust.training.methods.table import fitted
from vidrobust.training.trainer import new_training


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("standard", 1),
        ("standard(smooth=0.1)+SWA", 1),
        ("AT(ε=8,α=4,i=1,mix=0.5)", 1),
        ("MART(ε=8,α=4,i=1)", 1),
        ("AT(ε=8,α=4,i=1)+AWP", 2),
        ("Free(ε=8,m=3)", 1),
        ("MAX(AT(ε=8,α=4,i=1),AT(ε=4,α=4,i=1))", 1),
        ("MultiBN(AT(ε=8,α=4,i=1),AT(ε=4,α=4,i=1))", 1),
    ],
)
def test_a_step_waits_for_the_device_once(text: str, waits: int, few: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attack is left out, whose own waits are counted elsewhere; AWP asks once how far it moves the weights."""
    for module in (adversarial, divergence):
        monkeypatch.setattr(module, "training_clips", lambda model, clips, *given: clips)
    model = fitted(build("r3d-small", 10), parse_policy(text))
    config = FitConfig(epochs=1, batch=8, optimiser="sgd")  # AdamW keeps its count of steps on the CPU, and reads it
    training = new_training(model, few, parse_policy(text), config, 0, half, World())
    training.learner.train()
    loaded = training.load(torch.arange(8), torch.Generator())
    training.step(loaded)
    with Synchronisations() as seen:
        training.step(loaded)
    assert len(seen) == waits, seen.seen


def test_the_friendly_attack_waits_once_a_step(few: Clips) -> None:
    policy, model, waits = parse_policy("Friendly(ε=8,α=2,i=4,τ=9)"), build("r3d-small", 10), []
    batch = (few.centre(range(8)), few.labels[:8])
    for steps in (1, 1, 4):  # the first makes the fast copy
        with Synchronisations() as seen:
            friendly_clips(model, *batch, Setting(8.0, 2.0, steps), policy_threat(policy, 8), 9)
        waits.append(len(seen))
    assert waits[2] - waits[1] == 3
