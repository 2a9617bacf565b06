"""A configuration file is data: it is looked through before the parser of options reads it.

The parser (jsonargparse) imports what a file names as ``class_path``, or as plain text where a group of options is
expected, before it finds out that no such class is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from vidrobust.errors import InputError

FORBIDDEN = {"class_path", "init_args", "dict_kwargs", "config", "__path__"}
"""Keys by which a file would name a class, or another file."""

LARGEST = 100_000
"""Values in a configuration file, aliases counted as often as they stand there."""


def check_config_files(kind: type, arguments: Sequence[str]) -> None:
    """Refuse a configuration file that names classes, that is no table, or that unfolds without end.

    Args:
        kind: the dataclass of the verb.
        arguments: the command line.

    Raises:
        InputError: a file of ``--config`` is so; the message names it and the key.
    """
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, _, value = argument.partition("=")
        path = Path(value or following)
        if name == "--config" and path.is_file():
            _check_file(kind, path)


def _check_file(kind: type, path: Path) -> None:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is no configuration in YAML ({line}).") from error
    if found is None:
        return
    if not isinstance(found, Mapping):
        raise InputError(f"{path} is no table of options, such as `epochs: 3`.")
    _count(path, found)
    _check_table(path, kind, found, "")


def _count(path: Path, found: object) -> None:
    waiting, seen = [found], 0
    while waiting:
        value, seen = waiting.pop(), seen + 1
        if seen > LARGEST:
            raise InputError(f"{path} has more than {LARGEST} values: it is no configuration.")
        if isinstance(value, Mapping):
            forbidden = {part for key in value for part in str(key).split(".")} & FORBIDDEN
            if forbidden:
                raise InputError(
                    f"{path} has the key {min(forbidden)!r}, by which it would name a class or another file: give the "
                    "options themselves."
                )
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_table(path: Path, kind: type, found: Mapping[Any, Any], name: str) -> None:
    """Where a group of options is expected, there must be a table."""
    groups = _groups(kind)
    for key, value in found.items():
        first, _, rest = str(key).partition(".")
        group = groups.get(first)
        if group is None:
            continue
        inner = {rest: value} if rest else value
        if inner is not None and not isinstance(inner, Mapping):
            raise InputError(f"{path} has {value!r} for {name}{key}, which is a table of options.")
        _check_table(path, group, inner or {}, f"{name}{first}.")


def _groups(kind: type) -> dict[str, type]:
    """The fields of a dataclass that are groups of options, those of flat dataclasses among them."""
    found: dict[str, type] = {}
    hints = get_type_hints(kind)
    for of in fields(kind):  # type: ignore[arg-type]
        inner = next((part for part in (hints[of.name], *get_args(hints[of.name])) if is_dataclass(part)), None)
        if isinstance(inner, type):
            found |= _groups(inner) if of.metadata.get("flat") else {of.name: inner}
    return found
