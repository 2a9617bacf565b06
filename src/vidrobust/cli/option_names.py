"""The names of a verb's options: one that the verb does not have is refused, with those that may be meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, get_args, get_type_hints

from vidrobust.errors import UsageError

OF_EVERY_VERB = ("help", "config", "print_config")
"""Options that are not fields of a verb."""

INSTEAD = {
    "clips.name": ("data",),
    "policies": ("method",),
    "policy": ("method", "policies"),
    "method": ("policies",),
    "eps": ("attack", "threat", "certificate"),
    "alpha": ("attack",),
    "steps": ("attack",),
}
"""What one verb has as an option of its own, another says by these."""

NEAR_IN_GROUP, NEAR = 0.6, 0.8
"""How alike two names must be (difflib's ratio), where the group is right and where nothing is."""


def check_names(kind: type, arguments: Sequence[str], links: Mapping[str, str]) -> None:
    """Refuse a command line with an option that the verb does not have.

    Args:
        kind: the dataclass of the verb.
        arguments: the command line, as typed.
        links: options by the nested fields that they set.

    Raises:
        UsageError: it names the option and what it may be instead.
    """
    positional = [name for name, (of, _) in declared(kind).items() if of.metadata.get("positional")]
    known = [name for name in option_names(kind) if name not in (*links, *positional)] + [*OF_EVERY_VERB]
    for argument in takewhile(lambda argument: argument != "--", arguments):
        typed = argument.partition("=")[0]
        name = typed.lstrip("-").replace("-", "_")
        if not re.match(r"--?[^\W\d]", typed) or typed == "-h":
            continue
        if name in positional:
            raise UsageError(f"{name} is given without its name: leave out {typed}.")
        if name in links:
            raise UsageError(f"{typed} is given as --{links[name]}.")
        if not typed.startswith("--") or name not in known:
            raise UsageError(f"there is no option {typed}.{meant(name.partition(' ')[0], known, '--')}")


def meant(name: str, known: Sequence[str], dashes: str = "") -> str:
    """A sentence, after a blank, on what a name that is not there may stand for; empty if nothing is like it.

    Args:
        name: with the groups before it.
        known: all names that are there, groups among them.
        dashes: written before each.

    >>> meant("clips.size", ["out", "size"], "--")
    ' Is it --size?'
    >>> meant("clips.name", ["clips", "data"], "--")
    ' Use --data.'
    >>> meant("clips.colour", ["clips", "clips.size", "clips.crop", "out"])
    ' There are clips.size and clips.crop.'
    """
    group, _, last = name.rpartition(".")
    inside = [other for other in known if group and other.startswith(f"{group}.")]
    near = _ending_alike(last, inside, NEAR_IN_GROUP) or _ending_alike(last, known, NEAR)
    if near:
        return f" Is it {_listed(near, 'or', dashes)}?"
    use = [other for said in (name, last) for other in INSTEAD.get(said, ()) if other in known]
    if use:
        return f" Use {_listed(list(dict.fromkeys(use)), 'or', dashes)}."
    if inside:
        return f" There are {_listed(inside, 'and', dashes)}."
    return f" Is it {dashes}{group}?" if group in known else ""


def option_names(kind: type) -> Iterator[str]:
    """The names of all options of a verb: ``clips``, a group, then ``clips.size`` and others within it."""
    for name, (_, hint) in declared(kind).items():
        yield name
        group = group_of(hint)
        if group is not None:
            yield from (f"{name}.{inner}" for inner in option_names(group))


def declared(kind: type) -> dict[str, tuple[Field[Any], Any]]:
    """The fields of a dataclass, with their types; instead of a flat dataclass those within it."""
    hints, found = get_type_hints(kind), {}
    for of in fields(kind):  # type: ignore[arg-type]
        found |= declared(hints[of.name]) if of.metadata.get("flat") else {of.name: (of, hints[of.name])}
    return found


def group_of(hint: Any) -> type | None:
    """The dataclass that a type is, or may be; None if it is not a group of options."""
    return next((part for part in (hint, *get_args(hint)) if isinstance(part, type) and is_dataclass(part)), None)


def _ending_alike(last: str, names: Sequence[str], ratio: float) -> list[str]:
    """The names whose last part is this one, or the one that is most like it."""
    lasts = {name.rpartition(".")[2] for name in names}
    alike = get_close_matches(last, lasts, 1, ratio)
    return [name for name in names if name.rpartition(".")[2] in alike]


def _listed(names: Sequence[str], word: str, dashes: str) -> str:
    *others, final = [dashes + name for name in names]
    return f"{', '.join(others)} {word} {final}" if others else final
