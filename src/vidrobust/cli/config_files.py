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

from vidrobust.errors import InputError, UsageError
from vidrobust.runs.once import EachKeyOnce

FORBIDDEN = {"class_path", "init_args", "dict_kwargs", "config", "__path__"}
"""Keys by which a file would name a class, or another file."""

LARGEST = 100_000
"""Values in a configuration file, aliases counted as often as they stand there."""

MOST_BYTES = 2**22
"""Bytes of a configuration file that is read at all."""


def check_config_files(kind: type, arguments: Sequence[str], links: Mapping[str, str]) -> None:
    """Refuse a configuration file that names classes, that is no table, or that unfolds without end.

    Args:
        kind: the dataclass of the verb.
        arguments: the command line, its options spelled out.
        links: options by the nested fields that they set, which a file must not set as well: it would be passed over.

    Raises:
        InputError: a file of ``--config``, or of a group of options (``--fit FILE``), is so; the message names it and
            the key.
        UsageError: there is no such file, or it is a pipe or a device, which can be read only once.
    """
    names = {"--config": "", **{f"--{name}": f"{name}." for name in _groups(kind)}}
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        option, _, value = argument.partition("=")
        if option in names:
            given = value or following
            typed = option != "--config" and given.lstrip().startswith("{")
            where = option if typed else str(Path(given).expanduser())
            found = _loaded(where, given if typed else _text(option, Path(where)))
            group = kind if option == "--config" else _groups(kind)[option[2:]]
            _check_table(where, group, found, names[option], links)


def _text(option: str, path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"{option} takes a file in YAML, but {str(path)!r} is no regular file that there is.")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} has more than {MOST_BYTES >> 20} MiB: it is no configuration.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no configuration in YAML ({error}).") from error


def _loaded(where: str, text: str) -> Mapping[Any, Any]:
    """The table that a text holds."""
    try:
        found = yaml.load(text, EachKeyOnce)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{where} is no configuration in YAML ({line}).") from error
    if found is not None and not isinstance(found, Mapping):
        raise InputError(f"{where} is no table of options, such as `epochs: 3`.")
    _count(where, found or {})
    return found or {}


def _count(where: str, found: object) -> None:
    waiting, seen = [found], 0
    while waiting:
        value, seen = waiting.pop(), seen + 1
        if seen > LARGEST:
            raise InputError(f"{where} has more than {LARGEST} values: it is no configuration.")
        if isinstance(value, Mapping):
            forbidden = {part for key in value for part in str(key).split(".")} & FORBIDDEN
            if forbidden:
                raise InputError(
                    f"{where} has the key {min(forbidden)!r}, by which it would name a class or another file: give the "
                    "options themselves."
                )
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_table(where: str, kind: type, found: Mapping[Any, Any], name: str, links: Mapping[str, str]) -> None:
    """Where a group of options is expected, there must be a table, and no field that an option of its own sets."""
    groups = _groups(kind)
    for key, value in found.items():
        first, _, rest = str(key).partition(".")
        if f"{name}{key}" in links:
            raise InputError(f"{where} has {name}{key}, which is given as {links[f'{name}{key}']}: write that instead.")
        group = groups.get(first)
        if group is None:
            continue
        inner = {rest: value} if rest else value
        if inner is not None and not isinstance(inner, Mapping):
            raise InputError(f"{where} has {value!r} for {name}{key}, which is a table of options.")
        _check_table(where, group, inner or {}, f"{name}{first}.", links)


def _groups(kind: type) -> dict[str, type]:
    """The fields of a dataclass that are groups of options, those of flat dataclasses among them."""
    found: dict[str, type] = {}
    hints = get_type_hints(kind)
    for of in fields(kind):  # type: ignore[arg-type]
        inner = next((part for part in (hints[of.name], *get_args(hints[of.name])) if is_dataclass(part)), None)
        if isinstance(inner, type):
            found |= _groups(inner) if of.metadata.get("flat") else {of.name: inner}
    return found
