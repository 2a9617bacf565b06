"""A configuration file is data: it is looked through before the parser of options reads it.

The parser (jsonargparse) imports what a file names as ``class_path``, or as plain text where a group of options is
expected, before it finds out that no such class is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml

from vidrobust.cli.option_names import declared, group_of, meant, option_names
from vidrobust.cli.parser_errors import shown
from vidrobust.errors import InputError, UsageError
from vidrobust.runs.once import EachKeyOnce

FORBIDDEN = {"class_path", "init_args", "dict_kwargs", "config", "__path__"}
"""Keys by which a file would name a class, or another file."""

LARGEST = 100_000
"""Values in a configuration file, aliases counted as often as they stand there."""

MOST_BYTES = 2**22
"""Bytes of a configuration file that is read at all."""


class _Names(NamedTuple):
    """The names of a verb's options; fields that options of another name set, with these names."""

    all: Sequence[str]
    links: Mapping[str, str]


def check_config_files(kind: type, arguments: Sequence[str], links: Mapping[str, str]) -> None:
    """Refuse a configuration file that names classes, that is no table, or that unfolds without end.

    Args:
        kind: the dataclass of the verb.
        arguments: the command line, its options spelled out.
        links: options by the nested fields that they set, which a file must not set as well: it would be passed over.

    Raises:
        InputError: a file of ``--config``, or of a group of options (``--fit FILE``), is so, or it has what is no
            option of the verb or a value that the parser would not check; the message names it and the key.
        UsageError: there is no such file, or it is a pipe or a device, which can be read only once.
    """
    groups = {f"--{name}": group for name, (_, hint) in declared(kind).items() if (group := group_of(hint))}
    known = _Names([name for name in option_names(kind) if name not in links], links)
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        option, joined, value = argument.partition("=")
        if option in ("--config", *groups):
            given = value if joined else following
            if not given or given.startswith("--"):
                raise UsageError(f"{option} takes a file in YAML: write its path behind it.")
            typed = option != "--config" and given.lstrip().startswith("{")
            where = option if typed else str(Path(given).expanduser())
            found = _loaded(where, given if typed else _text(option, Path(where)))
            prefix = "" if option == "--config" else f"{option[2:]}."
            _check_table(where, groups.get(option, kind), found, prefix, known)


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


def _check_table(where: str, kind: type, found: Mapping[Any, Any], name: str, names: _Names) -> None:
    """A table has fields that there are and that no option of its own sets; where a group is, there is a table."""
    known = declared(kind)
    for key, value in found.items():
        first, _, rest = str(key).partition(".")
        full = f"{name}{key}"
        if full in names.links:
            raise InputError(f"{where} has {full}, which is given as {names.links[full]}: write that instead.")
        of, hint = known.get(first, (None, None))
        group = group_of(hint)
        if of is None or (rest and group is None):
            raise InputError(f"{where} has {full}, which is no option.{meant(full.replace('-', '_'), names.all)}")
        if group is None:
            _check_value(f"{where} has {shown(value)} for {full}", of, hint, value)
            continue
        inner = {rest: value} if rest else value
        if inner is not None and not isinstance(inner, Mapping):
            raise InputError(f"{where} has {shown(value)} for {full}, which is a table of options.")
        _check_table(where, group, inner or {}, f"{name}{first}.", names)


def _check_value(place: str, of: Field[Any], hint: Any, value: object) -> None:
    """Refuse what the parser takes from a file and not from a command line."""
    how = of.metadata.get("how", {})
    if hint is bool and not isinstance(value, bool):
        raise InputError(f"{place}, which must be true or false.")
    if value is None:
        required = of.metadata.get("positional") or of.default is of.default_factory is MISSING
        if type(None) not in get_args(hint) and not required:  # of those --print_config prints null
            raise InputError(f"{place}, which must have a value: write one, or leave it out.")
        return
    if how.get("action") == "append" and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        remedy = f": write [{shown(value)}]" if isinstance(value, str) else ""
        raise InputError(f"{place}, which must be a list of texts{remedy}.")
    if isinstance(how.get("nargs"), int) and not (isinstance(value, list) and len(value) == how["nargs"]):
        raise InputError(f"{place}, which must be a list of {how['nargs']} values.")
