"""What the parser of options says of a wrong value, in the words of this command line."""

from __future__ import annotations

import json
import re
from ast import literal_eval
from collections.abc import Collection
from contextlib import suppress

import yaml

NOUNS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "tuple": "a list in brackets",
    "dict": "a table of options",
}
"""Python's types, as one calls their values where options are typed."""

_PHRASES = (
    (re.compile(r"argument (--\w[\w.]*): expected one argument"), r"\1 needs a value"),
    (re.compile(r"argument (--\w[\w.]*): expected (\d+) arguments"), r"\1 needs \2 values"),
    (re.compile(r"argument (--\w[\w.]*): ignored explicit argument (.*)"), r"\1 takes no value, but is given \2"),
    (re.compile(r"unrecognized arguments: (.*)"), r"nothing takes \1: leave it out, or write its option before it"),
)
"""What the parser says of a command line without naming a value, and the same in other words."""

_NO_PATH = re.compile(r"expected str, bytes or os\.PathLike object, not \w+")
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
    >>> in_words("argument --lr: expected one argument.")
    '--lr needs a value'
    """
    message = message.rstrip(".")
    missing = re.fullmatch(r"the following arguments are required: (?P<names>.*)", message)
    if missing:
        names = [_named(name, positional) for name in missing["names"].split(", ")]
        return f"the following arguments are required: {', '.join(names)}"
    for pattern, words in _PHRASES:
        if pattern.fullmatch(message):
            return pattern.sub(words, message)
    found = re.match(r'(?:.* - )?Parser key "(?P<name>[\w.]+)"(?: element \d+)?: (?P<rest>.*)', message)
    if found is None:
        return message
    wanted, value = _wanted(_NO_PATH.sub("expected a path", found["rest"])), _VALUE.search(found["rest"])
    name = _named(found["name"], positional)
    if not wanted:
        return f"{name}: {found['rest']}"
    return f"{name} must be {' or '.join(wanted)}" + (f", but is {_as_typed(value['value'])}" if value else "")


def shown(value: object) -> str:
    """A value of an option as it would be typed; text is in quotation marks.

    >>> shown({"size": [1, None]}), shown("many"), shown(1.5)
    ('{"size": [1, null]}', "'many'", '1.5')
    """
    if isinstance(value, str):
        return repr(value)
    with suppress(ValueError, RecursionError):
        with suppress(TypeError):
            return json.dumps(value, ensure_ascii=False, default=str)
        return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).strip()  # keys that are no text
    return "what is too large to be shown"


def _as_typed(printed: str) -> str:
    """A value that Python has printed, as it would be typed."""
    with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = literal_eval(printed)
        if isinstance(value, dict | list | tuple | bool | None):
            return shown(value)
    return repr(printed)


def _named(name: str, positional: Collection[str]) -> str:
    return name if name in positional else f"--{name}"


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
