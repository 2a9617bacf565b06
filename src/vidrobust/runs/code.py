"""Code that a text names (``mypkg.module:factory``) runs only if the person who runs the command has named it.

Files are data: weights, run directories, configurations and rows may come from elsewhere, and a dotted path in them
must not import or call anything. Whoever imports by a text asks :func:`refuse_code` first. What was typed is known
where the texts come in: the command line (:mod:`vidrobust.cli.entry`), and the Python call that reads a file.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterable
from contextvars import ContextVar

from vidrobust.errors import InputError

_TYPED: ContextVar[tuple[str, ...] | None] = ContextVar("typed", default=None)


@contextlib.contextmanager
def only_code_in(texts: Iterable[str]) -> Generator[None]:
    """Inside, code runs only if one of these texts names it."""
    token = _TYPED.set(tuple(texts))
    try:
        yield
    finally:
        _TYPED.reset(token)


@contextlib.contextmanager
def reading_files(texts: Iterable[str] = ()) -> Generator[None]:
    """Inside, texts come from files: code runs only if the command line names it, or, in Python, these texts do."""
    typed = _TYPED.get()
    with only_code_in(texts if typed is None else typed):
        yield


def typed_code() -> tuple[str, ...] | None:
    """The texts in which code may be named; None in a Python call that passes its texts itself."""
    return _TYPED.get()


def refuse_code(text: str, remedy: str, called: bool = False) -> None:
    """Refuse code that only a file names.

    Args:
        text: what names it, such as ``mypkg.module:factory(width=8)``.
        remedy: how to name it oneself.
        called: is it the path of a class alone, which may have been typed with its fields?

    Raises:
        InputError: nobody has typed it.

    >>> refuse_code("mypkg.module:factory", "")
    >>> with only_code_in(["--model=mypkg.module:factory_of_mine"]):
    ...     refuse_code("mypkg.module:factory", "Type it.")
    Traceback (most recent call last):
    vidrobust.errors.InputError: 'mypkg.module:factory' names code, which would run, and only a file says so: files are
    data. If you trust it, name it yourself. Type it.
    """
    typed = _TYPED.get()
    whole = re.compile(rf"(?<![\w.:/\\]){re.escape(text)}(?![\w.:{'' if called else '('}/\\])")
    if typed is not None and not any(map(whole.search, typed)):
        raise InputError(
            f"{text!r} names code, which would run, and only a file says so: files are data. If you trust it, name it "
            f"yourself. {remedy}"
        )
