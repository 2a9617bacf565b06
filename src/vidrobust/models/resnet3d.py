"""Residual 3D CNNs: one builder for R3D and ResNeXt-3D of any width and depth.

Module names follow 3D-ResNets (Hara, Kataoka, Satoh, CVPR 2018: ``conv1``, ``bn1``, ``layer1.0.conv1`` …, ``fc``), so
that weights of that family fit. Normalisation lives inside the model.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from vidrobust.models.shapes import ResNet3dConfig, Triple

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor, Logits


def conv(inputs: int, outputs: int, kernel: Triple, stride: Triple = (1, 1, 1), groups: int = 1) -> nn.Conv3d:
    """A convolution without bias, padded so that stride 1 keeps the size."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


class Basic(nn.Module):
    """Two 3×3×3 convolutions around a shortcut (He et al., CVPR 2016, figure 2)."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: Triple, config: ResNet3dConfig) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, planes, (3, 3, 3), stride), nn.BatchNorm3d(planes)
        self.conv2, self.bn2 = conv(planes, planes, (3, 3, 3)), nn.BatchNorm3d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, planes, stride, config.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + self.downsample(x))


class Bottleneck(nn.Module):
    """1×1×1, 3×3×3, 1×1×1 around a shortcut; in a ResNeXt the middle one has groups (Xie et al., CVPR 2017)."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: Triple, config: ResNet3dConfig) -> None:
        super().__init__()
        middle, groups = self.middle(planes, config.cardinality)
        outputs = planes * self.expansion
        self.conv1, self.bn1 = conv(inputs, middle, (1, 1, 1)), nn.BatchNorm3d(middle)
        self.conv2, self.bn2 = conv(middle, middle, (3, 3, 3), stride, groups), nn.BatchNorm3d(middle)
        self.conv3, self.bn3 = conv(middle, outputs, (1, 1, 1)), nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, outputs, stride, config.shortcut)

    @staticmethod
    def middle(planes: int, cardinality: int) -> tuple[int, int]:
        """Channels and groups of the middle convolution."""
        return planes, 1

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + self.downsample(x))


class ResNeXt(Bottleneck):
    """The bottleneck of 3D-ResNeXt: grouped, and expanding by 2."""

    expansion = 2

    @staticmethod
    def middle(planes: int, cardinality: int) -> tuple[int, int]:
        return cardinality * (planes // 32), cardinality


BLOCKS: dict[str, type[Basic] | type[Bottleneck]] = {"basic": Basic, "bottleneck": Bottleneck, "resnext": ResNeXt}


class Padded(nn.Module):
    """Shortcut A: every ``stride``-th position, and zeros for the channels that are new.

    The original takes the shortcut's values out of the graph (``out.data``), so that its input gradients are not those
    of its logits; here the gradient is whole.
    """

    def __init__(self, inputs: int, outputs: int, stride: Triple) -> None:
        super().__init__()
        self.stride, self.new = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        t, h, w = self.stride
        return F.pad(x[:, :, ::t, ::h, ::w], (0, 0, 0, 0, 0, 0, 0, self.new))


def shortcut(inputs: int, outputs: int, stride: Triple, kind: str) -> nn.Module:
    """Identity, or where the shape changes a projection (``B``) or zeros (``A``)."""
    if inputs == outputs and stride == (1, 1, 1):
        return nn.Identity()
    if kind == "A":
        return Padded(inputs, outputs, stride)
    return nn.Sequential(conv(inputs, outputs, (1, 1, 1), stride), nn.BatchNorm3d(outputs))


class ResNet3d(nn.Module):
    """A residual 3D CNN from clips in [0, 1] to logits.

    >>> model = ResNet3d(ResNet3dConfig(classes=10))
    >>> model(torch.rand(2, 3, 8, 24, 24)).shape
    torch.Size([2, 10])
    """

    mean: Tensor
    std: Tensor
    expects: tuple[int, int] | None = None
    """Frames and size of the clips that its weights were trained on, if these are known; it takes any."""

    def __init__(self, config: ResNet3dConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1, 1), persistent=False)
        self.conv1 = conv(3, config.stem_width, config.stem_kernel, config.stem_stride)
        self.bn1 = nn.BatchNorm3d(config.stem_width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1) if config.pool else nn.Identity()
        block, inputs = BLOCKS[config.block], config.stem_width
        self.stages = [f"layer{number}" for number in range(1, len(config.layers) + 1)]
        for name, depth, planes, stride in zip(self.stages, config.layers, config.widths, config.strides, strict=True):
            stage: list[nn.Module] = []
            for index in range(depth):
                stage.append(block(inputs, planes, stride if index == 0 else (1, 1, 1), config))
                inputs = planes * block.expansion
            self.add_module(name, nn.Sequential(*stage))
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(inputs, config.classes)
        self._initialise()

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.config.classes

    @property
    def described(self) -> dict[str, Any]:
        """What a weights file says of the model, so that it can be built again."""
        return asdict(self.config)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d) and not module.weight.is_meta:  # a normal draw there imports a compiler
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, clips: ClipTensor) -> Logits:
        """Logits ``B K`` of clips ``B 3 T H W`` in [0, 1]."""
        x = (clips - self.mean) / self.std
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return self.fc(self.avgpool(x).flatten(1))


def fresh(config: ResNet3dConfig, seed: int) -> ResNet3d:
    """A freshly initialised network; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet3d(config)
