"""Tracing leaves nothing in a model."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, fx, nn

from vidrobust.fast.inference import InferenceCopy, current_copy
from vidrobust.fast.segments import lean
from vidrobust.fast.tracing import traced
from vidrobust.fast.view import inference_view

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx


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


class Scaled(torch.autograd.Function):
    """Several inputs, of which one is a weight, one a number and one a word, and a gradient that is not the slope's."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, weight: Tensor, power: float, word: str) -> Tensor:
        assert word == "as given" and values.dtype == weight.dtype == torch.float32
        ctx.save_for_backward(weight)
        return values * weight**power

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradients[0] * -weight, None, None, None


class Quantised(Keeps):
    """Has a gradient although it rounds."""

    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(Straight.apply(clips * 7) / 7)


class Backwards(nn.Module):
    """Has a gradient that leads downhill, between layers that a copy runs in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.again = nn.Conv3d(3, 8, 3, padding=1), nn.Conv3d(8, 8, 3, padding=1)
        self.weight, self.head = nn.Parameter(torch.rand(8, 1, 1, 1) + 1), nn.Linear(8, 3)

    def forward(self, clips: Tensor) -> Tensor:
        features = Scaled.apply(self.conv(clips), self.weight, 2.0, "as given")
        features = Scaled.apply(self.again(Straight.apply(features * 16) / 16), self.weight, 1.0, "as given")
        return self.head(features.relu().mean((2, 3, 4)))


def gradient_of(call: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
    asked = clips.clone().requires_grad_(True)
    return torch.autograd.grad(call(asked)[:, 0].sum(), asked)[0]


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("kind", [Quantised, Backwards])
def test_a_gradient_of_ones_own_is_that_of_the_copy(kind: type[nn.Module], bf16: bool) -> None:
    torch.manual_seed(0)
    model, clips = kind().eval().requires_grad_(False), torch.rand(2, 3, 4, 8, 8)
    copied = InferenceCopy(model, bf16)
    assert "apply" in vars(torch.autograd.Function)
    wanted = gradient_of(model, clips)
    assert wanted.abs().max() > 0
    for call in (copied, copied.lean, inference_view(model, clips)):
        found = gradient_of(call, clips)
        assert torch.cosine_similarity(found.flatten(), wanted.flatten(), dim=0) > 0.98
    if not bf16:
        torch.testing.assert_close(gradient_of(copied, clips), wanted)


def test_a_copy_follows_weights_that_a_gradient_of_ones_own_uses() -> None:
    torch.manual_seed(0)
    model, clips = Backwards().eval().requires_grad_(False), torch.rand(2, 3, 4, 8, 8)
    copied = InferenceCopy(model, bf16=False)
    model.weight.data.mul_(3)
    copied.refresh(model)
    torch.testing.assert_close(gradient_of(copied, clips), gradient_of(model, clips))


class Nested(torch.autograd.Function):
    """Takes what no graph can hold."""

    @staticmethod
    def forward(ctx: object, values: Tensor, part: nn.Module) -> Tensor:
        return part(values)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class Holding(Keeps):
    """Gives a part of itself to a gradient of its own."""

    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(Nested.apply(clips, nn.Tanh()))


def test_what_a_graph_cannot_hold_leaves_the_model_itself_to_be_attacked() -> None:
    model, clips = Holding().eval().requires_grad_(False), torch.rand(2, 3, 4, 8, 8)
    assert current_copy(model, clips) is None
    torch.testing.assert_close(gradient_of(inference_view(model, clips), clips), gradient_of(model, clips))
