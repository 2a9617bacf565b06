"""The class names that published weights come with, in the order of their outputs."""

from __future__ import annotations

import re
from pathlib import Path

from vidrobust.errors import InputError
from vidrobust.models.libraries import hugging_face, torchvision_models
from vidrobust.models.spec import Spec, parse_spec

_UNNAMED = re.compile(r"LABEL_\d+")
"""What a configuration of transformers calls classes of which nobody gave the names."""


def published_classes(model: str, weights: str | None) -> tuple[str, ...] | None:
    """The names of the classes of a model with the weights of its library; None where the library names none.

    Args:
        model: as :func:`vidrobust.load_model` takes it.
        weights: a file, or the name of weights that its library has.
    """
    if Path(model).exists() or (weights is not None and Path(weights).exists()):
        return None
    try:
        return _named(parse_spec(model), weights)
    except InputError:  # for who loads it to say: there is no such model, or it is one of ours on the hub
        return None


def _named(spec: Spec, weights: str | None) -> tuple[str, ...] | None:
    if spec.kind == "torchvision" and weights is not None:
        return torchvision_models.weight_classes(spec, weights)
    if spec.kind == "hf" and weights is None:
        names = hugging_face.configured_classes(spec)
        return None if any(map(_UNNAMED.fullmatch, names)) else names
    return None
