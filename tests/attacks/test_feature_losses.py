"""Losses of features: against plain autograd, from text, under every gradient search, and without a trace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vidrobust as vr
from vidrobust.attacks.feature_losses import Dispersion, FeatureDisruption, FeatureLoss
from vidrobust.attacks.text import from_text
from vidrobust.errors import InputError, NotationError
from vidrobust.evaluation.fields import attack_text
from vidrobust.evaluation.transfer import MeanLogits

THREAT = vr.Threat(vr.Linf(), 8 / 255)


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 2 * 6 * 6, 5))


CLIPS, LABELS = torch.rand(3, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2])


def dispersion(features: Tensor) -> Tensor:
    flat = features.flatten(1)
    return -((flat - flat.mean(1, keepdim=True)) ** 2).sum(1).div(flat.shape[1] - 1).sqrt()


def disruption(features: Tensor) -> Tensor:
    """By loops over the numbers of each clip."""
    losses = []
    for clip in features:
        mean = clip.detach().mean(0)
        below = sum(clip[c][clip[c] < mean].pow(2).sum() for c in range(len(clip)))
        above = sum(clip[c][clip[c] >= mean].pow(2).sum() for c in range(len(clip)))
        losses.append(0.5 * (torch.as_tensor(below).log() - torch.as_tensor(above).log()))
    return torch.stack(losses)


@pytest.mark.parametrize(
    ("loss", "plain"), [(Dispersion("0"), dispersion), (FeatureDisruption("0"), disruption)], ids=["DR", "FDA"]
)
def test_steps_are_those_of_plain_autograd(model: nn.Sequential, loss: FeatureLoss, plain: Any) -> None:
    point = CLIPS
    for _ in range(4):
        free = point.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(plain(model[0](free)).sum(), free)
        point = (point + 2 / 255 * gradient.sign()).clamp(CLIPS - 8 / 255, CLIPS + 8 / 255).clamp(0, 1)
    attack = vr.PGD(THREAT, 2 / 255, steps=4, keep="last", loss=loss)
    found = attack(model, CLIPS, LABELS)
    assert torch.allclose(found.clips, point, atol=1e-6)
    assert torch.allclose(found.loss, plain(model[0](found.clips)), atol=1e-4)


@pytest.mark.parametrize(
    "search",
    [vr.PGD(THREAT, 2 / 255, 3), vr.PGD(THREAT, "auto", 2), vr.FGSM(THREAT), vr.APGD(THREAT, 5), vr.MIFGSM(THREAT, 3)],
    ids=["PGD", "PGD auto", "FGSM", "APGD", "MIFGSM"],
)
def test_every_search_raises_it_and_leaves_no_hook(model: nn.Sequential, search: Any) -> None:
    found = replace(search, loss=Dispersion("0"))(model, CLIPS, LABELS)
    before = -model[0](CLIPS).flatten(1).std(1)
    assert (found.loss[~found.success] > before[~found.success]).all()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_of_an_ensemble_the_layers_of_all_count(model: nn.Sequential) -> None:
    both = MeanLogits([model, nn.Sequential(nn.Conv3d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 2 * 6 * 6, 5))])
    found = vr.MIFGSM(THREAT, steps=1, alpha=2 / 255, loss=Dispersion("0"))(both, CLIPS, LABELS)
    wanted = sum(-part[0](found.clips).flatten(1).std(1) for part in both.models)  # type: ignore[index]
    assert torch.allclose(found.loss, wanted, atol=1e-5)


def test_a_text_names_layer_and_loss() -> None:
    text = "MIFGSM(ε=8,α=2,i=5,loss=Dispersion(layer='layer2'))"
    attack = from_text(text, None)
    assert attack.loss == Dispersion("layer2")
    assert from_text(attack_text(attack), None) == attack
    assert from_text("APGD(ε=8,loss=featuredisruption(layer=layer2))", None).loss == FeatureDisruption("layer2")
    with pytest.raises(NotationError, match="has no field 'depth'; it has: layer"):
        from_text("APGD(ε=8,loss=Dispersion(depth=2))", None)
    with pytest.raises(NotationError, match="unlike Dispersion"):
        from_text("TargetedAPGD(ε=8,loss=Dispersion(layer=a))", None)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda model: model, "no layer 'nine'; it has 0, 1, 2, 3"),
        (lambda model: lambda clips: model(clips), "function"),
    ],
    ids=["layer", "function"],
)
def test_what_cannot_be_watched_is_refused_in_words(model: nn.Sequential, made: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        vr.APGD(THREAT, 2, loss=Dispersion("nine"))(made(model), CLIPS, LABELS)


def test_outside_of_an_attack_there_are_no_features(model: nn.Sequential) -> None:
    with pytest.raises(InputError, match="no features of 3 clips"):
        Dispersion("0")(model(CLIPS), LABELS)
