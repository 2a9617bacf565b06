"""Weights on disk: our own, safetensors with the model's description in the header, and those of others.

Nothing is unpickled but tensors and plain containers. A description may name a function that builds the model
(``mypkg.module:factory``): it is called only if the command line, or the call that reads the file, names it too.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from vidrobust.errors import InputError, RunError
from vidrobust.models.adapters import innermost
from vidrobust.models.building import build
from vidrobust.models.conventions import Convention, import_resnet3d, is_resnet3d
from vidrobust.models.description import DescriptionError, described_model
from vidrobust.models.foreign import Checkpoint, classes_of_head, fit_weights, read_checkpoint
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.models.shapes import ARCHITECTURES, STAGE_STRIDES, configured
from vidrobust.models.spec import Spec, parse_spec
from vidrobust.models.zoo import in_zoo, located
from vidrobust.runs.code import reading_files
from vidrobust.runs.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors and what is to be known about them, atomically.

    Raises:
        RunError: the disk is full or the folder cannot be written; an older file is intact.
    """
    contiguous: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        shared = any(plain.data_ptr() == other.data_ptr() for other in contiguous.values() if plain.numel())
        contiguous[name] = plain.clone() if shared else plain  # the format knows no tied weights
    write_atomic(path, save(contiguous, {"vidrobust": json.dumps(about)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote.

    Raises:
        RunError: the file is missing, truncated or not one of ours.
    """
    if not path.is_file():
        raise RunError(f"{path} does not exist: there are no weights to load. Train a model there first.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        about = json.loads(metadata["vidrobust"])
        if not isinstance(about, dict):
            raise TypeError("the description of the tensors is no table")
        return tensors, about
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OSError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged or was not written by vidrobust ({type(error).__name__}: {error}). "
            "Give a run directory or weights that `vidrobust train` wrote; if it was, delete the file and train again."
        ) from error


def description(model: nn.Module) -> dict[str, Any]:
    """What a reader must know to build a model again: its shape, or the text that names it."""
    found = getattr(model, "described", None)
    return found if isinstance(found, dict) else {"spec": None, "classes": None, "pixels": None}


def save_model(path: Path, model: nn.Module, about: Mapping[str, Any]) -> None:
    """Write a model's weights with its description.

    Args:
        path: the ``.safetensors`` file.
        model: the model.
        about: what else a reader must know, such as the class names and the clips' length and size.
    """
    save_tensors(path, model.state_dict(), {"model": description(model), **about})


def load_model(
    spec: str | Path,
    weights: str | Path | None = None,
    classes: int | None = None,
    *,
    new_head: bool = False,
    convention: Convention = "auto",
    seed: int = 0,
) -> nn.Module:
    """A model by its text or its file.

    Args:
        spec: a network of this library (``resnext3d-101``), ``torchvision:r3d_18``, ``hf:ORG/NAME``, ``hf:./folder``
            (of transformers, or what ``vidrobust push`` wrote; ``hf:ORG/NAME(revision=…)`` pins a commit),
            ``pytorchvideo:slow_r50``, ``zoo:motion-at``, your own ``mypkg.module:factory``, a ``.pt2`` or ``.onnx``
            file; a run directory,
            a file of weights that this library wrote, or a checkpoint of 3D-ResNets.
        weights: a checkpoint (``.pth``, ``.safetensors``), a run directory, or the name of weights of torchvision.
        classes: number of classes; by default that of the weights.
        new_head: where the weights have another number of classes, keep all but the last layer. Otherwise that is an
            error.
        convention: of a 3D-ResNets checkpoint, on which pixels it was trained (:mod:`vidrobust.models.conventions`).
        seed: of the weights that are drawn.

    Returns:
        From clips ``B C T H W`` in [0, 1] to logits, in evaluation mode; normalisation is inside.

    Raises:
        InputError: there is no such model, or the weights do not fit: the message has the first differing key.
        RunError: a file of this library is damaged or its tensors do not fit its own description.
    """
    with reading_files((str(spec),)):
        return _loaded(spec, weights, classes, new_head, convention, seed)


def _loaded(
    spec: str | Path, weights: str | Path | None, classes: int | None, new_head: bool, convention: Convention, seed: int
) -> nn.Module:
    text, path = str(spec), located(spec)
    weights = located(weights) if weights is not None and in_zoo(weights) else weights
    file = path.is_dir() or path.suffix in (".safetensors", ".pth", ".pt", ".ckpt", ".tar", ".bin")
    if weights is None and file and text not in ARCHITECTURES:
        return _from_file(path, classes, new_head, convention, seed)
    wanted = parse_spec(text)
    if wanted.kind == "hf" and weights is None:
        from vidrobust.models.libraries.hub import expected_clips, fetched

        folder = fetched(wanted)
        if folder is not None:
            model = _from_file(folder, classes, new_head, convention, seed)
            model.expects = getattr(model, "expects", None) or expected_clips(folder)  # type: ignore[assignment]
            return model
        from vidrobust.models.libraries.hugging_face import hugging_face_checkpoint

        found = hugging_face_checkpoint(wanted)
        return build(wanted, classes, seed).eval() if found is None else _fitted(wanted, found, classes, new_head, seed)
    if weights is None:
        return build(wanted, classes, seed).eval()
    if wanted.kind in ("pt2", "onnx"):
        raise InputError(f"{text} holds its own weights: leave out {weights}.")
    if wanted.kind == "factory" and is_ours(Path(weights)) and (described := _described_by(Path(weights), text)):
        return described
    if wanted.kind == "own" and not is_ours(Path(weights)):
        checkpoint = read_checkpoint(weights)
        shape = configured(wanted.name, classes or classes_of_head(checkpoint, "fc.weight"), wanted.options)
        if len(shape.layers) == len(STAGE_STRIDES):
            given = frozenset(wanted.options)
            options = {"classes": classes, "new_head": new_head, "convention": convention, "seed": seed}
            return import_resnet3d(checkpoint, shape, given=given, **options)  # type: ignore[arg-type]
    return _fitted(wanted, _checkpoint(wanted, weights), classes, new_head, seed)


def _from_file(path: Path, classes: int | None, new_head: bool, convention: Convention, seed: int) -> nn.Module:
    """The model of a file that says which one it is, or whose names do."""
    if is_ours(path) or path.is_dir() or not path.is_file():
        model = load_described(path)[0]
        if classes in (None, getattr(model, "classes", None)):
            return model
        if not isinstance(model, ResNet3d):
            raise InputError(
                f"{path} has {getattr(model, 'classes', None)} classes, not {classes}: give its model too or, where "
                "the data's are some of the model's classes, the list of those it was trained on: --classes FILE."
            )
        whole = Checkpoint(path, model.state_dict())
        other = ResNet3d(replace(model.config, classes=classes or model.classes))
        fit_weights(other, whole, name=str(path), new_head=new_head)
        return other.eval()
    checkpoint = read_checkpoint(path)
    if not is_resnet3d(checkpoint):
        raise InputError(
            f"{path} does not say which model its weights are of, and they are no R3D or ResNeXt-3D: name the model "
            "too, such as load_model('torchvision:r3d_18', weights=…), or --model torchvision:r3d_18 --weights …."
        )
    return import_resnet3d(checkpoint, classes=classes, new_head=new_head, convention=convention, seed=seed)


def is_ours(path: Path) -> bool:
    """Is it a run directory, or a file of weights that this library described?

    A file that looks like one but is damaged counts, so that reading it says what is wrong.
    """
    if path.is_dir() or path.suffix != ".safetensors":
        return path.is_dir()
    try:
        with safe_open(path, "pt") as file:
            return "vidrobust" in (file.metadata() or {})
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError):
        return True


def _described_by(path: Path, text: str) -> nn.Module | None:
    """The model of a file whose description names this text, with what a method put around it; else None."""
    about = load_tensors(_file(path))[1].get("model")
    while isinstance(about, dict) and "of" in about:
        about = about["of"]
    named = isinstance(about, dict) and about.get("spec") == text
    return load_described(path)[0] if named else None


def _file(path: Path) -> Path:
    return path / "model.safetensors" if path.is_dir() else path


def _checkpoint(spec: Spec, weights: str | Path) -> Checkpoint:
    """The weights of that name: a run, a file, or weights that torchvision has."""
    path = Path(weights)
    if is_ours(path):
        file = _file(path)
        return Checkpoint(file, load_tensors(file)[0], {"vidrobust": True})
    if spec.kind == "torchvision" and not path.exists() and str(weights).isidentifier():
        from vidrobust.models.libraries.torchvision_models import torchvision_checkpoint

        return torchvision_checkpoint(spec, str(weights))
    return read_checkpoint(path)


def _fitted(spec: Spec, checkpoint: Checkpoint, classes: int | None, new_head: bool, seed: int) -> nn.Module:
    """A model built by its text with a checkpoint's weights; without ``classes`` it gets as many as the checkpoint."""
    count = classes
    if count is None and spec.kind == "own":
        count = classes_of_head(checkpoint, "fc.weight")
    model = build(spec, count, seed)
    target = model if "vidrobust" in checkpoint.entries else innermost(model)
    if classes is None and spec.kind not in ("own", "factory"):
        there = classes_of_head(checkpoint, *_heads(target))
        if there != getattr(model, "classes", there):
            model = build(spec, there, seed)
            target = model if "vidrobust" in checkpoint.entries else innermost(model)
    fit_weights(target, checkpoint, name=spec.text, new_head=new_head)
    return model.eval()


def _heads(model: nn.Module) -> list[str]:
    """The name of the last tensor with more than one axis: the weight of the last layer."""
    return [name for name, tensor in model.state_dict().items() if tensor.ndim > 1][-1:]


def load_described(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read a model, and what was written about it, such as its policy and its data.

    Raises:
        InputError: the model is of a library that is not installed, or of a function that cannot be found or that only
            the file names.
        RunError: there is no such file, it is damaged, or its tensors do not fit its own description.
    """
    file = _file(Path(path))
    tensors, about = load_tensors(file)
    try:
        with reading_files():
            model = described_model(about, tensors)
    except DescriptionError as error:
        raise RunError(f"{file} holds no model of this version: {error}. Train it again, or fetch it again.") from error
    return model.eval(), about
