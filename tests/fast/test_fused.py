"""Fused convolutions, with cuDNN's calls spelled out on the CPU: which are found, and that nothing else changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidrobust.fast.fused import FusedConv, fuse
from vidrobust.fast.inference import InferenceCopy
from vidrobust.models.resnet3d import ResNet3d, ResNet3dConfig


@pytest.fixture(autouse=True)
def _spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def relu(x: Tensor, w: Tensor, b: Tensor, stride: object, padding: object, dilation: object, groups: int) -> Tensor:
        return F.conv3d(x, w, b, stride, padding, dilation, groups).relu()

    def add_relu(x: Tensor, w: Tensor, z: Tensor, alpha: float, b: Tensor, *how: object) -> Tensor:
        stride, padding, dilation, groups = how
        return (F.conv3d(x, w, b, stride, padding, dilation, groups) + alpha * z).relu()

    monkeypatch.setattr(torch, "cudnn_convolution_relu", relu)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", add_relu)


def asked(call: object, clips: Tensor) -> tuple[Tensor, Tensor]:
    point = clips.clone().requires_grad_(True)
    logits = call(point)
    return logits.detach(), torch.autograd.grad(logits.square().sum(), point)[0]


@pytest.mark.parametrize("cardinality", [1, 4])
def test_a_fused_copy_answers_as_the_plain_one(cardinality: int) -> None:
    torch.manual_seed(0)
    block = "resnext" if cardinality > 1 else "basic"
    config = ResNet3dConfig(5, block, widths=(32, 32, 64), stem_width=8, cardinality=cardinality)
    model = ResNet3d(config).eval()
    clips = torch.rand(3, 3, 4, 12, 12)
    plain, fused = InferenceCopy(model, bf16=True), InferenceCopy(model, bf16=True, fused=True)
    parts = [part for part in fused.graph.modules() if isinstance(part, FusedConv)]
    blocks = sum(len(layer) for layer in (model.layer1, model.layer2, model.layer3))
    assert len(parts) == (0 if cardinality > 1 else 2 * blocks)  # neither groups nor 1×1×1, nor the unshuffled stem
    for one, other in zip(asked(fused, clips), asked(plain, clips), strict=True):
        assert (one - other).abs().max() <= 0.02 * other.abs().max()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    for copied in (plain, fused):
        copied.refresh(model)
    for one, other in zip(asked(fused, clips), asked(plain, clips), strict=True):
        assert (one - other).abs().max() <= 0.02 * other.abs().max()


def test_what_is_used_twice_or_has_no_rectifier_stays() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.relu = nn.Conv3d(3, 3, 1), nn.Conv3d(3, 3, 1), nn.ReLU()

        def forward(self, clips: Tensor) -> Tensor:
            seen = self.one(clips)
            return (self.relu(seen) + seen + self.two(clips)).mean((2, 3, 4))

    model = Odd().eval()
    copied = InferenceCopy(model, bf16=False, fused=True)
    clips = torch.rand(2, 3, 2, 4, 4)
    torch.testing.assert_close(copied(clips), model(clips))
    assert fuse(copied.graph) == 0
