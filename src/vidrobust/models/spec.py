"""A model as text, ``--model torchvision:r3d_18``, and the model it stands for.

    resnext3d-101                    a network of this library; options: resnext3d-101(cardinality=8)
    torchvision:r3d_18               a model of torchvision
    hf:ORG/NAME, hf:./folder         a video classifier of Hugging Face transformers
    pytorchvideo:slow_r50            a model of pytorchvideo
    mypkg.module:factory             whatever the function returns
    model.pt2, model.onnx            an exported program (torch.export, ONNX)

Behind any of them options may stand in brackets: ``mypkg.module:factory(layout=BTCHW,mean=[0.5,0.5,0.5],size=224)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import yaml

from vidrobust.errors import InputError
from vidrobust.models.adapters import PIXEL_OPTIONS, Adapted, Pixels
from vidrobust.models.adapters import pixels as as_pixels
from vidrobust.models.resnet3d import ARCHITECTURES, configured, fresh

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

KINDS = ("torchvision", "hf", "pytorchvideo")


@dataclass(frozen=True)
class Spec:
    """A model's text, taken apart.

    Attributes:
        text: as it was written.
        kind: ``own``, ``torchvision``, ``hf``, ``pytorchvideo``, ``factory``, ``pt2`` or ``onnx``.
        name: what stands before the options, without the kind.
        options: what stands in brackets.
    """

    text: str
    kind: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def pixels(self) -> dict[str, Any]:
        """The options on pixels, as :func:`vidrobust.models.adapters.pixels` takes them."""
        return {name: value for name, value in self.options.items() if name in PIXEL_OPTIONS}

    @property
    def others(self) -> dict[str, Any]:
        """The options that the model's builder takes."""
        return {name: value for name, value in self.options.items() if name not in PIXEL_OPTIONS}


def parse_spec(text: str) -> Spec:
    """Take a model's text apart.

    Raises:
        InputError: it is none, or its options cannot be read.

    >>> parse_spec("torchvision:r3d_18").kind
    'torchvision'
    >>> parse_spec("mypkg.models:make(layout=BTCHW, size=224)").options
    {'layout': 'BTCHW', 'size': 224}
    """
    bare, options = _options(text.strip())
    prefix, colon, rest = bare.partition(":")
    if bare in ARCHITECTURES:
        return Spec(text, "own", bare, options)
    if colon and prefix in KINDS and rest:
        return Spec(text, prefix, rest, options)
    for suffix in ("pt2", "onnx"):
        if bare.endswith(f".{suffix}"):
            return Spec(text, suffix, bare, options)
    if colon and rest.isidentifier() and all(part.isidentifier() for part in prefix.split(".")):
        return Spec(text, "factory", bare, options)
    raise InputError(
        f"there is no model {text!r}. Choose a network ({', '.join(ARCHITECTURES)}), torchvision:NAME, hf:ORG/NAME or "
        "hf:./folder, pytorchvideo:NAME, your own package.module:function, or a file ending in .pt2 or .onnx."
    )


def _options(text: str) -> tuple[str, dict[str, Any]]:
    bare, bracket, inside = text.partition("(")
    if not bracket or not inside.endswith(")") or "=" not in inside:
        return text, {}
    try:
        found = yaml.safe_load("{" + inside[:-1].replace("=", ": ") + "}")
    except yaml.YAMLError as error:
        raise InputError(f"the options of the model {text!r} cannot be read: {str(error).splitlines()[0]}.") from error
    return bare, {str(name): tuple(value) if isinstance(value, list) else value for name, value in found.items()}


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


def with_options(spec: Spec, defaults: Mapping[str, Any]) -> Pixels:
    """What a model wants of its pixels: its own defaults, overridden by the options of its text."""
    return as_pixels(**{**defaults, **spec.pixels})


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
        wants = as_pixels(**described["pixels"])
        model = Adapted(model.model, wants, classes=model.classes, spec=text, expects=model.expects)
    return model
