"""Residual 3D CNNs: one builder for R3D and ResNeXt-3D of any width and depth.

Module names follow 3D-ResNets (Hara, Kataoka, Satoh, CVPR 2018: ``conv1``, ``bn1``, ``layer1.0.conv1`` …, ``fc``), so
that weights of that family fit. Normalisation lives inside the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

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
        shortcut: where the shape changes, ``B`` projects by a 1×1×1 convolution, ``A`` takes every other position and
            pads the channels with zeros (He et al., CVPR 2016, section 3.3).
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
    shortcut: Literal["A", "B"] = "B"
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
        if self.block not in BLOCKS or self.shortcut not in ("A", "B"):
            raise InputError(
                f"block is one of {', '.join(BLOCKS)} and shortcut A or B, not {self.block!r} and {self.shortcut!r}."
            )


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
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, clips: Clips) -> Logits:
        """Logits ``B K`` of clips ``B 3 T H W`` in [0, 1]."""
        x = (clips - self.mean) / self.std
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return self.fc(self.avgpool(x).flatten(1))


STAGE_STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))

BASIC_DEPTHS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks of each stage where a block has two convolutions, by the depth in the name."""

BOTTLENECK_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
"""Blocks of each stage where a block has three."""


def small(classes: int) -> ResNet3dConfig:
    """The study's own network: one basic block a stage, 0.3 million parameters, for clips of about 8×24×24."""
    return ResNet3dConfig(classes)


def r3d(
    depth: int,
    classes: int,
    *,
    width: int = 64,
    shortcut: Literal["A", "B"] = "B",
    conv1_t_size: int = 7,
    conv1_t_stride: int = 1,
    no_max_pool: bool = False,
    layers: tuple[int, ...] | None = None,
) -> ResNet3dConfig:
    """R3D of a published depth (Hara et al., CVPR 2018, table 1), for clips of 16×112×112.

    Args:
        depth: 10, 18, 34 (basic blocks), 50, 101, 152 or 200 (bottlenecks).
        classes: number of classes.
        width: channels of the stem and planes of the first stage; 64 in the paper.
        shortcut: ``A`` in the published R3D-18 and R3D-34 of 2018, else ``B``.
        conv1_t_size, conv1_t_stride: kernel and stride in time of the stem.
        no_max_pool: leave out the max-pool after the stem.
        layers: blocks of each of the four stages, if not those of the depth.
    """
    blocks = BASIC_DEPTHS | BOTTLENECK_DEPTHS
    return ResNet3dConfig(
        classes,
        "basic" if depth in BASIC_DEPTHS else "bottleneck",
        tuple(layers or blocks[depth]),
        (width, 2 * width, 4 * width, 8 * width),
        STAGE_STRIDES,
        stem_width=width,
        stem_kernel=(conv1_t_size, 7, 7),
        stem_stride=(conv1_t_stride, 2, 2),
        pool=not no_max_pool,
        shortcut=shortcut,
    )


def resnext3d(
    depth: int,
    classes: int,
    *,
    width: int = 128,
    stem_width: int = 64,
    cardinality: int = 32,
    shortcut: Literal["A", "B"] = "B",
    conv1_t_size: int = 7,
    conv1_t_stride: int = 1,
    no_max_pool: bool = False,
    layers: tuple[int, ...] | None = None,
) -> ResNet3dConfig:
    """ResNeXt-3D of a published depth; depth 101 is the network of the slides, for 64×112×112.

    Args:
        depth: 50, 101, 152 or 200.
        classes: number of classes.
        width: planes of the first stage, a multiple of 32.
        stem_width: channels of the stem: 64 in 2018 and on the slides, 128 in the code of 2020.
        cardinality: groups of the middle convolution.
        shortcut, conv1_t_size, conv1_t_stride, no_max_pool, layers: as for :func:`r3d`.
    """
    return ResNet3dConfig(
        classes,
        "resnext",
        tuple(layers or BOTTLENECK_DEPTHS[depth]),
        (width, 2 * width, 4 * width, 8 * width),
        STAGE_STRIDES,
        stem_width=stem_width,
        stem_kernel=(conv1_t_size, 7, 7),
        stem_stride=(conv1_t_stride, 2, 2),
        pool=not no_max_pool,
        cardinality=cardinality,
        shortcut=shortcut,
    )


def r3d_18(classes: int, width: int = 64) -> ResNet3dConfig:
    """R3D-18 of any width (64 in the paper), for 16×112×112."""
    return r3d(18, classes, width=width)


def resnext3d_101(classes: int) -> ResNet3dConfig:
    """The 3D-ResNeXt-101 of the slides: cardinality 32, shortcut B, blocks 3-4-23-3, for 64×112×112."""
    return resnext3d(101, classes)


ARCHITECTURES: dict[str, Callable[..., ResNet3dConfig]] = {
    "r3d-small": small,
    **{f"r3d-{depth}": partial(r3d, depth) for depth in BASIC_DEPTHS | BOTTLENECK_DEPTHS},
    **{f"resnext3d-{depth}": partial(resnext3d, depth) for depth in BOTTLENECK_DEPTHS},
}
"""The names of our own networks that ``--model`` takes."""


def configured(name: str, classes: int, options: dict[str, object]) -> ResNet3dConfig:
    """The shape of a network by its name and options such as ``{"width": 32}``.

    Raises:
        InputError: no network has this name, or it has no such option.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"there is no model {name!r}. Choose one of: {', '.join(ARCHITECTURES)}.")
    try:
        return ARCHITECTURES[name](classes, **options)
    except TypeError as error:
        raise InputError(f"{name} cannot be built with {options}: {error}.") from error


def build(name: str, classes: int, seed: int = 0) -> ResNet3d:
    """A freshly initialised network by name; the global random state is left as it was.

    Raises:
        InputError: no network has this name.
    """
    return fresh(configured(name, classes, {}), seed)


def fresh(config: ResNet3dConfig, seed: int) -> ResNet3d:
    """A freshly initialised network; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet3d(config)
