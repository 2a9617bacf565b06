"""Rows of results as JSON lines, appended crash-safely."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vidrobust.errors import RunError
from vidrobust.runs.files import disk_error
from vidrobust.runs.keys import dumps

Row = dict[str, Any]
"""One result: a ``kind`` and the fields of that kind, as plain JSON values."""


def append_lines(path: Path, rows: Iterable[Row]) -> None:
    """Append rows as JSON lines and force them to disk; a torn last line of an earlier kill is cut off first."""
    text = "".join(dumps(row) + "\n" for row in rows)
    try:
        with open(path, "ab+") as file:
            _cut_torn_line(file)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise disk_error(path, error) from error


def _cut_torn_line(file: Any) -> None:
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - (1 << 20))
    file.seek(start)
    tail = file.read()
    if tail and not tail.endswith(b"\n"):
        file.truncate(start + tail.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)


def read_lines(path: Path) -> Iterator[Row]:
    """Rows of a JSON-lines file; a torn last line (a kill while appending) is left out.

    Raises:
        RunError: a line before the last is not JSON.
    """
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # whole lines end in a newline: the last piece is torn or empty
        try:
            yield json.loads(line)
        except ValueError as error:
            raise RunError(
                f"{path}, line {number} is damaged ({error}). Delete the line, or the file and run the command again."
            ) from error
