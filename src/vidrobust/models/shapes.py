"""The shapes of this library's own networks, by name: R3D and ResNeXt-3D of any width and depth. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from vidrobust.errors import InputError

Triple = tuple[int, int, int]

BLOCK_NAMES = ("basic", "bottleneck", "resnext")
"""Kinds of blocks."""


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
        counts = (*self.layers, *self.widths, self.stem_width, *self.stem_kernel, *self.stem_stride, self.cardinality)
        if not all(type(count) is int and count >= 1 for count in (*counts, *sum(self.strides, ()))):
            raise InputError(f"layers, widths, kernels and strides are whole numbers of at least 1: {self}.")
        if not len(self.layers) == len(self.widths) == len(self.strides):
            raise InputError(
                f"layers, widths and strides name the same stages, but have {len(self.layers)}, {len(self.widths)} "
                f"and {len(self.strides)} entries."
            )
        if self.block == "resnext" and any(width % 32 for width in self.widths):
            raise InputError(f"widths of a resnext must be multiples of 32, but are {self.widths}.")
        if self.block not in BLOCK_NAMES or self.shortcut not in ("A", "B"):
            raise InputError(
                f"block must be one of {', '.join(BLOCK_NAMES)} and shortcut A or B, "
                f"but they are {self.block!r} and {self.shortcut!r}."
            )


STAGE_STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))

BASIC_DEPTHS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks of each stage where a block has two convolutions, by the depth in the name."""

BOTTLENECK_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
"""Blocks of each stage where a block has three."""


def small(classes: int) -> ResNet3dConfig:
    """The study's own network: one basic block per stage, 0.3 million parameters, for clips of about 8×24×24."""
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
