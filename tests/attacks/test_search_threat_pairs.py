"""Every search under every threat: budgets hold, nothing is disturbed, seeds decide; what makes no sense is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from helpers.linear_models import NORMS, convolutional
from helpers.searches import SEARCHES
from helpers.supports import PAIRED
from torch import Tensor, nn

from vidrobust.attacks.apgd import APGD
from vidrobust.attacks.autoattack import AutoAttack
from vidrobust.attacks.base import AttackedBatch, AttackResult
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.mifgsm import MIFGSM
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.rays import RayS
from vidrobust.attacks.searching import searching
from vidrobust.attacks.square import Square
from vidrobust.attacks.vbad import VBAD
from vidrobust.errors import InputError
from vidrobust.fast.precision import full_float32
from vidrobust.losses import cross_entropy
from vidrobust.threats import (
    L1,
    L2,
    Area,
    Border,
    Flicker,
    Frames,
    Linf,
    Mask,
    Multiplicative,
    Norm,
    Patch,
    Support,
    Threat,
    Universal,
)

EPS = {Linf: 8 / 255, L2: 0.8, L1: 8.0}


def short(support: Support) -> str:
    return type(support).__name__ + (type(support.within).__name__ if isinstance(support, Universal) else "")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """In training mode, as a model under training is; its fast copy is made once."""
    return convolutional().train()


@pytest.fixture(scope="module")
def placed(device: torch.device) -> nn.Module:
    """The same, on a device."""
    return convolutional().train().to(device)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    clips = torch.rand(4, 3, 4, 8, 8, generator=generator)
    clips[0, :, :, :2] = 0  # some pixels stand at the ends of their range
    clips[1, :, :, :2] = 1
    return clips, torch.tensor([0, 1, 2, 3])


def batch_on(device: torch.device, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    clips, labels = batch()
    return clips.to(device, dtype), labels.to(device)


@pytest.mark.parametrize("norm", NORMS, ids=str)
@pytest.mark.parametrize("support", PAIRED, ids=short)
@pytest.mark.parametrize("name", SEARCHES)
def test_budgets_hold_and_nothing_is_disturbed(
    placed: nn.Module, name: str, norm: Norm, support: Support, device: torch.device, dtype: torch.dtype
) -> None:
    threat, model = Threat(norm, EPS[type(norm)], support), placed
    clips, labels = batch_on(device, dtype)
    search = SEARCHES[name](threat)
    if isinstance(support, Universal) and name in ("fab", "fmn", "rays"):
        with pytest.raises(InputError, match="shares one"):
            search(model, clips, labels)
        return
    before, random = copy.deepcopy(model.state_dict()), drawn(device)
    found = search(model, clips, labels)
    assert_within(threat, clips, found)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert torch.equal(random, drawn(device))
    assert model.training and all(part.training for part in model.modules())
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert torch.equal(found.success, found.predicted != labels)
    with torch.no_grad(), full_float32(device):
        assert torch.equal(found.predicted, copy.deepcopy(model).eval()(found.clips.float()).argmax(1))
    assert not found.clips.requires_grad and (found.forwards == found.queries + 1).all()


def drawn(device: torch.device) -> Tensor:
    """The state of all global random numbers."""
    states = [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
    return torch.cat(states)


def assert_within(threat: Threat, clips: Tensor, found: AttackResult) -> None:
    delta = found.clips.double() - clips.double()
    assert ((found.clips >= 0) & (found.clips <= 1)).all()
    assert (threat.norm.size(delta.flatten(1)) <= EPS[type(threat.norm)] * (1 + 1e-7)).all()
    if isinstance(threat.norm, Linf):
        assert (delta.abs() <= EPS[Linf]).all()  # with no tolerance
    if isinstance(threat.support, Multiplicative):
        ratio = threat.support.ratio * (1 + 1e-6)
        assert ((found.clips <= clips * ratio) & (found.clips * ratio >= clips)).all()
    if isinstance(threat.support, (Area, Patch, Border, Frames, Mask)):
        assert (delta[~threat.support.mask(clips).expand_as(delta)] == 0).all()


@pytest.mark.parametrize("name", SEARCHES)
def test_the_seed_and_the_clip_decide_not_the_batch(placed: nn.Module, name: str, device: torch.device) -> None:
    model, (clips, labels) = placed, batch_on(device)
    search = SEARCHES[name](Threat(L2(), 0.5))
    whole = search(model, clips, labels)
    again = search(model, clips, labels)
    assert torch.equal(whole.clips, again.clips) and torch.equal(whole.loss, again.loss)
    order = torch.tensor([2, 0, 3, 1])
    parts = [search(model, clips[i : i + 1], labels[i : i + 1]) for i in order.tolist()]
    alone = torch.cat([part.clips for part in parts])
    torch.testing.assert_close(alone, whole.clips[order], rtol=0, atol=1e-4)
    assert torch.equal(torch.cat([part.success for part in parts]), whole.success[order])


def test_another_seed_is_another_search(model: nn.Module) -> None:
    clips, labels = batch()
    threat = Threat(Linf(), 2 / 255)
    for make in (lambda seed: APGD(threat, 3, seed=seed), lambda seed: Square(threat, 5, seed=seed)):
        assert not torch.equal(make(0)(model, clips, labels).clips, make(1)(model, clips, labels).clips)


@pytest.mark.parametrize("name", SEARCHES)
def test_budgets_may_differ_from_clip_to_clip(placed: nn.Module, name: str, device: torch.device) -> None:
    clips, labels = batch_on(device)
    eps = torch.tensor([0.0, 0.01, 0.02, 0.04])
    found = SEARCHES[name](Threat(Linf(), eps))(placed, clips, labels)
    assert ((found.clips - clips).abs().flatten(1).amax(1).cpu() <= eps).all()


@pytest.mark.parametrize("name", ["pgd", "apgd", "apgd-t", "cw", "mifgsm", "square", "vbad"])
def test_budgets_may_differ_from_frame_to_frame(placed: nn.Module, name: str, device: torch.device) -> None:
    clips, labels = batch_on(device)
    eps = torch.tensor([[0.0, 0.01, 0.02, 0.04]])
    found = SEARCHES[name](Threat(Linf(), eps))(placed, clips, labels)
    assert ((found.clips - clips).abs().amax((1, 3, 4)).cpu() <= eps).all()


@pytest.mark.parametrize("make", [FAB, RayS])
def test_one_size_a_clip_refuses_a_budget_a_frame(make: Any) -> None:
    with pytest.raises(InputError, match="budget per frame"):
        make(Threat(Linf(), ((0.1, 0.2),)))


def test_autoattack_refuses_a_shared_perturbation() -> None:
    with pytest.raises(InputError, match="shares one"):
        AutoAttack(Threat(Linf(), 0.1, Universal()), steps=2, queries=4)(convolutional(), *batch())


def test_saliency_refuses_a_second_support() -> None:
    with pytest.raises(InputError, match="already has"):
        FrameSaliency(PGD(Threat(Linf(), 0.1, Border(0.2)), 0.1, 1), frames=1)


def test_blur_refuses_what_has_no_height() -> None:
    attack = MIFGSM(Threat(Linf(), 0.1, Flicker()), alpha=0.1, blur=3)
    with pytest.raises(InputError, match="blur"):
        attack(convolutional(), *batch())


def test_a_query_budget_is_never_exceeded(model: nn.Module) -> None:
    clips, labels = batch()
    for make in (Square, RayS, VBAD):
        for queries in (2, 7, 40):
            found = make(Threat(Linf(), 0.2), queries=queries, precision="exact")(model, clips, labels)
            assert (found.queries <= queries).all()


@pytest.mark.parametrize("make", [Square, RayS, VBAD])
def test_nor_by_misclassifications_that_the_model_denies(
    make: Any, model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs a query for the fast copy's answer and one for the model's."""
    monkeypatch.setattr(AttackedBatch, "judge", lambda self, feasible, free, labels, goal: torch.zeros_like(labels) > 0)
    clips, labels = batch()
    found = make(Threat(Linf(), 0.5), queries=15)(model, clips, labels)
    assert (found.queries <= 15).all() and (found.queries > 10).any()


def test_each_clip_has_random_numbers_of_its_own(model: nn.Module) -> None:
    clips, labels = batch()
    with searching(model, Threat(Linf(), 0.1), clips, labels, cross_entropy, "exact") as run:
        first, second = run.uniform(run.generators(0), 5), run.uniform(run.generators(0), 5)
        other = run.uniform(run.generators(1), 5)
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert len({tuple(row) for row in first.tolist()}) == len(clips)


def test_an_error_in_the_model_leaves_no_trace() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.calls = convolutional(), 0

        def forward(self, clips: Tensor) -> Tensor:
            self.calls += 1
            if clips.sum() > 0 and self.calls > 6:  # what no tracer can follow: there is no fast copy
                raise RuntimeError("out of order")
            return self.inner(clips)

    for make in SEARCHES.values():
        model, random = Broken().train(), torch.get_rng_state()
        search = make(Threat(L2(), 0.01))
        with pytest.raises(RuntimeError, match="out of order"):
            search(model, *batch())
        assert torch.equal(random, torch.get_rng_state())
        assert all(part.training for part in model.modules())
        assert all(weight.requires_grad for weight in model.parameters())
