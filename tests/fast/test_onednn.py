"""Convolutions of shapes that oneDNN computes wrongly in bfloat16 are right, by whatever way they are asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidrobust.fast.frozen import FrozenConv
from vidrobust.fast.inference import InferenceCopy
from vidrobust.fast.onednn import lowered, right_dtype
from vidrobust.fast.segments import Segmented
from vidrobust.fast.tracing import traced
from vidrobust.training.distributed import World
from vidrobust.training.learner import Learner

CPU = torch.device("cpu")


class Shape(NamedTuple):
    """A convolution that PyTorch 2.13 computes wrongly on a processor with AMX."""

    sizes: tuple[int, ...]
    channels: int
    out: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...] = (1, 1, 1)
    groups: int = 1

    def conv(self) -> nn.Module:
        kind = {2: nn.Conv2d, 3: nn.Conv3d}[len(self.sizes)]
        window: Any = (self.kernel, self.stride, self.padding, self.dilation[: len(self.sizes)], self.groups)
        return kind(self.channels, self.out, *window).requires_grad_(False)

    def clips(self) -> Tensor:
        return torch.randn(3, self.channels, *self.sizes)


SHAPES = {
    "one column of outputs, natural padding": Shape((4, 9, 1), 1, 2, (3, 1, 3), (3, 1, 2), (1, 0, 1)),
    "one column of outputs, many channels": Shape((3, 11, 2), 32, 8, (1, 1, 3), (2, 3, 2), (0, 0, 1)),
    "one column of outputs, groups": Shape((9, 10, 2), 32, 16, (1, 3, 3), (1, 1, 3), (0, 1, 1), groups=8),
    "one column of outputs in two dimensions": Shape((9, 4), 16, 8, (1, 3), (1, 3), (0, 0)),
    "one frame under an RGB stem": Shape((1, 12, 12), 3, 16, (3, 5, 5), (1, 2, 2), (1, 2, 2)),
    "one frame under a dilated kernel": Shape((1, 9, 3), 1, 24, (3, 3, 3), (2, 2, 1), (2, 1, 1), (2, 1, 1)),
    "padding beyond half a kernel": Shape((7, 4, 8), 48, 2, (1, 2, 1), (3, 1, 1), (0, 3, 0), (1, 3, 1)),
    "a dilated kernel over padding": Shape((7, 4, 8), 48, 2, (1, 3, 1), (3, 1, 1), (0, 3, 0), (1, 3, 1)),
    "outputs that see padding alone": Shape((2, 2, 2), 3, 4, (2, 2, 2), (1, 1, 1), (1, 1, 1), (3, 3, 3)),
}
ALL = pytest.mark.parametrize("shape", list(SHAPES.values()), ids=list(SHAPES))


def exact(conv: Any, clips: Tensor) -> Tensor:
    """By PyTorch in float64."""
    window = (conv.stride, conv.padding, conv.dilation, conv.groups)
    convolve = F.conv3d if clips.ndim == 5 else F.conv2d
    return convolve(clips.double(), conv.weight.double(), conv.bias.double(), *window).float()


def is_close(found: Tensor, wanted: Tensor) -> bool:
    """Up to bfloat16's rounding of the factors and of the output?"""
    return bool((found.float() - wanted).norm() <= 0.05 * wanted.norm())


