"""Weights that others wrote: read without unpickling code, freed of wrappers' names, fitted key by key.

A checkpoint is a ``.safetensors`` file, or a ``torch.save`` of a state dictionary, alone or under ``state_dict`` beside
epochs, optimisers and schedulers, which are ignored. ``torch.load`` reads it with ``weights_only``: tensors and plain
containers, and nothing else.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vidrobust.errors import InputError, VidrobustWarning

if TYPE_CHECKING:
    from torch import Tensor, nn

WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel, DistributedDataParallel and torch.compile put before every name."""

STATE_NAMES = ("state_dict", "model_state_dict", "model_state", "model")
"""Under which names a checkpoint may hold the state dictionary."""


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights as it was read.

    Attributes:
        path: the file.
        tensors: by name, without the names that wrappers put before it.
        entries: what stood beside the state dictionary: ``arch``, ``epoch``, ``optimizer``, …
        wrapped: did the names begin with ``module.``, as DataParallel writes them?
    """

    path: Path
    tensors: dict[str, Tensor]
    entries: dict[str, Any] = field(default_factory=dict)
    wrapped: bool = False


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file of weights.

    Raises:
        InputError: there is no such file, it is damaged, it holds code, or no state dictionary is in it.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file} does not exist: there are no weights to load.")
    content = _safetensors(file) if file.suffix == ".safetensors" else _pickled(file)
    tensors, entries = _state(file, content)
    wrapped = any(name.startswith("module.") for name in tensors)
    return Checkpoint(file, _unwrapped(file, tensors), entries, wrapped)


def _safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise InputError(f"{file} is not a whole safetensors file ({error}). Fetch it again.") from error


def _is_torchscript(file: Path) -> bool:
    """A program of torch.jit: an archive with code in it."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return False


def _pickled(file: Path) -> Any:
    if _is_torchscript(file):
        raise InputError(
            f"{file} is a TorchScript program (torch.jit), not a file of weights, and programs are not run from files. "
            "Where its code is, save its weights alone, torch.save(model.state_dict(), …), or export it: "
            "torch.export.save(torch.export.export(model, (clips,)), 'model.pt2')."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats, which the reader can read
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"(?:GLOBAL|class|Type|type) ([\w.]+\.[\w.]+)", str(error))
        what = f" ({wanted.group(1)})" if wanted else ""
        raise InputError(
            f"{file} holds more than tensors and plain containers{what}, or is no checkpoint of PyTorch: loading it "
            "could run code that is in it, so it is refused. If you trust it, save its weights alone, in the code "
            'that it belongs to: torch.save(model.state_dict(), "weights.pth").'
        ) from error
    except Exception as error:  # of a damaged file, PyTorch's reader raises anything
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file} is damaged or no checkpoint of PyTorch ({line}). Fetch it again.") from error


def _state(file: Path, content: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dictionary, and what stood beside it."""
    if isinstance(content, Mapping):
        for name in STATE_NAMES:
            inner = content.get(name)
            if isinstance(inner, Mapping) and _is_state(inner):
                return dict(inner), {key: value for key, value in content.items() if key != name}
        if _is_state(content):
            return dict(content), {}
        keys = ", ".join(map(str, list(content)[:8]))
        raise InputError(f"{file} holds no state dictionary under {', '.join(STATE_NAMES)}; it has: {keys}.")
    raise InputError(f"{file} holds a {type(content).__name__}, not a dictionary of tensors.")


def _is_state(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(isinstance(k, str) and torch.is_tensor(v) for k, v in content.items())


def _unwrapped(file: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by their names in the model itself."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        bare = name
        while bare.startswith(WRAPPERS):
            bare = bare.partition(".")[2]
        if bare in found:
            raise InputError(f"{file} has {bare} twice, with and without a wrapper's name before it.")
        found[bare] = tensor
    return found


def fit_weights(model: nn.Module, checkpoint: Checkpoint, *, name: str, new_head: bool = False) -> None:
    """Load a checkpoint into a model, whole or not at all.

    Args:
        model: whose weights are replaced.
        checkpoint: what to load.
        name: of the model, for messages.
        new_head: keep the model's own, freshly initialised last layer where the file's has another number of classes.

    Raises:
        InputError: a name or a shape differs; the message has the first that does, and the shapes.
    """
    tensors, own = dict(checkpoint.tensors), model.state_dict()
    head = _other_head(tensors, own)
    if head:
        there, here = tensors[head[0]].shape[0], own[head[0]].shape[0]
        if not new_head:
            asked = f"{name} one of" if name != str(checkpoint.path) else "the data has"
            raise InputError(
                f"{checkpoint.path} has a head of {there} classes ({head[0]}: {_shape(tensors[head[0]])}), {asked} "
                f"{here} ({_shape(own[head[0]])}). If the data's are some of the model's classes, give the list of "
                "those it was trained on: --classes FILE. To train a new head: new_head=True, or --new-head."
            )
        for key in head:
            del tensors[key]
        warnings.warn(
            f"the head of {checkpoint.path} ({there} classes) is replaced by a new one of {here} classes, untrained.",
            VidrobustWarning,
            stacklevel=3,
        )
    for key, tensor in own.items():
        if key in head or (
            key not in tensors and key.endswith("num_batches_tracked")
        ):  # older files have no such count
            continue
        if key not in tensors:
            extra = next((key for key in tensors if key not in own), None)
            hint = f" It has {extra} {_shape(tensors[extra])}, which {name} has not." if extra else ""
            raise InputError(f"{checkpoint.path} does not fit {name}: {key} {_shape(tensor)} is missing in it.{hint}")
        if tensors[key].shape != tensor.shape:
            raise InputError(
                f"{checkpoint.path} does not fit {name}: {key} is {_shape(tensors[key])} in the file, "
                f"{_shape(tensor)} in the model."
            )
    extra = next((key for key in tensors if key not in own), None)
    if extra is not None:
        raise InputError(
            f"{checkpoint.path} does not fit {name}: it has {extra} {_shape(tensors[extra])}, which the model has not."
        )
    model.load_state_dict(tensors, strict=False)


def classes_of_head(checkpoint: Checkpoint, *names: str) -> int:
    """The number of classes of a checkpoint, by the first axis of its last layer.

    Raises:
        InputError: it has no tensor of any of these names.
    """
    found = next((checkpoint.tensors[name] for name in names if name in checkpoint.tensors), None)
    if found is None or not found.ndim:
        raise InputError(f"{checkpoint.path} does not fit: {', '.join(names)} is missing in it.")
    return int(found.shape[0])


def _other_head(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The names of the last layer's weight and bias if nothing but their number of classes differs."""
    differing = [key for key, tensor in own.items() if key in tensors and tensors[key].shape != tensor.shape]
    modules = {key.rpartition(".")[0] for key in differing}
    last = next((key.rpartition(".")[0] for key in reversed(list(own)) if own[key].is_floating_point()), None)
    same = all(tensors[key].shape[1:] == own[key].shape[1:] and tensors[key].ndim for key in differing)
    return tuple(differing) if differing and same and modules == {last} else ()


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"
