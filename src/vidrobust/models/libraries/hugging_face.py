"""Video classifiers of Hugging Face transformers: VideoMAE, TimeSformer, ViViT, V-JEPA 2 and what else it has.

They take ``B T C H W`` as ``pixel_values`` or ``pixel_values_videos`` and answer with ``.logits``. What their pixels
are normalised by stands in the checkpoint's own preprocessor configuration, which is read as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrobust.errors import InputError
from vidrobust.models.adapters import Adapted
from vidrobust.models.foreign import Checkpoint
from vidrobust.models.libraries.optional import library
from vidrobust.models.spec import with_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from vidrobust.models.spec import Spec

REMOTE = {"trust_remote_code", "code_revision", "attn_implementation", "_attn_implementation", "auto_map"}
"""Options of a configuration that would run code of a checkpoint, or fetch some."""

PROCESSOR_FILES = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")
"""Where a checkpoint may have its processor's constants, newest spelling first."""


def build_hugging_face(spec: Spec, classes: int | None) -> nn.Module:
    """A video classifier by its configuration, with fresh weights.

    Raises:
        InputError: transformers is not installed, the checkpoint is not there or no video classifier, or it has no
            processor's constants and the options have none.
    """
    transformers = _transformers()
    config = _configuration(transformers, spec, classes)
    try:
        model = transformers.AutoModelForVideoClassification.from_config(config)
    except ValueError as error:
        raise InputError(f"{spec.name} is no video classifier of transformers ({_line(error)}).") from error
    return Adapted(model.eval(), with_options(spec, _wants(spec, config)), classes=config.num_labels, spec=spec.text)


def hugging_face_checkpoint(spec: Spec) -> Checkpoint | None:
    """The weights of a checkpoint, or None if it has a configuration only.

    Raises:
        InputError: they cannot be had, or cannot be read without unpickling code.
    """
    transformers = _transformers()
    folder = Path(spec.name)
    if folder.is_dir() and not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        return None
    config = _configuration(transformers, spec, None)
    progress = transformers.utils.logging
    enabled = progress.is_progress_bar_enabled()
    progress.disable_progress_bar()
    try:
        model, report = transformers.AutoModelForVideoClassification.from_pretrained(
            spec.name, config=config, output_loading_info=True, **_revision(spec)
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"the weights of {spec.name} cannot be loaded ({_line(error)}).") from error
    finally:
        if enabled:
            progress.enable_progress_bar()
    missing = set(report["missing_keys"])
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name not in missing}
    return Checkpoint(folder, tensors)


def configured_classes(spec: Spec) -> tuple[str, ...]:
    """The class names of a checkpoint's configuration (``id2label``), in the order of its outputs.

    Raises:
        InputError: transformers is not installed, or the checkpoint is not there.
    """
    names = _configuration(_transformers(), spec, None).id2label
    return tuple(str(names[index]) for index in sorted(names, key=int))


def _transformers() -> Any:
    return library("transformers", "transformers")


def _refuse_kernels(spec: Spec, config: Any) -> None:
    """Refuse a configuration that asks for an attention fetched from the hub, which is code."""
    for part in (config, *(value for value in vars(config).values() if hasattr(value, "to_dict"))):
        asked = str(getattr(part, "_attn_implementation", "") or "")
        if not asked.replace("_", "").isalnum() and asked:
            raise InputError(
                f"{spec.name} asks for the attention {asked!r}, which would be fetched as code. Remove it."
            )


def _configuration(transformers: Any, spec: Spec, classes: int | None) -> Any:
    given = {} if classes is None else {"num_labels": classes}
    unsafe = sorted(REMOTE & set(spec.others))
    if unsafe:
        raise InputError(f"{unsafe[0]} is not taken for {spec.name}: code of a checkpoint is not run. Leave it out.")
    try:
        config = transformers.AutoConfig.from_pretrained(spec.name, trust_remote_code=False, **given, **spec.others)
        _refuse_kernels(spec, config)
        return config
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"there is no checkpoint {spec.name!r} ({_line(error)}). Give hf:ORG/NAME with a connection to the hub, or "
            "hf:./folder that holds config.json."
        ) from error


def _wants(spec: Spec, config: Any) -> dict[str, Any]:
    """Layout, size, frames and normalisation that a checkpoint's model wants."""
    side = getattr(config, "image_size", None) or getattr(config, "crop_size", None)
    frames = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", None)
    wants: dict[str, Any] = {"layout": "BTCHW", "size": side, "frames": frames}
    if {"mean", "std"} <= spec.pixels.keys():
        return wants
    return {**wants, **normalisation(_constants(spec), spec.name)}


def _revision(spec: Spec) -> dict[str, str]:
    """The commit or branch of a checkpoint, where its text names one."""
    return {"revision": str(spec.options["revision"])} if "revision" in spec.options else {}


def _constants(spec: Spec) -> Mapping[str, Any]:
    """The processor's configuration of a checkpoint."""
    name = spec.name
    cached_file = library("transformers.utils", "transformers").cached_file
    for file in PROCESSOR_FILES:
        try:
            found = cached_file(name, file, _raise_exceptions_for_missing_entries=False, **_revision(spec))
        except OSError:
            found = None
        if found is not None:
            content = json.loads(Path(found).read_text(encoding="utf-8"))
            return content.get("video_processor") or content.get("image_processor") or content
    raise InputError(
        f"{name} has none of {', '.join(PROCESSOR_FILES)}, so how its pixels are normalised is not known. Say it: "
        f"hf:{name}(mean=[0.485,0.456,0.406],std=[0.229,0.224,0.225])."
    )


def normalisation(constants: Mapping[str, Any], name: str) -> dict[str, Any]:
    """``scale``, ``mean`` and ``std`` of pixels in [0, 1] that do what a processor does to pixels of 0 … 255.

    A processor multiplies by ``rescale_factor`` (1/255 if it has none), subtracts 1 if it has an ``offset`` (ViViT),
    and then normalises.

    >>> normalisation({"do_normalize": True, "image_mean": [0.5], "image_std": [0.25]}, "some")
    {'scale': 1.0, 'mean': (0.5,), 'std': (0.25,)}
    """
    rescaled = constants.get("do_rescale", True)
    scale = 255 * float(constants.get("rescale_factor", 1 / 255)) if rescaled else 255.0
    offset = 1.0 if rescaled and constants.get("offset") else 0.0
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if constants.get("do_normalize", True):
        try:
            mean, std = tuple(constants["image_mean"]), tuple(constants["image_std"])
        except (KeyError, TypeError) as error:
            raise InputError(
                f"the processor of {name} normalises by constants that it does not name: say mean=[…] and std=[…]."
            ) from error
    return {"scale": scale, "mean": tuple(value + offset for value in mean), "std": std}


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
