"""A user's own model by the dotted path of the function that makes it: ``mypkg.module:factory``."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from vidrobust.errors import InputError
from vidrobust.models.adapters import Adapted
from vidrobust.models.pixels import pixels as as_pixels
from vidrobust.runs.code import refuse_code

if TYPE_CHECKING:
    from vidrobust.models.spec import Spec

CLASS_ARGUMENTS = ("classes", "num_classes", "n_classes")
"""Under which names a function may take the number of classes."""


def build_from_factory(spec: Spec, classes: int | None) -> nn.Module:
    """What the function returns, adapted.

    It is called with the number of classes, if it takes one by the name ``classes``, ``num_classes`` or ``n_classes``,
    and with the options that are not about pixels. It may return a model that takes clips as this library gives them,
    one made by :func:`vidrobust.adapt`, or any module, with what it wants of its pixels among the options.

    Raises:
        InputError: only a file names the function, there is no such function, or it returns no model.
    """
    remedy = f"On the command line: --model {spec.text!r}; in Python: vr.load_model({spec.text!r}, weights=…)."
    refuse_code(spec.text.strip(), remedy)
    function = imported(spec.name)
    given: dict[str, Any] = dict(spec.others)
    argument = _class_argument(function)
    if argument is not None and classes is not None:
        given[argument] = classes
    try:
        model = function(**given)
    except TypeError as error:
        raise InputError(f"{spec.name} cannot be called with {given or 'no arguments'}: {error}.") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"{spec.name} returned a {type(model).__name__}, not a torch.nn.Module.")
    wants: dict[str, Any] = {}
    inner, expects = model, None
    if isinstance(model, Adapted):
        inner, wants, expects = model.model, asdict(model.pixels), model.expects
    known = getattr(model, "classes", None)
    count = classes if argument is not None else (known if isinstance(known, int) else None)
    merged: dict[str, Any] = {**wants, **spec.pixels}
    return Adapted(inner, as_pixels(**merged), classes=count, spec=spec.text, expects=expects)


def imported(name: str) -> Callable[..., Any]:
    """The function ``package.module:function``, looked for as ``python -m`` would: in the current folder too.

    Raises:
        InputError: there is no such module or function.
    """
    path, _, attribute = name.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        raise InputError(f"there is no module {error.name!r} for the model {name!r}. Is it installed?") from error
    finally:
        sys.path.remove(here)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise InputError(f"{path} has no function {attribute!r} (for the model {name!r}).")
    return function


def _class_argument(function: Callable[..., Any]) -> str | None:
    try:
        taken = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    return next((name for name in CLASS_ARGUMENTS if name in taken), None)
