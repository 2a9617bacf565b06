"""A model as text, ``--model torchvision:r3d_18``; :mod:`vidrobust.models.building` builds what it names. No torch.

    resnext3d-101                    a network of this library; options: resnext3d-101(cardinality=8)
    torchvision:r3d_18               a model of torchvision
    hf:ORG/NAME, hf:./folder         a video classifier of Hugging Face transformers
    pytorchvideo:slow_r50            a model of pytorchvideo
    mypkg.module:factory             whatever the function returns
    model.pt2, model.onnx            an exported program (torch.export, ONNX)
    zoo:motion-at                    a small trained model of this package

Behind any of them options may stand in brackets: ``mypkg.module:factory(layout=BTCHW,mean=[0.5,0.5,0.5],size=224)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from vidrobust.errors import InputError
from vidrobust.models.pixels import PIXEL_OPTIONS, Pixels
from vidrobust.models.pixels import pixels as as_pixels
from vidrobust.models.shapes import ARCHITECTURES
from vidrobust.runs.once import EachKeyOnce

if TYPE_CHECKING:
    from collections.abc import Mapping

LIBRARIES = ("torchvision", "hf", "pytorchvideo", "zoo")


@dataclass(frozen=True)
class Spec:
    """A model's text, taken apart.

    Attributes:
        text: as it was written.
        kind: ``own``, ``torchvision``, ``hf``, ``pytorchvideo``, ``zoo``, ``factory``, ``pt2`` or ``onnx``.
        name: what stands before the options, without the kind.
        options: what stands in brackets.
    """

    text: str
    kind: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def pixels(self) -> dict[str, Any]:
        """The options on pixels, as :func:`vidrobust.models.pixels.pixels` takes them."""
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
    if colon and prefix in LIBRARIES and rest:
        return Spec(text, prefix, rest, options)
    for suffix in ("pt2", "onnx"):
        if bare.endswith(f".{suffix}"):
            return Spec(text, suffix, bare, options)
    if colon and rest.isidentifier() and all(part.isidentifier() for part in prefix.split(".")):
        return Spec(text, "factory", bare, options)
    raise InputError(
        f"there is no model {text!r}. Choose a network ({', '.join(ARCHITECTURES)}), torchvision:NAME, hf:ORG/NAME or "
        "hf:./folder, pytorchvideo:NAME, zoo:NAME, your own package.module:function, or a file ending in .pt2 or .onnx."
    )


def names_code(text: str) -> bool:
    """Is it the dotted path of a function that builds a model?

    >>> names_code("mypkg.models:make(size=224)"), names_code("CAL(ε~U(0,12),α=α*,i=5)")
    (True, False)
    """
    try:
        return parse_spec(text).kind == "factory"
    except InputError:
        return False


def _options(text: str) -> tuple[str, dict[str, Any]]:
    bare, bracket, inside = text.partition("(")
    if not bracket or not inside.endswith(")") or "=" not in inside:
        return text, {}
    try:
        found = yaml.load("{" + inside[:-1].replace("=", ": ") + "}", EachKeyOnce)
    except yaml.YAMLError as error:
        raise InputError(f"the options of the model {text!r} cannot be read: {str(error).splitlines()[0]}.") from error
    return bare, {str(name): tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def with_options(spec: Spec, defaults: Mapping[str, Any]) -> Pixels:
    """What a model wants of its pixels: its own defaults, overridden by the options of its text."""
    return as_pixels(**{**defaults, **spec.pixels})
