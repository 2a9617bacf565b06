"""What a ``.pt2`` archive of torch.export may hold: tensors, and a graph of known operators. Nothing else is loaded.

PyTorch's own reader unpickles, evaluates symbolic sizes with :func:`eval`, compiles guards, imports modules that tree
specifications name and runs compiled libraries (AOTInductor) if an archive asks for it. So an archive is looked through
first, and what was looked at is what is loaded: a copy of it in memory.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from vidrobust.errors import InputError

PLACES = (
    re.compile(r"data/(weights|constants)/[\w.-]+"),
    re.compile(r"data/sample_inputs/[\w.-]+\.pt"),
    re.compile(r"models/[\w.-]+\.json"),
    re.compile(r"archive_(format|version)|byteorder|version|\.data/(version|serialization_id)"),
    re.compile(r"serialized_(exported_program\.json|(state_dict|constants|example_inputs)\.pt)"),  # PyTorch up to 2.7
)
"""The parts of an archive, by their path below its folder."""

OPERATORS = re.compile(
    r"torch\.ops\.(aten|torchvision)\.(?!from_file\b)\w+(\.\w+)?"
    r"|torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast|cond|map_impl|scan|while_loop)"
    r"|torch\.sym_(int|float|max|min|not|ite|sqrt)"
    r"|math\.(ceil|floor|sqrt|trunc|pow|log|log2|exp)"
    r"|_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|neg|pos|pow|abs|eq|ne|lt|le|gt|ge|and_|or_|not_|is_|is_not)"
)
"""What a node of a graph may call: operators on tensors and numbers, none that reads a file."""

SYMBOL = re.compile(r"Symbol\('[a-z]+\d+'(, *\w+=True)*\)")
TOKEN = re.compile(
    r"\s+|[a-z]{1,3}\d{1,6}\b|\d{1,15}(\.\d{1,15})?|[-+/(),<>=!~&|]|\*(?!\*)|\*\*\d(?!\d|\s*\*\*)|(FloorDiv|ModularIndexing|Where"
    r"|PythonMod|Mod|CleanDiv|CeilToInt|FloorToInt|CeilDiv|PowByNatural|FloatTrueDiv|IntTrueDiv|TruncToFloat|TruncToInt"
    r"|RoundToInt|ToFloat|Identity|Max|Min|Integer|True|False|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not)\b"
)
"""Of what the text of a symbolic size is made; any other is not read, since reading it evaluates it."""

TREES = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
"""Containers of inputs and outputs; besides, the output types of transformers, which are made of text."""


class UnsafeError(Exception):
    """A part of an archive that could run code, or reach outside it."""


def checked_archive(path: Path) -> io.BytesIO:
    """A copy of an archive that holds what was looked at and nothing else.

    Raises:
        InputError: a part could run code, is not known, or the file is damaged; the message names the part.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _copied(path, archive)
    except UnsafeError as error:
        raise InputError(f"{path} {error}. Export the model with tensors alone: torch.export.save.") from error
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{path} is no whole program of torch.export ({error}). Fetch it again.") from error


def _copied(path: Path, archive: zipfile.ZipFile) -> io.BytesIO:
    found = archive.infolist()
    if len({item.filename for item in found}) < len(found):
        raise UnsafeError("has two parts of the same name")
    if sum(item.file_size for item in found) > path.stat().st_size:
        raise UnsafeError("is compressed, which torch.export does not do: its size in memory is not known")
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as clean:
        for item in found:
            content = _looked_at(item.filename, archive.read(item))
            clean.writestr(zipfile.ZipInfo(item.filename), content)
    copy.seek(0)
    return copy


def _looked_at(name: str, content: bytes) -> bytes:
    """The content of a part, if nothing in it runs."""
    place = PurePosixPath(name)
    below = name if len(place.parts) == 1 else "/".join(place.parts[1:])
    if place.is_absolute() or ".." in place.parts or "\\" in name:
        raise UnsafeError(f"has a part outside it, {name[:100]!r}")
    if below.startswith("extra/"):
        return content  # text that nobody reads
    if not any(pattern.fullmatch(below) for pattern in PLACES):
        raise UnsafeError(f"has a part that no program of tensors has, {name[:100]!r}, which could be code")
    if below.endswith(".pt"):
        _refuse_objects(name, content)
    elif below.endswith(".json"):
        return _read_json(name, content)
    elif below.startswith("data/constants/") and not place.name.startswith("tensor_"):
        raise UnsafeError(f"holds a pickled object, {name!r}, which could run code")
    return content


def _refuse_objects(name: str, content: bytes) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it is about to refuse
            torch.load(io.BytesIO(content), weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeError(f"holds pickled objects ({name!r}), which could run code") from error
    except Exception as error:  # the reader of damaged pickles raises anything
        raise UnsafeError(f"has a damaged part, {name!r} ({type(error).__name__})") from error


def _read_json(name: str, content: bytes) -> bytes:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnsafeError(f"has a damaged part, {name!r} ({type(error).__name__})") from error
    for key, value in _entries(found):
        check = CHECKS.get(key)
        if check is not None and value is not None and not check(value):
            raise UnsafeError(f"has {key} = {str(value)[:60]!r} in {name!r}, which could run code")
    if isinstance(found, dict) and found.get("guards_code"):
        found["guards_code"] = []  # Python code; without it sizes are not checked twice
        return json.dumps(found).encode()
    return content


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys with their values, however deep; a loop, since a file says how deep."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield from found.items()
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def _operator(value: Any) -> bool:
    return isinstance(value, str) and OPERATORS.fullmatch(value) is not None


def _expression(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > 1000:
        return False
    rest, place = SYMBOL.sub("s0", value), 0
    while place < len(rest):
        token = TOKEN.match(rest, place)
        if token is None:
            return False
        place = token.end()
    return True


def _tree(value: Any) -> bool:
    """A tree specification: containers of leaves, without what imports a module."""
    if not isinstance(value, str) or not value:
        return value == ""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return False
    for key, inner in _entries(found):
        if key == "type" and inner is not None:
            known = isinstance(inner, str) and (inner in TREES or inner.startswith("transformers."))
            if not known:
                return False
        if key == "context" and not _plain_context(inner):
            return False
    return True


def _plain_context(text: Any) -> bool:
    if text is None:
        return True
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return False
    return found is None or (isinstance(found, list) and all(isinstance(item, str | int) for item in found))


CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "use_pickle": lambda value: value is False,
    "path_name": lambda value: isinstance(value, str) and re.fullmatch(r"(weight|tensor)_\d+", value) is not None,
    "target": lambda value: isinstance(value, dict) or _operator(value) or _name(value),
    "as_operator": _operator,
    "expr_str": _expression,
    "in_spec": _tree,
    "out_spec": _tree,
}
"""What the values of these keys must be, in any JSON file of an archive."""


def _name(value: Any) -> bool:
    """A name of a node or a tensor, which calls nothing: it has no prefix that is looked up."""
    return isinstance(value, str) and not value.startswith(("torch", "_operator", "math", "#"))
