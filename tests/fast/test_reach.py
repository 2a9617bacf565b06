"""The reach of features in time: what arithmetic says is what gradients show."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vidrobust.fast.reach import averaged_features
from vidrobust.fast.tracing import traced


class Gated(nn.Module):
    """Squeeze and excitation: what averages over time is not all that its end sees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv3d(3, 4, 3), nn.AdaptiveAvgPool3d(1)

    def forward(self, clips: Tensor) -> Tensor:
        features = self.conv(clips)
        return (features * self.pool(features).sigmoid()).mean((2, 3, 4))


class Strided(nn.Module):
    """A shortcut of every second frame beside a convolution of stride 2, and a mean of colours."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 3, 3, (2, 1, 1), 1)
        self.register_buffer("mean", torch.rand(1, 3, 1, 1, 1))

    def forward(self, clips: Tensor) -> Tensor:
        clips = clips - self.mean
        return (self.conv(clips) + clips[:, :, ::2]).relu().mean(dim=[-1, -2, -3])


def ending(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten())


@st.composite
def windows(draw: st.DrawFn) -> list[nn.Module]:
    """Some convolutions and poolings in time, one behind the other."""
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        kernel, stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        padding = draw(st.integers(0, kernel // 2))
        if draw(st.booleans()):
            size = {"stride": (stride, 1, 1), "padding": (padding, 0, 0), "dilation": (dilation, 1, 1)}
            layers.append(nn.Conv3d(2, 2, (kernel, 1, 1), **size, dtype=torch.float64))  # type: ignore[arg-type]
        else:
            layers.append(nn.AvgPool3d((kernel, 1, 1), (stride, 1, 1), (padding, 0, 0)))
    return layers


@given(windows())
def test_a_feature_depends_on_the_frames_that_are_said(layers: list[nn.Module]) -> None:
    frames = 40
    body = nn.Sequential(*layers)
    found = averaged_features(traced(ending(*layers).eval()))
    assert found is not None
    _, reach = found
    clips = torch.rand(1, 2, frames, 1, 1, dtype=torch.float64, requires_grad=True)
    try:
        features = body(clips)
    except RuntimeError:  # too few frames for a kernel
        return
    assert features.shape[2] == reach.features(frames)
    for place in range(features.shape[2]):
        (gradient,) = torch.autograd.grad(features[:, :, place].sum(), clips, retain_graph=True)
        seen = gradient.abs().sum((0, 1, 3, 4)).nonzero().flatten().tolist()
        first, last = place * reach.stride - reach.before, place * reach.stride + reach.after
        assert all(first <= frame <= last for frame in seen)
        if features.shape[2] > 2 and 0 < place < features.shape[2] - 1 and first >= 0 and last < frames:
            assert {min(seen), max(seen)} == {first, last}


@pytest.mark.parametrize("same", ["same", "valid"])
def test_padding_by_name(same: str) -> None:
    found = averaged_features(traced(ending(nn.Conv3d(3, 4, 4, padding=same))))
    assert found is not None
    assert found[1].features(10) == (10 if same == "same" else 7)
    assert (found[1].before, found[1].after) == ((1, 2) if same == "same" else (0, 3))


def test_a_shortcut_of_every_second_frame() -> None:
    found = averaged_features(traced(Strided()))
    assert found is not None
    assert found[1] == (2, 1, 1, -1)


@pytest.mark.parametrize(
    "model",
    [
        Gated(),
        ending(nn.Conv3d(3, 4, 3), nn.GroupNorm(2, 4)),
        ending(nn.Conv3d(3, 4, 3), nn.InstanceNorm3d(4)),
        ending(nn.Conv3d(3, 4, 3, padding=1, padding_mode="circular")),
        ending(nn.BatchNorm3d(3).train()),
        ending(nn.MaxPool3d(2, ceil_mode=True)),
        ending(nn.ConvTranspose3d(3, 4, 3)),
        nn.Sequential(nn.Conv3d(3, 4, 3), nn.Flatten()),
        nn.Sequential(nn.AdaptiveAvgPool3d((2, 1, 1)), nn.Flatten()),
    ],
    ids=["gated", "group norm", "instance norm", "circular", "training", "ceiling", "transposed", "flat", "two"],
)
def test_what_may_look_at_any_frame_has_no_reach(model: nn.Module) -> None:
    assert averaged_features(traced(model)) is None
