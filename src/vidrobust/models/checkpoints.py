"""Weights on disk: safetensors with the model's configuration in the header. Nothing is unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from vidrobust.errors import RunError
from vidrobust.models.resnet3d import ResNet3d, ResNet3dConfig
from vidrobust.runs import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors and what is to be known about them, atomically.

    Raises:
        RunError: the disk is full or the folder cannot be written; an older file is intact.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
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
        return tensors, json.loads(metadata["vidrobust"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise RunError(
            f"{path} is damaged or was not written by vidrobust ({type(error).__name__}: {error}). "
            "Delete it and train again."
        ) from error


def save_model(path: Path, model: ResNet3d, about: Mapping[str, Any]) -> None:
    """Write a model's weights with its shape.

    Args:
        path: the ``.safetensors`` file.
        model: the model.
        about: what else a reader must know, such as the class names and the clips' length and size.
    """
    save_tensors(path, model.state_dict(), {"model": asdict(model.config), **about})


def load_model(path: str | Path) -> ResNet3d:
    """Read a model: from its ``.safetensors`` file or the run directory that holds ``model.safetensors``.

    Returns:
        The model, in evaluation mode.

    Raises:
        RunError: there is no such file, it is damaged, or its tensors do not fit its own description.
    """
    return load_described(path)[0]


def load_described(path: str | Path) -> tuple[ResNet3d, dict[str, Any]]:
    """Read a model, and what was written about it, such as its policy and its data.

    Raises:
        RunError: there is no such file, it is damaged, or its tensors do not fit its own description.
    """
    file = Path(path)
    file = file / "model.safetensors" if file.is_dir() else file
    tensors, about = load_tensors(file)
    try:
        shape = {name: _tuples(value) for name, value in about["model"].items()}
        model = ResNet3d(ResNet3dConfig(**shape))
        model.load_state_dict(tensors)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise RunError(f"{file} does not describe a model of this version ({error}). Train it again.") from error
    return model.eval(), about


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
