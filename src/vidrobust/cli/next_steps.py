"""Suggested commands: the last lines of every help text and of every error message."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vidrobust.errors import DataError, MissingExtraError, RunError, StoppedError, VidrobustError
from vidrobust.runs.printable import printable


class Step(NamedTuple):
    """A command, and what it is for."""

    command: str
    about: str


def suggestions(steps: Sequence[Step]) -> str:
    """Commands as the last lines of a text, each with its purpose as a comment of the shell.

    >>> print(suggestions([Step("vidrobust runs", "list the runs"), Step("vidrobust doctor", "versions")]), end="")
    Next:
      vidrobust runs    # list the runs
      vidrobust doctor  # versions
    """
    width = max(len(step.command) for step in steps)
    return "".join(["Next:\n", *(f"  {step.command:<{width}}  # {step.about}\n" for step in steps)])


def after(error: BaseException, verb: str, arguments: Sequence[str]) -> Step:
    """What to type after an error.

    Args:
        error: what ended the command.
        verb: such as ``judge`` or ``data check``; empty where there is no such verb.
        arguments: the whole command line.
    """
    options = Step(" ".join(["vidrobust", *verb.split(), "--help"]), "its options, with their defaults")
    if isinstance(error, (StoppedError, KeyboardInterrupt)):
        return Step(f"vidrobust {printable(shlex.join(arguments))}", "go on from what is finished")
    if isinstance(error, MissingExtraError):
        return Step(f'pip install "vidrobust[{error.extra}]"', f"install {error.library}")
    if isinstance(error, DataError) and not verb.startswith("data") and (data := _data(arguments)):
        return Step(f"vidrobust data check {printable(shlex.quote(data))}", "check every video and the splits")
    if isinstance(error, RunError) and verb != "runs":
        return Step("vidrobust runs", "list the run directories in ./runs")
    if isinstance(error, VidrobustError):
        return options if verb else Step("vidrobust --help", "list all verbs")
    return Step("vidrobust doctor", "versions, devices, decoders and disk, to report this error with")


def _data(arguments: Sequence[str]) -> str:
    """What ``--data`` names, if it exists."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        if name == "--data" and (equals or following) and Path(value or following).exists():
            return value or following
    return ""
