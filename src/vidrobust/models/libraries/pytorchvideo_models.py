"""Models of pytorchvideo's zoo (``slow_r50``, ``slowfast_r50``, ``x3d_s``, ``mvit_base_16x4``, …)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from vidrobust.errors import InputError
from vidrobust.models.adapters import Adapted, sampled
from vidrobust.models.libraries.optional import library
from vidrobust.models.spec import with_options

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.models.spec import Spec

MEAN, STD = 0.45, 0.225
"""By which the whole zoo normalises pixels in [0, 1], all channels alike."""

CLIPS = {
    "slow_r50": (8, 224),
    "c2d_r50": (8, 224),
    "i3d_r50": (8, 224),
    "csn_r101": (32, 224),
    "r2plus1d_r50": (16, 224),
    "slowfast_r50": (32, 224),
    "slowfast_r101": (32, 224),
    "slowfast_16x8_r101_50_50": (64, 224),
    "x3d_xs": (4, 160),
    "x3d_s": (13, 160),
    "x3d_m": (16, 224),
    "x3d_l": (16, 312),
    "mvit_base_16x4": (16, 224),
    "mvit_base_32x3": (32, 224),
}
"""Frames and crop of each model of the zoo."""

ALPHA = 4
"""SlowFast's slow pathway takes every fourth frame of the fast one (Feichtenhofer et al., ICCV 2019)."""


class TwoPathways(nn.Module):
    """A SlowFast network that takes one clip: the fast pathway gets it whole, the slow one a fourth of its frames."""

    adapts = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: Tensor) -> Tensor:
        return self.model([sampled(clips, max(1, clips.shape[2] // ALPHA)), clips])


def build_pytorchvideo(spec: Spec, classes: int | None) -> nn.Module:
    """A model of the zoo with fresh weights, which answers with logits.

    Several of the zoo's heads end in a softmax, whose gradients vanish: it is taken off. Options that are not about
    pixels go to the zoo's builder; clips are resized to the model's own size and length.

    Raises:
        InputError: pytorchvideo is not installed or has no such classifier.
    """
    zoo = library("pytorchvideo.models.hub", "pytorchvideo")
    if spec.name not in CLIPS or not hasattr(zoo, spec.name):
        raise InputError(f"pytorchvideo has no classifier {spec.name!r}. It has: {', '.join(CLIPS)}.")
    count = classes or 400
    builder = getattr(zoo, spec.name)
    try:
        model = builder(pretrained=False, **_class_argument(spec.name, count), **spec.others)
    except (TypeError, AssertionError) as error:
        raise InputError(f"{spec.text} cannot be built: {error}.") from error
    without_softmax(model)
    if spec.name.startswith("slowfast"):
        model = TwoPathways(model)
    frames, side = CLIPS[spec.name]
    wants = {"mean": MEAN, "std": STD, "size": side, "frames": frames}
    return Adapted(model, with_options(spec, wants), classes=count, spec=spec.text)


def _class_argument(name: str, count: int) -> dict[str, Any]:
    return {"head_num_classes" if name.startswith("mvit") else "model_num_class": count}


def without_softmax(model: nn.Module) -> None:
    """Let heads end in logits: modules called ``activation`` that are a softmax do nothing any more."""
    for part in model.modules():
        if isinstance(getattr(part, "activation", None), nn.Softmax):
            part.activation = nn.Identity()
