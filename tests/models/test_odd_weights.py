"""Weights of other types, frozen ones, constants that are no numbers, and answers beside the logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import vidrobust as vr


def clips(frames: int = 8, size: int = 24, count: int = 2) -> Tensor:
    return torch.rand(count, 3, frames, size, size, generator=torch.Generator().manual_seed(0))


def network(classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 4, 3, (1, 2, 2), 1), nn.BatchNorm3d(4), nn.ReLU(), nn.AdaptiveAvgPool3d(2), nn.Flatten(),
        nn.Linear(32, classes),
    ).eval()  # fmt: skip


class Trained(nn.Module):
    """A model that returns an auxiliary answer beside its logits while it is trained, and keeps a constant of −∞."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()
        self.register_buffer("causal", torch.full((2, 2), float("-inf")))

    def forward(self, x: torch.Tensor) -> object:
        logits = self.body(x)
        return (logits, 2 * logits) if self.training else logits


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_type_are_shown_clips_of_that_type(kind: torch.dtype) -> None:
    model, x = vr.adapt(network().to(kind).eval()), clips()
    logits = model(x)
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, network().eval()(x), atol=2e-2)
    attack = vr.PGD(vr.Threat(vr.Linf(), 8 / 255), 2 / 255, 3)
    assert attack(model, x, logits.argmax(1)).clips.dtype == torch.float32


def test_an_auxiliary_answer_a_constant_of_minus_infinity_and_frozen_weights_do_no_harm() -> None:
    plain, x = network().eval(), clips()
    attack = vr.PGD(vr.Threat(vr.Linf(), 8 / 255), 2 / 255, 3)
    odd = Trained()
    odd.body.load_state_dict(plain.state_dict())
    odd.requires_grad_(False)
    labels = plain(x).argmax(1)
    wanted = attack(plain, x, labels).clips
    for training in (False, True):
        model = vr.adapt(odd.train(training))
        differing = (attack(model, x, labels).clips - wanted).abs() > 1e-6
        assert differing.float().mean() < 0.01  # where a gradient is nearly zero its sign is a matter of rounding
        assert model.training == odd.training == training
