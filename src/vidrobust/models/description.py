"""What a file of weights says of its model, read with a schema: nothing in it is believed before it is checked.

A description is one of three things: the shape of a network of this library, the text of any other model with what it
wants of its pixels, or a wrapper (``around``) that a training method put around one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.errors import InputError
from vidrobust.models.building import rebuild
from vidrobust.models.multibn import branched
from vidrobust.models.pixels import pixels
from vidrobust.models.purifier import purified
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.models.shapes import ResNet3dConfig, configured
from vidrobust.models.spec import parse_spec

if TYPE_CHECKING:
    from torch import Tensor, nn

DEEPEST = 3
"""Wrappers around wrappers: a method puts one around a model."""

LARGEST = 1_000_000
"""No number of a description is larger: classes, channels, sides."""


class DescriptionError(Exception):
    """A description that no version of this library writes."""


def described_model(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    """The model of a file of weights, built and filled.

    Args:
        about: what the file says beside its tensors.
        tensors: the file's tensors.

    Raises:
        DescriptionError: the description is none, or the tensors are not those of the model.
        InputError: the model cannot be built here.
    """
    found = about.get("model") if isinstance(about, Mapping) else None
    _check(found, len(tensors), 0)
    assert isinstance(found, dict)
    with torch.device("meta"):  # its sizes cost nothing there, and must be those of the tensors before they may
        shape = _shape(found)
    if shape is not None:
        _compare(shape.state_dict(), tensors)
    model = _built(found)
    _compare(model.state_dict(), tensors)
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise DescriptionError(
            f"its tensors are not those of its model ({str(error).splitlines()[-1].strip()})"
        ) from error
    return model


def _check(found: object, tensors: int, depth: int) -> None:
    """Refuse what is no description, or claims more than its tensors can hold."""
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise DescriptionError("it does not describe a model")
    if "around" in found:
        _check_wrapper(found, tensors)
        if depth == DEEPEST:
            raise DescriptionError("it describes wrappers around wrappers")
        _check(found.get("of"), tensors, depth + 1)
    elif "spec" in found:
        _check_text(found, tensors)
    else:
        _check_shape(found, tensors)


def _check_wrapper(found: Mapping[str, Any], tensors: int) -> None:
    if found["around"] == "multibn":
        if not _whole(found.get("branches"), 2, max(2, tensors)):
            raise DescriptionError(f"it describes {_short(found.get('branches'))} branches, with {tensors} tensors")
    elif found["around"] == "purified":
        channels = found.get("channels")
        if not isinstance(channels, list) or len(channels) != 3 or not all(_whole(n, 1, 65536) for n in channels):
            raise DescriptionError(f"it describes a purifier of {_short(channels)} channels")
    else:
        raise DescriptionError(f"it describes something around a model, {_short(found['around'])}, that is not known")


def _check_text(found: Mapping[str, Any], tensors: int) -> None:
    text, classes, wants = found["spec"], found.get("classes"), found.get("pixels")
    if text is not None and (not isinstance(text, str) or len(text) > 2000):
        raise DescriptionError("it names its model by something else than text")
    if classes is not None and not _whole(classes, 1, LARGEST):
        raise DescriptionError(f"it describes a model of {_short(classes)} classes")
    if text is not None:
        spec = parse_spec(text)
        if spec.kind not in ("factory", "pt2", "onnx"):
            _check_numbers(spec.options)
        if spec.kind == "own":
            _check_layers(list(configured(spec.name, classes or 2, spec.options).layers), tensors)
    if wants is not None:
        _check_pixels(wants)


def _check_pixels(wants: object) -> None:
    if not isinstance(wants, dict) or any(isinstance(value, dict) for value in wants.values()):
        raise DescriptionError("what its model wants of pixels is no table")
    _check_numbers(wants)
    try:
        pixels(**wants)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DescriptionError(f"what its model wants of pixels cannot be ({error})") from error


def _check_shape(found: Mapping[str, Any], tensors: int) -> None:
    unknown = set(found) - {field.name for field in fields(ResNet3dConfig)}
    if unknown or "classes" not in found:
        raise DescriptionError(f"it describes no network of this version ({_short(', '.join(sorted(unknown)))})")
    _check_numbers(found)
    _check_layers(found.get("layers", []), tensors)


def _check_layers(layers: object, tensors: int) -> None:
    if not isinstance(layers, list) or not all(_whole(n, 1, tensors) for n in layers) or sum(layers) > tensors:
        raise DescriptionError(f"it describes {_short(layers)} blocks, with {tensors} tensors")


def _check_numbers(found: Any) -> None:
    """No number is out of all proportion, no list long, nothing nested deeply."""
    waiting = [(found, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, dict | list | tuple):
            inner = list(value.values()) if isinstance(value, dict) else list(value)
            if depth > 3 or len(inner) > 100:
                raise DescriptionError("it describes a model by more numbers than a model has")
            waiting += [(item, depth + 1) for item in inner]
        elif isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:
            raise DescriptionError(f"it describes a model by the number {_short(value)}")


def _shape(found: Mapping[str, Any]) -> nn.Module | None:
    """The model on a device without memory; None if only its own library can build it."""
    inner = found
    while "around" in inner:
        inner = inner["of"]
    return None if inner.get("spec") is not None and parse_spec(inner["spec"]).kind != "own" else _built(found)


def _built(found: Mapping[str, Any]) -> nn.Module:
    """The model of a description, one within another where a method trained it so."""
    if "around" in found:
        inner = _built(found["of"])
        return (
            purified(inner, _tuples(found["channels"])) if "channels" in found else branched(inner, found["branches"])
        )
    if "spec" in found:
        return rebuild({"classes": None, **found})
    try:
        return ResNet3d(ResNet3dConfig(**{name: _tuples(value) for name, value in found.items()}))
    except (TypeError, ValueError, RuntimeError, IndexError, ZeroDivisionError, InputError) as error:
        raise DescriptionError(f"it describes a network that cannot be built ({str(error).splitlines()[0]})") from error


def _compare(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in own.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            there = "×".join(map(str, tensors[name].shape)) if name in tensors else "missing"
            wanted = "×".join(map(str, tensor.shape))
            raise DescriptionError(f"its tensors are not those of its model: {name} is {there}, not {wanted}")
    extra = next((name for name in tensors if name not in own), None)
    if extra is not None:
        raise DescriptionError(f"its tensors are not those of its model, which has no {_short(extra)}")


def _whole(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _short(value: object) -> str:
    return repr(value)[:80]