@ALL
def test_a_cpu_convolves_it_in_wider_numbers(shape: Shape) -> None:
    window = (shape.stride, shape.padding, shape.dilation[: len(shape.sizes)])
    weight = (shape.out, shape.channels // shape.groups, *shape.kernel)
    assert right_dtype(torch.bfloat16, shape.sizes, weight, *window) in (torch.float32, torch.float64)
    usual = (torch.bfloat16, (8, 12, 12), (8, 8, 3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1))
    assert right_dtype(*usual) == torch.bfloat16


@ALL
def test_it_is_right_under_autocast(shape: Shape) -> None:
    conv, clips = shape.conv(), shape.clips()
    with lowered(CPU, bf16=True):
        found = conv(clips)
    assert found.dtype == torch.bfloat16
    assert is_close(found, exact(conv, clips))


@pytest.mark.parametrize("shape", [shape for shape in SHAPES.values() if len(shape.sizes) == 3])
def test_it_and_its_gradient_are_right_in_a_copy(shape: Shape) -> None:
    conv, clips = shape.conv(), shape.clips().requires_grad_(True)
    wanted = exact(conv, clips)
    weights = torch.randn(wanted.shape)
    (slope,) = torch.autograd.grad(wanted, clips, weights)
    leaf = clips.detach().bfloat16().requires_grad_(True)
    found = FrozenConv(conv.bfloat16())(leaf)  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(found, leaf, weights.bfloat16())
    assert is_close(found, wanted)
    assert is_close(gradient, slope)


@pytest.mark.parametrize(
    ("padding", "kernel", "stride", "sizes"),
    [
        ({"padding": "same"}, (3, 3, 3), (1, 1, 1), (1, 9, 9)),
        ({"padding": "valid"}, (1, 3, 3), (1, 1, 2), (4, 9, 4)),
        ({"padding": 1, "padding_mode": "circular"}, (1, 3, 3), (1, 1, 2), (4, 9, 2)),
    ],
    ids=lambda value: str(value),
)
def test_it_is_right_however_it_pads(padding: Any, kernel: Any, stride: Any, sizes: tuple[int, ...]) -> None:
    conv = nn.Conv3d(3, 16, kernel, stride, **padding).requires_grad_(False)
    clips = torch.randn(3, 3, *sizes)
    with lowered(CPU, bf16=True):
        found = conv(clips)
    assert is_close(found, conv.double()(clips.double()).float())


class OneColumn(nn.Module):
    """A network whose last convolution has one column of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, 16, 3, padding=1), nn.Tanh(), nn.Conv3d(16, 16, 3, (1, 1, 2), 1))
        self.head = nn.Linear(16, 4)

    def forward(self, clips: Tensor) -> Tensor:
        return self.head(self.body(clips).tanh().mean((2, 3, 4)))


def gradient_of(weight: nn.Parameter) -> Tensor:
    """A copy of it."""
    assert weight.grad is not None
    return weight.grad.clone()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_training_step_and_its_repetition_are_right(checkpointing: bool) -> None:
    model, clips = OneColumn(), torch.randn(4, 3, 6, 8, 2)
    wanted = model(clips)
    wanted.square().sum().backward()
    slopes = [gradient_of(part) for part in model.parameters()]
    model.zero_grad()
    found = Learner(model, World(), torch.bfloat16, "auto", checkpointing).run(model, clips)
    found.float().square().sum().backward()
    assert is_close(found.detach(), wanted.detach())
    assert all(
        is_close(part.grad, slope)
        for part, slope in zip(model.parameters(), slopes, strict=True)
        if part.grad is not None
    )


def test_the_segments_of_a_copy_repeat_what_they_gave() -> None:
    model, clips = OneColumn().requires_grad_(False), torch.randn(2, 3, 6, 8, 2, requires_grad=True)
    wanted = model(clips)
    (slope,) = torch.autograd.grad(wanted.square().sum(), clips)
    with lowered(CPU, bf16=True):
        found = Segmented(traced(model), clips[:1].detach(), False)(clips)
    (gradient,) = torch.autograd.grad(found.float().square().sum(), clips)
    assert is_close(found, wanted)
    assert is_close(gradient, slope)


class Functional(OneColumn):
    """The same, called as functions, after a two-dimensional one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, clips: Tensor) -> Tensor:
        frames = self.first(clips.transpose(1, 2).flatten(0, 1)).unflatten(0, (-1, clips.shape[2])).transpose(1, 2)
        conv = self.body[2]
        features = F.conv3d(self.body[0](frames).tanh(), conv.weight, conv.bias, (1, 1, 2), 1)
        return self.head(features.tanh().mean((2, 3, 4)))


@pytest.mark.parametrize("kind", [OneColumn, Functional])
def test_a_whole_copy_is_right_on_clips_it_was_not_checked_on(kind: type[nn.Module]) -> None:
    model = kind().eval().requires_grad_(False)
    copied = InferenceCopy(model, bf16=True)  # whatever the processor
    clips = torch.randn(2, 3, 6, 8, 2)
    assert is_close(copied(clips), model(clips))
