"""Attacked batches for other people's loops: the clips and weights of the house's own loop, and nothing moved."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.training import half, weights
from torch import nn
from torch.nn import functional as F

import vidrobust as vr
from vidrobust.data.clips import Clips
from vidrobust.errors import InputError
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.training.config import FitConfig
from vidrobust.training.loop import Training, TrainingState
from vidrobust.training.methods.adversarial import Adversarial
from vidrobust.training.rates import set_rate
from vidrobust.training.trainer import lay_out, train

PAGE = Path(__file__).parents[2] / "docs" / "training_loops.md"
EPOCHS, STEPS = 3, 4
CONFIG = FitConfig(epochs=EPOCHS, batch=8, lr=0.01, precision="float32")


class Seen:
    """What a loop trained on, step by step."""

    def __init__(self) -> None:
        self.clean: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.attacked: list[torch.Tensor] = []


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, few: Clips) -> Any:
    """Trains by the house's own loop; gives the model and the batches."""

    def run(policy: str) -> tuple[nn.Module, Seen]:
        seen, own = Seen(), Adversarial.attacked

        def spy(self: Any, learner: Any, batch: Any) -> torch.Tensor:
            seen.clean.append((batch.clips.clone(), batch.labels.clone()))
            seen.attacked.append(own(self, learner, batch).clone())
            return seen.attacked[-1]

        with monkeypatch.context() as patch:
            patch.setattr(Adversarial, "attacked", spy)
            model = build("r3d-small", 10)
            train(model, few, parse_policy(policy), CONFIG, seed=3, alpha_star=half)
        return model, seen

    return run


@pytest.mark.parametrize(
    "policy", ["AT(ε=8,α=2,i=3)", "CAL(ε~U(0,12),α=α*,i~iU(1,4),by=step)", "CAL(ε~rU(0,12),α=2,i=2)"]
)
def test_a_plain_loop_trains_as_the_house_does_bit_for_bit(house: Any, policy: str) -> None:
    expected, seen = house(policy)
    assert len(seen.clean) == EPOCHS * STEPS
    attack = vr.TrainingAttack(policy, EPOCHS, STEPS, alpha_star=half, seed=3, precision="exact")
    model = build("r3d-small", 10)
    lay_out(model, torch.channels_last_3d)
    optimiser = torch.optim.AdamW(model.parameters(), CONFIG.lr, weight_decay=CONFIG.weight_decay)
    optimiser.param_groups[0]["scale"] = 1.0
    model.train()
    for step, ((clips, labels), expected_clips) in enumerate(zip(seen.clean, seen.attacked, strict=True)):
        set_rate([optimiser], CONFIG, step, EPOCHS * STEPS)
        attacked = attack(model, clips, labels, step)
        assert torch.equal(attacked, expected_clips), step
        optimiser.zero_grad()
        F.cross_entropy(model(attacked.contiguous(memory_format=torch.channels_last_3d)), labels).backward()
        optimiser.step()
    assert torch.equal(weights(model), weights(expected))


