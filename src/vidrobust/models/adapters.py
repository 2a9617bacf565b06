"""Anybody's model as ours: clips ``B C T H W`` in [0, 1] in, logits ``B K`` out.

What a model wants of its pixels (other frames, another size, 0 … 255, a mean and a deviation, another order of the
axes) happens inside :class:`Adapted`, differentiably, so that ε is measured on the clip as it is shown to people.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from vidrobust.errors import InputError, VidrobustWarning
from vidrobust.models.pixels import AXES, Pixels, pixels

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor, Logits


@fx.wrap
def sampled(clips: Tensor, frames: int) -> Tensor:
    """``frames`` frames of ``B C T H W`` clips, evenly spaced and rounded down, the first and the last among them."""
    if clips.shape[2] == frames:
        return clips
    last = clips.shape[2] - 1
    chosen = [last // 2] if frames == 1 else [index * last // (frames - 1) for index in range(frames)]
    return clips.index_select(2, torch.tensor(chosen, device=clips.device))


@fx.wrap
def resized(clips: Tensor, height: int, width: int) -> Tensor:
    """``B C T H W`` clips at another size: bilinear, antialiased, differentiable."""
    batch, channels, frames, old_height, old_width = clips.shape
    if (old_height, old_width) == (height, width):
        return clips
    flat = clips.transpose(1, 2).reshape(batch * frames, channels, old_height, old_width)
    small = F.interpolate(flat, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return small.reshape(batch, frames, channels, height, width).transpose(1, 2)


@fx.wrap
def logits_of(output: Any) -> Tensor:
    """The logits in what a model returns: a tensor, an object or a dictionary with ``logits``, the first of several."""
    if torch.is_tensor(output):
        return _real(output)
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if found is None and isinstance(output, tuple | list) and output:
        found = output[0]
    if not torch.is_tensor(found):
        raise InputError(
            f"the model returns a {type(output).__name__} without logits: wrap it so that it returns them."
        )
    return _real(found)


def _real(logits: Tensor) -> Tensor:
    if logits.is_complex():
        raise InputError("the model gives complex numbers, of which none is the largest: return real logits.")
    return logits.float()


class Adapted(nn.Module):
    """A model behind what it wants of its pixels.

    Attributes:
        model: the model as it came.
        pixels: what it wants.
        classes: number of classes, if known.
        spec: the text that builds ``model`` again, or None.
        expects: frames and size of the clips that suit it, if these are known.
    """

    mean: Tensor
    std: Tensor
    adapts = True

    def __init__(
        self,
        model: nn.Module,
        wants: Pixels,
        *,
        classes: int | None = None,
        spec: str | None = None,
        expects: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.pixels, self.classes, self.spec = model, wants, classes, spec
        known = wants.frames is not None and wants.size is not None and wants.size[0] == wants.size[1]
        self.expects = (wants.frames, wants.size[0]) if known and wants.size and wants.frames else expects
        for name in ("mean", "std"):
            values = torch.tensor(getattr(wants, name)).view(1, -1, 1, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self._plain = (set(wants.mean), set(wants.std), wants.scale) == ({0.0}, {1.0}, 1.0)
        self._order = tuple(AXES.index(axis) for axis in wants.layout)
        self._keyword = video_keyword(model)
        self.training = model.training

    @property
    def described(self) -> dict[str, Any]:
        """What a weights file says of the model, so that it can be built again."""
        return {"spec": self.spec, "classes": self.classes, "pixels": asdict(self.pixels)}

    def preprocess(self, clips: ClipTensor) -> Tensor:
        """What the model is shown of clips ``B C T H W`` in [0, 1]."""
        wants = self.pixels
        if wants.frames is not None:
            clips = sampled(clips, wants.frames)
        if wants.size is not None:
            clips = resized(clips, *wants.size)
        if not self._plain:
            clips = (clips * wants.scale - self.mean) / self.std
        return clips if wants.layout == AXES else clips.permute(*self._order)

    def forward(self, clips: ClipTensor) -> Logits:
        """Logits ``B K``, float32, of clips ``B C T H W`` in [0, 1], whatever the type of the model's weights."""
        adapted, kind = self.preprocess(clips), weights_type(self.model)
        if kind is not torch.float32:
            adapted = adapted.to(kind)
        output = self.model(**{self._keyword: adapted}) if self._keyword else self.model(adapted)
        return logits_of(output)


def weights_type(model: nn.Module) -> torch.dtype:
    """The type of a model's weights, which its input must have: float32 if it has none.

    >>> weights_type(nn.Linear(2, 2).half())
    torch.float16
    """
    kinds = (weight.dtype for weight in model.parameters())
    return next((kind for kind in kinds if kind.is_floating_point), torch.float32)


def video_keyword(model: nn.Module) -> str | None:
    """The name by which a model of transformers takes clips: ``pixel_values`` or ``pixel_values_videos``."""
    try:
        taken = inspect.signature(model.forward).parameters
    except (TypeError, ValueError):
        return None
    return next((name for name in ("pixel_values_videos", "pixel_values") if name in taken), None)


def adapt(
    model: nn.Module,
    *,
    layout: str | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    scale: float = 1.0,
    size: int | Sequence[int] | None = None,
    frames: int | None = None,
    classes: int | None = None,
) -> Adapted:
    """Any video classifier as a model of this library: clips ``B C T H W`` in [0, 1] to logits.

    Args:
        model: from clips as it wants them to logits, or to an object that has ``.logits``.
        layout: its order of the axes; by default ``BTCHW`` for models of transformers, else ``BCTHW``.
        mean, std: what its pixels are normalised by, per channel; nothing if it normalises them itself.
        scale: 255 if it takes pixels of 0 … 255; ``mean`` and ``std`` are then in these units.
        size: height and width that it takes; clips of another size are resized inside.
        frames: frames that it takes; of longer or shorter clips as many are taken, evenly.
        classes: number of classes, if it should be known without running it.

    Returns:
        The model, in the mode (training or evaluation) it was in. :func:`vidrobust.models.self_test` tells whether the
        settings are right.

    Raises:
        InputError: a value is out of its range.

    >>> per_frame = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 6 * 6, 5))
    >>> model = adapt(per_frame, layout="BTCHW", mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25], size=6, frames=4)
    >>> model(torch.rand(2, 3, 16, 24, 24)).shape
    torch.Size([2, 5])
    """
    home = type(model).__module__.partition(".")[0]
    if mean is None and std is None and home in ("transformers", "torchvision"):
        warnings.warn(
            f"{type(model).__name__} does not normalise its pixels itself, and neither mean nor std is given: take "
            "them from its weights' own preprocessing, or load it as hf:FOLDER or torchvision:NAME, which does.",
            VidrobustWarning,
            stacklevel=2,
        )
    order = layout or ("BTCHW" if video_keyword(model) else AXES)
    return Adapted(model, pixels(order, mean, std, scale, size, frames), classes=classes)


def innermost(model: nn.Module) -> nn.Module:
    """The model as its library built it, to which its checkpoints' names belong."""
    while getattr(model, "adapts", False):
        inner = model.model
        assert isinstance(inner, nn.Module)
        model = inner
    return model
