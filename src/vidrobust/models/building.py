"""Build a model by its text or by the description in a file of weights; of each library, the module that knows it is
imported when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vidrobust.errors import InputError
from vidrobust.models.adapters import Adapted
from vidrobust.models.pixels import pixels
from vidrobust.models.resnet3d import fresh
from vidrobust.models.shapes import configured
from vidrobust.models.spec import Spec, parse_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


def build(spec: str | Spec, classes: int | None = None, seed: int = 0) -> nn.Module:
    """A model by its text; the global random state is left as it was.

    Args:
        spec: such as ``r3d-18`` or ``torchvision:r3d_18``.
        classes: number of classes; by default the model's own, if it has one.
        seed: of the weights, where they are drawn.

    Returns:
        From clips ``B C T H W`` in [0, 1] to logits, with ``classes``, ``described`` and ``expects``.

    Raises:
        InputError: there is no such model, or a library that it needs is not installed.
    """
    wanted = parse_spec(spec) if isinstance(spec, str) else spec
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(wanted, classes, seed)


def _build(spec: Spec, classes: int | None, seed: int) -> nn.Module:
    if spec.kind == "own":
        if classes is None:
            raise InputError(f"{spec.text} is built for a number of classes: classes=N.")
        return fresh(configured(spec.name, classes, spec.options), seed)
    if spec.kind == "zoo":
        raise InputError(f"{spec.text} is trained: vr.load_model({spec.text!r}) gives it with its weights.")
    if spec.kind == "torchvision":
        from vidrobust.models.libraries.torchvision_models import build_torchvision

        return build_torchvision(spec, classes)
    if spec.kind == "hf":
        from vidrobust.models.libraries.hugging_face import build_hugging_face

        return build_hugging_face(spec, classes)
    if spec.kind == "pytorchvideo":
        from vidrobust.models.libraries.pytorchvideo_models import build_pytorchvideo

        return build_pytorchvideo(spec, classes)
    if spec.kind == "factory":
        from vidrobust.models.libraries.factories import build_from_factory

        return build_from_factory(spec, classes)
    from vidrobust.models.libraries.exported import build_exported

    return build_exported(spec, classes)


def rebuild(described: Mapping[str, Any]) -> nn.Module:
    """The model that ``described`` tells of (see :class:`~vidrobust.models.adapters.Adapted`), with fresh weights.

    Raises:
        InputError: it was made of a Python object, which no text builds.
    """
    text = described["spec"]
    if text is None:
        raise InputError(
            "these weights are of a model that was handed over as a Python object, which only its own code can build. "
            "Load them into it: vr.load_model('yourpackage.module:function', weights=…)."
        )
    model = build(text, described["classes"])
    if isinstance(model, Adapted) and described.get("pixels"):
        wants = pixels(**described["pixels"])
        model = Adapted(model.model, wants, classes=model.classes, spec=text, expects=model.expects)
    return model