@pytest.mark.parametrize(
    "policy", ["CAL(ε~lU(1,12),α=α*,i=5)", "CAL(ε~U(0,12),α~αU,i=3,by=step)", "FGSM-RS(ε=8,α=1.25ε)", "standard"]
)
def test_the_schedule_is_that_of_the_house_at_each_step(policy: str, few: Clips) -> None:
    attack = vr.TrainingAttack(policy, EPOCHS, STEPS, alpha_star=half, seed=3)
    training = Training.__new__(Training)  # its clock alone
    training.seed, training.config, training.alpha_star = 3, CONFIG, half
    training.method, training.clips = attack.method, few
    settings = []
    for step in range(EPOCHS * STEPS):
        training.at = TrainingState(epoch=step // STEPS)
        settings.append(training.policy.at(training._clock(step % STEPS), training._alpha))
    assert [attack.at(step) for step in range(EPOCHS * STEPS)] == settings
    assert attack.at(EPOCHS * STEPS - 1).steps == attack.at(EPOCHS * STEPS).steps  # behind the end


class WithEverything(nn.Module):
    """BatchNorm, dropout, a frozen layer and a part in another mode."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Conv3d(3, 4, 3, padding=1).requires_grad_(False)
        self.norm, self.still = nn.BatchNorm3d(4), nn.BatchNorm3d(4).eval()
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 5))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.head(self.still(self.norm(self.frozen(clips))).relu().mean((2, 3, 4)))


def state(model: nn.Module) -> Iterator[Any]:
    yield from (part.training for part in model.modules())
    yield from (weight.requires_grad for weight in model.parameters())
    yield from (None if weight.grad is None else weight.grad.clone() for weight in model.parameters())
    yield from (tensor.clone() for tensor in model.state_dict().values())
    yield torch.get_rng_state()
    yield torch.tensor(np.random.get_state()[1].astype(np.int64))


def same(left: Any, right: Any) -> bool:
    return torch.equal(left, right) if torch.is_tensor(left) else left == right


@pytest.mark.parametrize("policy", ["AT(ε=8,α=2,i=3)", "Friendly(ε=8,α=2,i=3,τ=3)", "FGSM-RS(ε=8)", "N-FGSM(ε=8)"])
def test_nothing_is_moved_in_the_model(policy: str) -> None:
    torch.manual_seed(0)
    model = WithEverything()
    model.train()
    model.still.eval()
    clips, labels = torch.rand(4, 3, 2, 6, 6), torch.tensor([0, 1, 2, 3])
    F.cross_entropy(model(clips), labels).backward()
    before, given = list(state(model)), clips.clone()
    attacked = vr.TrainingAttack(policy, 1, 1)(model, clips, labels, 0)
    assert all(same(left, right) for left, right in zip(before, state(model), strict=True))
    assert torch.equal(clips, given) and not attacked.requires_grad
    largest = (attacked - clips).abs().max()
    assert 0 < largest <= (24 if policy.startswith("N-") else 8) / 255 + 1e-6
    assert attacked.min() >= 0 and attacked.max() <= 1


def test_autocast_and_no_grad_change_nothing() -> None:
    model, clips, labels = WithEverything().eval(), torch.rand(4, 3, 2, 6, 6), torch.tensor([0, 1, 2, 3])
    attack = vr.TrainingAttack("AT(ε=8,α=2,i=3)", 1, 1, precision="exact")
    expected = attack(model, clips, labels, 0)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert torch.equal(attack(model, clips, labels, 0), expected)


def test_a_model_that_processes_train_together_is_attacked_without_its_wrapper() -> None:
    model, clips, labels = WithEverything().eval(), torch.rand(4, 3, 2, 6, 6), torch.tensor([0, 1, 2, 3])
    attack = vr.TrainingAttack("AT(ε=8,α=2,i=3)", 1, 1, precision="exact")
    expected = attack(model, clips, labels, 0)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        calls: list[object] = []
        wrapped.register_forward_pre_hook(lambda *given: calls.append(given))
        assert torch.equal(attack(wrapped, clips, labels, 0), expected) and not calls
        F.cross_entropy(wrapped(clips), labels).backward()
    finally:
        torch.distributed.destroy_process_group()


def test_starts_are_drawn_anew_at_each_step_and_again_after_a_resume() -> None:
    model, clips, labels = WithEverything().eval(), torch.rand(2, 3, 2, 6, 6), torch.tensor([0, 1])
    attack = vr.TrainingAttack("FGSM-RS(ε=8,α=2)", 2, 5, seed=1)
    first, second = (attack(model, clips, labels, step) for step in (3, 4))
    assert not torch.equal(first, second)
    assert torch.equal(copy.deepcopy(attack)(model, clips, labels, 3), first)
    assert not torch.equal(vr.TrainingAttack("FGSM-RS(ε=8,α=2)", 2, 5, seed=2)(model, clips, labels, 3), first)


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("TRADES(ε=8,α=2,i=7)", "its loss"),
        ("Free(ε=8,m=4)", "its loss"),
        ("AVG(AT(ε=8,α=2,i=5),AT(ε=64,α=16,i=5,norm=L2))", "its loss"),
        ("AT(ε=8,α=2,i=5)+AWP", "AWP moves"),
        ("AT(ε=8,α=2,i=5)+EMA", "EMA moves"),
        ("AT(ε=8,α=2,i=5,mix=0.5)", "mix and smooth"),
        ("AT(ε=8,α=2,i=5,smooth=0.1)", "mix and smooth"),
        ("AAT(ε_max=12,α=2,i=5)", "measured between epochs"),
        ("CAL(ε~paced(0,12),α=2,i=5)", "measured between epochs"),
        ("AT(ε=8,α=α*,i=5)", "alpha_star="),
        ("CAL(ε~U(0,12),α=α*,i=5)", "alpha_star="),
    ],
)
def test_a_policy_that_is_more_is_refused(policy: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        vr.TrainingAttack(policy, 2, 2)


def test_a_clock_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        vr.TrainingAttack("AT(ε=8,α=2,i=3)", 0, 10)
    with pytest.raises(InputError, match="not 1, 10 and -1"):
        vr.TrainingAttack("AT(ε=8,α=2,i=3)", 1, 10).at(-1)


def test_the_plain_example_of_the_docs_trains(few: Clips) -> None:
    code = re.findall(r"```python\n(import torch\nfrom.*?)```", PAGE.read_text(), re.DOTALL)[0]
    exec(code, scope := {})
    model, start = build("r3d-small", 10), weights(build("r3d-small", 10))
    loader = [(few.centre(range(at, at + 8)), few.labels[at : at + 8]) for at in (0, 8)]
    scope["harden"](model, loader, epochs=2)
    assert model.training and not torch.equal(weights(model), start)
