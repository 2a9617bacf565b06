"""After an attack, also one that raised or was interrupted, all is bitwise what it was."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.models.shapes import ResNet3dConfig
from vidrobust.threats import L2, Flicker, Linf, Threat

LINF = Threat(Linf(), 8 / 255)
ATTACKS = {
    "pgd": PGD(LINF, 2 / 255, 2),
    "last": PGD(LINF, 2 / 255, 2, keep="last", random_start=True, momentum=0.9),
    "restarts": PGD(Threat(L2(), 0.5), 0.1, 2, restarts=2),
    "fgsm": FGSM(Threat(Linf(), 8 / 255, Flicker()), random_start=True),
    "exact": PGD(LINF, 2 / 255, 2, precision="exact"),
}


class Noisy(nn.Module):
    """A model with all that could be disturbed: running statistics, mixed modes, gradients, frozen weights, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = ResNet3d(ResNet3dConfig(classes=3, widths=(4, 8), layers=(1, 1), strides=((1, 1, 1), (2, 2, 2))))
        self.calls, self.fault, self.noise = 0, None, False

    def forward(self, clips: Tensor) -> Tensor:
        self.calls += 1
        if self.fault is not None and self.calls >= 3:
            raise self.fault
        logits = self.body(clips)
        drawn = random.random() + np.random.random()
        return logits + 1e-3 * drawn * torch.randn_like(logits) if self.noise else logits


