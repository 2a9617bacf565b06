"""Tracing leaves nothing in a model."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from vidrobust.fast.inference import InferenceCopy
from vidrobust.fast.segments import lean
from vidrobust.fast.tracing import traced
from vidrobust.fast.view import inference_view


class Keeps(nn.Module):
    """Keeps the features of its last call, and a mask for the next one, as many published models do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv3d(3, 4, 3, padding=1), nn.Linear(4, 3)
        self.mask: Tensor | None = None
        self.masks: dict[str, Tensor] = {}
        self.seen: list[Tensor] = []

    def forward(self, clips: Tensor) -> Tensor:
        self.features = self.conv(clips).relu()
        if self.mask is None:
            self.mask = self.features.mean(0, keepdim=True) * 0 + 1
            self.masks["mask"] = self.mask
            self.seen.append(self.mask)
        return self.head((self.features * self.mask).mean((2, 3, 4)))


USERS: dict[str, Callable[[nn.Module], object]] = {
    "graph": traced,
    "copy": lambda model: InferenceCopy(model, bf16=False),
    "segments": lambda model: lean(model, torch.rand(1, 3, 4, 8, 8)),
}


@pytest.mark.parametrize("name", USERS)
def test_a_model_that_keeps_tensors_is_left_without_those_of_the_tracer(name: str) -> None:
    model = Keeps().eval().requires_grad_(False)
    USERS[name](model)
    kept = [model.mask, getattr(model, "features", None), *model.masks.values(), *model.seen]
    assert not any(isinstance(tensor, fx.Proxy) for tensor in kept)
    assert model(torch.rand(2, 3, 4, 8, 8)).shape == (2, 3)


class DrawsOnce(Keeps):
    """Draws numbers that tracing would write into the graph."""

    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(clips * random.random())


def test_a_model_that_draws_while_it_is_traced_is_refused() -> None:
    with pytest.raises(RuntimeError, match="random numbers were drawn"):
        traced(DrawsOnce().eval())


class Straight(torch.autograd.Function):
    """Rounds, and passes gradients straight through."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return values.round()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return gradients[0]


class Quantised(Keeps):
    """Has a gradient although it rounds."""

    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(Straight.apply(clips * 7) / 7)


def test_a_gradient_of_ones_own_is_not_lost() -> None:
    model, clips = Quantised().eval().requires_grad_(False), torch.rand(2, 3, 4, 8, 8)
    with pytest.raises(RuntimeError, match="Straight has a gradient of its own"):
        traced(model)
    assert "apply" in vars(torch.autograd.Function)
    for view in (inference_view(model, clips), model):
        asked = clips.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(view(asked)[:, 0].sum(), asked)
        assert gradient.abs().max() > 0
