"""Video classifiers of torchvision, each with the normalisation of its own weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrobust.errors import InputError
from vidrobust.models.adapters import Adapted
from vidrobust.models.foreign import Checkpoint
from vidrobust.models.libraries.optional import library
from vidrobust.models.spec import with_options

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.models.spec import Spec


def build_torchvision(spec: Spec, classes: int | None) -> nn.Module:
    """A model of torchvision with fresh weights; options that are not about pixels go to its builder.

    The mean and the deviation are those of its published weights (``weights.transforms()``). Models of one clip size
    alone (MViT, S3D) resize inside; R3D, MC3, R(2+1)D and Swin3D take any.

    Raises:
        InputError: torchvision is not installed or has no such video model.
    """
    models = _torchvision()
    weights = _weights(models, spec.name)
    preset, meta = weights.DEFAULT.transforms(), weights.DEFAULT.meta
    side = int(preset.crop_size[0])
    frames = int(meta.get("min_temporal_size") or 16)
    wants: dict[str, Any] = {"mean": preset.mean, "std": preset.std}
    if tuple(meta.get("min_size", (1, 1))) == tuple(preset.crop_size):  # made for this size alone
        wants["size"] = side
    if spec.name.startswith("mvit"):
        wants["frames"] = frames
    count = classes or len(meta["categories"])
    try:
        model = models.get_model(spec.name, weights=None, num_classes=count, **spec.others)
    except TypeError as error:
        raise InputError(f"{spec.text} cannot be built: {error}.") from error
    return Adapted(model, with_options(spec, wants), classes=count, spec=spec.text, expects=(max(16, frames), side))


def torchvision_checkpoint(spec: Spec, name: str) -> Checkpoint:
    """The published weights of a model, by their name (``DEFAULT``, ``KINETICS400_V1``); torchvision fetches them.

    Raises:
        InputError: the model has no weights of this name.
    """
    weights = _weights(_torchvision(), spec.name)
    found = weights.__members__.get(name)
    if found is None:
        raise InputError(
            f"{name} is neither a file nor the name of weights of {spec.name}: {', '.join(weights.__members__)}."
        )
    return Checkpoint(Path(name), dict(found.get_state_dict(check_hash=True)))


def weight_classes(spec: Spec, name: str) -> tuple[str, ...] | None:
    """The class names of published weights; None if there are no weights of this name."""
    found = _weights(_torchvision(), spec.name).__members__.get(name)
    return None if found is None else tuple(found.meta["categories"])


def _torchvision() -> Any:
    return library("torchvision.models", "torchvision")


def _weights(models: Any, name: str) -> Any:
    """The weights that a video model of this name has."""
    known = models.list_models(module=models.video)
    if name not in known:
        raise InputError(f"torchvision has no video model {name!r}. It has: {', '.join(known)}.")
    return models.get_model_weights(name)
