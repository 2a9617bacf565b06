"""Residual 3D CNNs: one builder for R3D and ResNeXt-3D of any width and depth.

Module names follow 3D-ResNets (Hara, Kataoka, Satoh, CVPR 2018: ``conv1``, ``bn1``, ``layer1.0.conv1`` …, ``fc``), so
that weights of that family fit. Normalisation lives inside the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import Clips, Logits

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class ResNet3dConfig:
    """The shape of a residual 3D CNN.

    Attributes:
        classes: number of classes, at least 2.
        block: ``basic`` (two 3×3×3), ``bottleneck`` (1-3-1, ×4) or ``resnext`` (1-3-1 with groups, ×2).
        layers: blocks in each stage.
        widths: planes of each stage (``resnext``: before the expansion by 2).
        strides: stride of each stage, time × height × width.
        stem_width: channels of the stem.
        stem_kernel, stem_stride: of the stem's convolution.
        pool: is there a 3×3×3 max-pool of stride 2 after the stem.
        cardinality: groups of a ``resnext`` block.
        mean, std: per-channel normalisation of pixels in [0, 1].
    """

    classes: int
    block: Literal["basic", "bottleneck", "resnext"] = "basic"
    layers: tuple[int, ...] = (1, 1, 1)
    widths: tuple[int, ...] = (16, 32, 64)
    strides: tuple[Triple, ...] = ((1, 1, 1), (2, 2, 2), (1, 2, 2))
    stem_width: int = 16
    stem_kernel: Triple = (3, 5, 5)
    stem_stride: Triple = (1, 2, 2)
    pool: bool = False
    cardinality: int = 32
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise InputError(f"a classifier needs at least 2 classes, not {self.classes}.")
        if not len(self.layers) == len(self.widths) == len(self.strides):
            raise InputError(
                f"layers, widths and strides name the same stages, but have {len(self.layers)}, {len(self.widths)} "
                f"and {len(self.strides)} entries."
            )
        if self.block == "resnext" and any(width % 32 for width in self.widths):
            raise InputError(f"widths of a resnext must be multiples of 32, but are {self.widths}.")


def conv(inputs: int, outputs: int, kernel: Triple, stride: Triple = (1, 1, 1), groups: int = 1) -> nn.Conv3d:
    """A convolution without bias, padded so that stride 1 keeps the size."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


class Basic(nn.Module):
    """Two 3×3×3 convolutions around a shortcut (He et al., CVPR 2016, figure 2)."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: Triple, cardinality: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, planes, (3, 3, 3), stride), nn.BatchNorm3d(planes)
        self.conv2, self.bn2 = conv(planes, planes, (3, 3, 3)), nn.BatchNorm3d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + self.downsample(x))


class Bottleneck(nn.Module):
    """1×1×1, 3×3×3, 1×1×1 around a shortcut; in a ResNeXt the middle one has groups (Xie et al., CVPR 2017)."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: Triple, cardinality: int) -> None:
        super().__init__()
        middle, groups = self.middle(planes, cardinality)
        outputs = planes * self.expansion
        self.conv1, self.bn1 = conv(inputs, middle, (1, 1, 1)), nn.BatchNorm3d(middle)
        self.conv2, self.bn2 = conv(middle, middle, (3, 3, 3), stride, groups), nn.BatchNorm3d(middle)
        self.conv3, self.bn3 = conv(middle, outputs, (1, 1, 1)), nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(inputs, outputs, stride)

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


def shortcut(inputs: int, outputs: int, stride: Triple) -> nn.Module:
    """Identity, or a projection where the shape changes (shortcut B)."""
    if inputs == outputs and stride == (1, 1, 1):
        return nn.Identity()
    return nn.Sequential(conv(inputs, outputs, (1, 1, 1), stride), nn.BatchNorm3d(outputs))


class ResNet3d(nn.Module):
    """A residual 3D CNN from clips in [0, 1] to logits.

    >>> model = ResNet3d(ResNet3dConfig(classes=10))
    >>> model(torch.rand(2, 3, 8, 24, 24)).shape
    torch.Size([2, 10])
    """

    mean: Tensor
    std: Tensor

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
                stage.append(block(inputs, planes, stride if index == 0 else (1, 1, 1), config.cardinality))
                inputs = planes * block.expansion
            self.add_module(name, nn.Sequential(*stage))
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(inputs, config.classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, clips: Clips) -> Logits:
        """Logits ``B K`` of clips ``B 3 T H W`` in [0, 1]."""
        x = (clips - self.mean) / self.std
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return self.fc(self.avgpool(x).flatten(1))


def small(classes: int) -> ResNet3dConfig:
    """The study's own network: one basic block a stage, 0.3 million parameters, for clips of about 8×24×24."""
    return ResNet3dConfig(classes)


STAGE_STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))


def r3d_18(classes: int, width: int = 64) -> ResNet3dConfig:
    """R3D-18 of any width (64 in the paper), for 16×112×112."""
    widths = (width, 2 * width, 4 * width, 8 * width)
    return ResNet3dConfig(
        classes, "basic", (2, 2, 2, 2), widths, STAGE_STRIDES, stem_width=width, stem_kernel=(7, 7, 7), pool=True
    )


def resnext3d_101(classes: int) -> ResNet3dConfig:
    """The 3D-ResNeXt-101 of the slides: cardinality 32, shortcut B, blocks 3-4-23-3, for 64×112×112."""
    return ResNet3dConfig(
        classes,
        "resnext",
        (3, 4, 23, 3),
        (128, 256, 512, 1024),
        STAGE_STRIDES,
        stem_width=64,
        stem_kernel=(7, 7, 7),
        pool=True,
        cardinality=32,
    )


ARCHITECTURES = {"r3d-small": small, "r3d-18": r3d_18, "resnext3d-101": resnext3d_101}
"""The names that ``--model`` takes."""


def build(arch: str, classes: int, seed: int = 0) -> ResNet3d:
    """A freshly initialised model by name; the global random state is left as it was.

    Raises:
        InputError: no architecture has this name.
    """
    if arch not in ARCHITECTURES:
        raise InputError(f"there is no model {arch!r}. Choose one of: {', '.join(ARCHITECTURES)}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet3d(ARCHITECTURES[arch](classes))