def model_and_clips() -> tuple[Noisy, Tensor, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, clips = Noisy(), torch.rand(3, 3, 4, 12, 12)
        model(clips).sum().backward()  # gradients, and statistics that are not the initial ones
    model.train()
    model.body.layer1.eval()
    model.body.fc.weight.requires_grad_(False)
    model.body.conv1.weight.grad = None
    model.calls = 0
    return model, clips, torch.tensor([0, 1, 2])


def snapshot(model: nn.Module) -> dict[str, object]:
    """Everything that an attack might disturb, as plain copies."""
    grads = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    return {
        "state": copy.deepcopy(model.state_dict()),
        "grad": grads,
        "requires_grad": {name: p.requires_grad for name, p in model.named_parameters()},
        "training": {name: module.training for name, module in model.named_modules()},
        "rng": torch.get_rng_state(),
        "other rngs": (random.getstate(), str(np.random.get_state())),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
    }


def assert_same(before: object, after: object, where: str = "") -> None:
    if isinstance(before, Tensor):
        assert isinstance(after, Tensor)
        assert torch.equal(before, after), where
    elif isinstance(before, dict):
        assert isinstance(after, dict)
        assert before.keys() == after.keys()
        for key, value in before.items():
            assert_same(value, after[key], f"{where}.{key}")
    else:
        assert before == after, where


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("noise", [False, True])
def test_nothing_is_left_behind(name: str, noise: bool) -> None:
    model, clips, labels = model_and_clips()
    model.noise = noise
    given, before = clips.clone(), snapshot(model)
    ATTACKS[name](model, clips, labels)
    assert_same(before, snapshot(model))
    assert torch.equal(clips, given)
    assert not clips.requires_grad


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("fault", [RuntimeError("out of order"), KeyboardInterrupt()])
def test_nothing_is_left_behind_by_a_failure(name: str, fault: BaseException) -> None:
    model, clips, labels = model_and_clips()
    model.noise = True  # torch.fx would trace the fault away
    model.fault = fault
    before = snapshot(model)
    with pytest.raises(type(fault)):
        for _ in range(3):
            ATTACKS["exact" if name == "pgd" else name](model, clips, labels)
    assert_same(before, snapshot(model))


@pytest.mark.parametrize("outside", ["autocast", "no_grad", "inference_mode", "grad"])
def test_the_callers_modes_neither_change_nor_matter(outside: str) -> None:
    model, clips, labels = model_and_clips()
    expected = ATTACKS["exact"](model, clips, labels)
    modes = {
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "no_grad": torch.no_grad,
        "inference_mode": torch.inference_mode,
        "grad": torch.enable_grad,
    }
    with modes[outside]():
        before = snapshot(model)
        result = ATTACKS["exact"](model, clips.clone(), labels.clone())
        assert_same(before, snapshot(model))
        assert not result.clips.requires_grad
    if outside != "autocast":
        assert torch.equal(result.clips, expected.clips)


def test_a_trajectory_leaves_the_model_alone_between_its_iterates() -> None:
    model, clips, labels = model_and_clips()
    before = snapshot(model)
    steps = 0
    for iterate in PGD(LINF, 2 / 255, 3).trajectory(model, clips, labels):
        assert_same(before, snapshot(model))
        assert iterate.step == steps
        steps += 1
    assert steps == 4


def test_an_abandoned_trajectory_leaves_nothing_behind() -> None:
    model, clips, labels = model_and_clips()
    before = snapshot(model)
    next(iter(PGD(LINF, 2 / 255, 3).trajectory(model, clips, labels)))
    drawn = torch.rand(1)  # the caller's own draw is not taken back
    assert not torch.equal(torch.get_rng_state(), before["rng"])
    torch.set_rng_state(before["rng"])
    assert torch.equal(torch.rand(1), drawn)
    torch.set_rng_state(before["rng"])
    assert_same(before, snapshot(model))


def test_training_gradients_still_flow_after_an_attack() -> None:
    model, clips, labels = model_and_clips()
    moved = PGD(LINF, 2 / 255, 2, keep="last").perturb(model, clips, labels)
    assert not moved.requires_grad
    model.zero_grad()
    nn.functional.cross_entropy(model(moved), labels).backward()
    assert model.body.fc.bias.grad is not None


def test_weights_that_change_are_seen() -> None:
    """By an optimiser, behind autograd's back, or as new tensors."""
    model, clips, labels = model_and_clips()
    model = model.body.eval()

    def loss() -> Tensor:
        return next(iter(PGD(LINF, 2 / 255, 1).trajectory(model, clips, labels))).loss

    changes: list[Callable[[], object]] = [
        lambda: model.fc.bias.data.add_(torch.tensor([1.0, 0.0, 0.0])),
        lambda: setattr(model, "fc", nn.Linear(8, 3)),
        lambda: model.load_state_dict({k: v * 1.5 for k, v in model.state_dict().items()}, assign=True),
        lambda: model.bn1.running_var.mul_(2.0),
    ]
    before = loss()
    for change in changes:
        with torch.no_grad():
            change()
        after = loss()
        with torch.no_grad():
            exact = nn.functional.cross_entropy(model(clips), labels, reduction="none")
        assert torch.allclose(after, exact, atol=0.05)
        assert not torch.equal(after, before)
        before = after


@pytest.mark.parametrize("kind", ["lambda", "method", "partial"])
def test_a_function_around_a_model_in_training_mode_leaves_its_statistics(kind: str) -> None:
    model, clips, labels = model_and_clips()
    functions = {"lambda": lambda clips: model(clips), "method": model.forward, "partial": partial(model)}
    before = snapshot(model)
    for attack in ATTACKS.values():
        attack(functions[kind], clips, labels)
    assert_same(before, snapshot(model))


class Counting(nn.Module):
    """A model with a memory of its own: it counts its calls, in place or in a new tensor."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.head, self.in_place = nn.Linear(3 * 2 * 4 * 4, 3), in_place
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, clips: Tensor) -> Tensor:
        if self.in_place:
            self.calls += 1
        else:
            self.calls = self.calls + 1
        return self.head(clips.flatten(1)) + 0 * self.calls


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("name", ATTACKS)
def test_a_buffer_that_moves_in_evaluation_mode_is_put_back(name: str, in_place: bool) -> None:
    model, clips = Counting(in_place).eval(), torch.rand(3, 3, 2, 4, 4)
    model(clips)
    before, count = model.calls, model.calls.item()
    ATTACKS[name](model, clips, torch.tensor([0, 1, 2]))
    assert model.calls is before
    assert model.calls.item() == count == 1
