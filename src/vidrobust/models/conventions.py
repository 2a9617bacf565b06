"""Checkpoints of 3D-ResNets: which network they hold, and which pixels it was trained on.

Three codes write files with the same names of layers and feed the networks different pixels:

- ``2018`` (Hara, Kataoka and Satoh, CVPR 2018: ``resnext-101-kinetics.pth``, ``resnext-101-64f-kinetics-…``): 0 … 255
  less the mean of ActivityNet, not divided;
- ``2020`` (Kataoka et al., arXiv 2004.04968: ``r3d50_K_200ep.pth``): [0, 1], less Kinetics' mean, by its deviation;
- ``slides`` (Kinfu and Vidal, arXiv 2206.07953, whose code continues that of 2020): [0, 1] as they are.

A fourth, ``own``, is that of a network of this library whose weights were saved without their description. The files do
not say which. What tells them apart is listed at :func:`recognise`, in order.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from vidrobust.errors import InputError, VidrobustWarning
from vidrobust.models.foreign import Checkpoint, fit_weights
from vidrobust.models.resnet3d import ResNet3d, fresh
from vidrobust.models.shapes import STAGE_STRIDES, ResNet3dConfig

if TYPE_CHECKING:
    from torch import Tensor

Convention = Literal["auto", "2018", "2020", "slides", "own"]

ChannelValues = tuple[float, float, float]


@dataclass(frozen=True)
class Normalisation:
    """Per-channel normalisation of pixels in [0, 1]."""

    mean: ChannelValues
    std: ChannelValues


PIXELS = {
    "2018": Normalisation((114.7748 / 255, 107.7354 / 255, 99.4750 / 255), (1 / 255, 1 / 255, 1 / 255)),
    "2020": Normalisation((0.4345, 0.4051, 0.3775), (0.2768, 0.2713, 0.2737)),
    "slides": Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "own": Normalisation(ResNet3dConfig.mean, ResNet3dConfig.std),
}
"""What each convention does to pixels in [0, 1] before the network."""

CLASSES_2020 = {700, 1039, 1139, 800, 339, 439}
"""Classes of Kinetics-700, Moments in Time, STAIR-Actions and their unions, on which only the code of 2020 trained."""


def is_resnet3d(checkpoint: Checkpoint) -> bool:
    """Do the names look like those of this family, or of a near relative?"""
    return {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "fc.weight"} <= set(checkpoint.tensors)


def shape_of(checkpoint: Checkpoint) -> ResNet3dConfig:
    """The network whose weights these are, read off the shapes.

    Strides and the max-pool have no weights; those of the published networks are assumed.

    Raises:
        InputError: a tensor that every network of the family has is missing or of an impossible shape.
    """
    tensors = checkpoint.tensors
    stem, head = _tensor(checkpoint, "conv1.weight", 5), _tensor(checkpoint, "fc.weight", 2)
    layers = tuple(_depth(tensors, stage) for stage in (1, 2, 3, 4))
    first = _tensor(checkpoint, "layer1.0.conv2.weight", 5)
    block, planes, cardinality = "basic", int(first.shape[0]), 32
    if "layer1.0.conv3.weight" in tensors:
        groups = int(first.shape[0] // first.shape[1])
        outputs = int(_tensor(checkpoint, "layer1.0.conv3.weight", 5).shape[0])
        block, planes = ("bottleneck", outputs // 4) if groups == 1 else ("resnext", outputs // 2)
        cardinality = groups if groups > 1 else 32
    projected = any(name.startswith("layer2.0.downsample.") for name in tensors)
    return ResNet3dConfig(
        int(head.shape[0]),
        block,  # type: ignore[arg-type]
        layers,
        (planes, 2 * planes, 4 * planes, 8 * planes),
        STAGE_STRIDES,
        stem_width=int(stem.shape[0]),
        stem_kernel=(int(stem.shape[2]), int(stem.shape[3]), int(stem.shape[4])),
        pool=True,
        cardinality=cardinality,
        shortcut="B" if projected else "A",
    )


def _tensor(checkpoint: Checkpoint, name: str, dimensions: int) -> Tensor:
    found = checkpoint.tensors.get(name)
    if found is None or found.ndim != dimensions:
        what = "is missing in it" if found is None else f"is {tuple(found.shape)} there"
        raise InputError(f"{checkpoint.path} holds no R3D or ResNeXt-3D: {name} {what}.")
    return found


def _depth(tensors: dict[str, Tensor], stage: int) -> int:
    depth = 0
    while f"layer{stage}.{depth}.conv1.weight" in tensors:
        depth += 1
    return max(1, depth)  # a stage that is missing altogether is named by its first tensor when it is fitted


def recognise(checkpoint: Checkpoint, config: ResNet3dConfig) -> str:
    """The convention of a checkpoint: ``2018``, ``2020`` or ``slides``.

    In order:

    - an entry ``generator`` or ``discriminator``, which the slides' code writes, empty or not;
    - a ResNeXt whose stem has 128 channels, or classes that only the networks of 2020 have;
    - an entry ``scheduler``, which the code of 2018 does not write; of a ResNeXt with a stem of 64 channels, which the
      code of 2020 cannot build, it means the slides;
    - names that begin with ``module.``, no counts of batches (PyTorch before 0.4.1) or shortcuts without weights: 2018.

    What is left, a bare state dictionary, is taken for what the published files of that network are, and a warning
    says so.
    """
    resnext = config.block == "resnext"
    if {"generator", "discriminator"} & set(checkpoint.entries):
        return "slides"
    if (resnext and config.stem_width == 128) or config.classes in CLASSES_2020:
        return "2020"
    if "scheduler" in checkpoint.entries:
        return "slides" if resnext else "2020"
    counted = any(name.endswith("num_batches_tracked") for name in checkpoint.tensors)
    if checkpoint.wrapped or not counted or config.shortcut == "A":
        return "2018"
    guess = "2018" if resnext else "2020"
    other = "slides" if resnext else "2018"
    warnings.warn(
        f"{checkpoint.path} does not say on which pixels it was trained: taken for a network of {guess}. "
        f'If it is not, say so: convention="{other}", or --convention {other}.',
        VidrobustWarning,
        stacklevel=4,
    )
    return guess


def import_resnet3d(
    checkpoint: Checkpoint,
    wanted: ResNet3dConfig | None = None,
    *,
    given: frozenset[str] = frozenset(),
    classes: int | None = None,
    new_head: bool = False,
    convention: Convention = "auto",
    seed: int = 0,
) -> ResNet3d:
    """The network of a 3D-ResNets checkpoint, with its normalisation inside.

    Args:
        checkpoint: the weights.
        wanted: the network asked for by name; without it, the one whose shapes the file has.
        given: which options of ``wanted`` were asked for by name; shortcut, stem and cardinality that were not are the
            file's.
        classes: number of classes, if not the file's.
        new_head: replace a head of another size.
        convention: which pixels; ``auto`` recognises it.
        seed: of a new head.

    Raises:
        InputError: the weights do not fit; the message has the first differing key and the shapes.
    """
    if convention not in ("auto", *PIXELS):
        raise InputError(f"convention is auto, {', '.join(PIXELS)}, not {convention!r}.")
    found = shape_of(checkpoint)
    config = found if wanted is None else _completed(wanted, found, given)
    pixels = PIXELS[recognise(checkpoint, found) if convention == "auto" else convention]
    config = replace(config, classes=classes or found.classes, mean=pixels.mean, std=pixels.std)
    model = fresh(config, seed)
    fit_weights(model, checkpoint, name=f"the {'-'.join(map(str, config.layers))} {config.block}", new_head=new_head)
    model.expects = (64 if "64f" in checkpoint.path.name else 16, 112)
    return model.eval()


def _completed(wanted: ResNet3dConfig, found: ResNet3dConfig, given: frozenset[str]) -> ResNet3dConfig:
    """The network asked for, with what its name leaves open taken from the file."""
    if "shortcut" not in given:
        wanted = replace(wanted, shortcut=found.shortcut)
    if "conv1_t_size" not in given:
        wanted = replace(wanted, stem_kernel=found.stem_kernel)
    if wanted.block == "resnext":
        if "stem_width" not in given:
            wanted = replace(wanted, stem_width=found.stem_width)
        if "cardinality" not in given and found.block == "resnext":
            wanted = replace(wanted, cardinality=found.cardinality)
    return wanted
