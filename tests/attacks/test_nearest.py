"""FMN and DDN: exact distances on linear models, one run for the whole curve, any support, budgets held."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers.linear_models import NORMS, convolutional, distance, linear
from torch import nn

from vidrobust.attacks.apgd import APGD
from vidrobust.attacks.ddn import DDN
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.fmn import FMN
from vidrobust.errors import InputError
from vidrobust.fast import inference
from vidrobust.fast.view import inference_view
from vidrobust.threats import (
    L1,
    L2,
    Border,
    Flicker,
    Frames,
    Linf,
    Multiplicative,
    Norm,
    OneFrame,
    Patch,
    Threat,
    Universal,
)

LARGE = {"Linf()": 1.0, "L2()": 10.0, "L1(share=0.05)": 100.0}


def sizes(threat: Threat, clips: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    return threat.around(clips).size(found).float()


@pytest.mark.parametrize("norm", NORMS, ids=str)
@pytest.mark.parametrize("classes", [2, 5])
def test_fmn_finds_the_distance_of_linear_models_within_one_percent(norm: Norm, classes: int) -> None:
    model, clips, labels = linear(classes)
    exact, threat = distance(model, clips, labels, norm), Threat(norm, LARGE[str(norm)])
    result = FMN(threat, steps=300)(model, clips, labels)
    found = sizes(threat, clips, result.clips)
    assert result.success.all()
    assert (found >= exact * (1 - 1e-4)).all()
    assert (found <= exact * 1.01).all()


@pytest.mark.parametrize("classes", [2, 5])
def test_ddn_finds_the_distance_of_linear_models_within_one_percent(classes: int) -> None:
    model, clips, labels = linear(classes)
    exact, threat = distance(model, clips, labels, L2()), Threat(L2(), 10.0)
    result = DDN(threat, steps=300, gamma=0.02)(model, clips, labels)
    assert result.success.all()
    assert (sizes(threat, clips, result.clips) <= exact * 1.01).all()


def as_convolution(classes: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor, Callable[[Norm], torch.Tensor]]:
    """A linear model whose copy is in bfloat16, as that of a last linear layer is not."""
    model, clips, labels = linear(classes)
    layer = nn.Conv3d(3, classes, clips.shape[2:])
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight.copy_(model[1].weight.view_as(layer.weight))
        layer.bias.copy_(model[1].bias)
    return nn.Sequential(layer, nn.Flatten()).eval(), clips, labels, lambda norm: distance(model, clips, labels, norm)


@pytest.mark.parametrize(
    ("attack", "norm"),
    [(FMN, Linf()), (FMN, L2()), (FMN, L1()), (DDN, L2()), (FAB, Linf()), (FAB, L2())],
    ids=lambda part: getattr(part, "__name__", str(part)),
)
def test_the_distance_is_the_models_own_where_its_copy_is_in_bfloat16(
    attack: type, norm: Norm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "has_bf16", lambda device: True)
    model, clips, labels, distances = as_convolution(3)
    assert inference_view(model, clips).lossy
    exact = distances(norm)
    within = Threat(norm, (exact * 1.03).tolist())
    assert attack(within, steps=120)(model, clips, labels).success.all()
    assert not attack(Threat(norm, (exact * 0.99).tolist()), steps=60)(model, clips, labels).success.any()
    if attack is not FAB:  # which stops at the first crossing within the budget
        whole = Threat(norm, LARGE[str(norm)])
        assert (sizes(whole, clips, attack(whole, steps=300)(model, clips, labels).clips) <= exact * 1.02).all()


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_one_run_gives_the_whole_curve(norm: Norm) -> None:
    """What FAB and APGD together break at an ε, one run for all ε breaks at 1.03 of it."""
    model = convolutional()
    clips = torch.rand(24, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    labels = model(clips).argmax(1)
    whole = Threat(norm, LARGE[str(norm)])
    result = FMN(whole, steps=200)(model, clips, labels)
    found = sizes(whole, clips, result.clips)
    assert result.success.all()
    for share in (0.5, 1.0, 1.5):
        eps = share * found.median().item()
        one = Threat(norm, eps)
        broken = APGD(one, steps=50)(model, clips, labels).success | FAB(one, steps=30)(model, clips, labels).success
        assert (found <= 1.03 * eps).sum() >= broken.sum()


@pytest.mark.parametrize(
    "support", [Patch(1, 2, 4, 4), Border(0.3), Frames((0, 2)), Flicker(), OneFrame(), Multiplicative(1.5)], ids=str
)
@pytest.mark.parametrize("attack", [FMN, DDN])
def test_supports_and_budgets_hold_exactly(support: object, attack: type) -> None:
    model = convolutional()
    clips = torch.rand(6, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    labels = model(clips).argmax(1)
    for eps in (0.05, 0.5, 3.0):
        threat = Threat(L2(), eps, support)  # type: ignore[arg-type]
        result = attack(threat, steps=20)(model, clips, labels)
        assert (threat.around(clips).size(result.clips) <= eps).all()
        assert (result.success == (model(result.clips).argmax(1) != labels)).all()
        assert (result.backwards <= 20 + 1 + 4).all()  # the steps, the start, a target each


def test_a_smaller_budget_breaks_exactly_the_nearer_clips() -> None:
    model, clips, labels = linear(5)
    exact = distance(model, clips, labels, Linf())
    eps = exact.median().item() * 1.02
    result = FMN(Threat(Linf(), eps), steps=200)(model, clips, labels)
    assert torch.equal(result.success, exact <= eps)


def test_clips_misclassified_already_come_back_unchanged() -> None:
    model, clips, labels = linear(2)
    result = FMN(Threat(Linf(), 0.5), steps=5)(model, clips, 1 - labels)
    assert result.success.all()
    assert torch.equal(result.clips, clips)
    assert (result.backwards == 0).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FMN(Threat(Linf(), 0.1), steps=0), "steps"),
        (lambda: FMN(Threat(Linf(), 0.1), alpha=0), "alpha"),
        (lambda: DDN(Threat(Linf(), 0.1)), "the norm L2, but"),
        (lambda: DDN(Threat(L2(), 0.1), gamma=1), "gamma"),
        (lambda: FMN(Threat(Linf(), 0.1, Universal()))(*linear(2)), "shares one perturbation"),
        (lambda: FMN(Threat(L2(), [[0.1, 0.2]]))(*linear(2)), "budget per frame"),
    ],
)
def test_what_makes_no_sense_is_refused(make: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()  # type: ignore[operator]


@pytest.mark.filterwarnings("ignore:the model gives NaN")
@pytest.mark.parametrize("search", [FMN, DDN], ids=lambda search: search.__name__)
def test_where_a_model_gives_nan_it_is_misled(search: type) -> None:
    """A distance that is not a number would be no radius."""
    model, clips, labels = linear(2)
    norm = Linf() if search is FMN else L2()
    threat = Threat(norm, LARGE[str(norm)])
    near = threat.around(clips)
    limit = 0.5 * distance(model, clips, labels, norm)

    def overflowing(shown: torch.Tensor) -> torch.Tensor:
        origin = torch.cdist(shown.detach().flatten(1), clips.flatten(1)).argmin(1)
        size = near.narrow(origin).size(shown.detach()).float()
        return torch.where((size > limit[origin])[:, None], torch.nan, model(shown))

    result = search(threat, steps=100)(overflowing, clips, labels)
    assert result.success.all()
    found = sizes(threat, clips, result.clips)
    assert (found > limit).all()
    assert (found < 1.05 * limit).all()
