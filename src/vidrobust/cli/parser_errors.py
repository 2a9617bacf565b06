"""What the parser of options says of a wrong value, in the words of this command line."""

from __future__ import annotations

import re
from collections.abc import Collection

NOUNS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "tuple": "a list in brackets",
    "dict": "a table of options",
}
"""Python's types, as one calls their values where options are typed."""

_KIND = re.compile(r"Expected an? (?:typing\.)?(?P<kind>Literal\[.*?\]|\w+)(?: with (?P<count>\d+) elements?)?")
_OWN = re.compile(r"Not of type \w+: (?:expected )?(?P<text>.*?)(?= - |\.? Given value|\.$|$)")
_VALUE = re.compile(r"(?:Got|Given) value: (?P<value>.*?)\.?$")


def in_words(message: str, positional: Collection[str] = ()) -> str:
    """An error of the parser: which option, what it takes, what was given.

    Args:
        message: of jsonargparse, on one line.
        positional: names that are no options.

    Returns:
        A sentence without its full stop; the message itself if it is about something else.

    >>> in_words('Parser key "epochs": Expected a int. Got value: many.')
    "--epochs must be a whole number, but is 'many'"
    >>> in_words('Linked "fit.lr" must be given via "lr".')
    '--fit.lr is given as --lr'
    """
    linked = re.match(r'Linked "(?P<long>[\w.]+)" must be given via "(?P<short>[\w.]+)"', message)
    if linked:
        return f"--{linked['long']} is given as --{linked['short']}"
    found = re.match(r'Parser key "(?P<name>[\w.]+)": (?P<rest>.*)', message)
    wanted = [] if found is None else _wanted(found["rest"])
    if found is None or not wanted:
        return message.rstrip(".")
    name = found["name"] if found["name"] in positional else f"--{found['name']}"
    value = _VALUE.search(found["rest"])
    return f"{name} must be {' or '.join(wanted)}" + (f", but is {value['value']!r}" if value else "")


def _wanted(text: str) -> list[str]:
    """What the option takes: kinds of values, then what a type of ours says of itself."""
    own = [said["text"].rstrip(".") for said in _OWN.finditer(text)]
    return list(dict.fromkeys([_noun(kind) for kind in _KIND.finditer(text) if kind["kind"] != "NoneType"] + own))


def _noun(found: re.Match[str]) -> str:
    kind = found["kind"]
    if kind.startswith("Literal["):
        choices = [choice.strip().strip("'\"") for choice in kind[len("Literal[") : -1].split(",")]
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    return NOUNS.get(kind, kind) + (f" of {found['count']} values" if found["count"] else "")
