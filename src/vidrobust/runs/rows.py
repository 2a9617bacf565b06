"""Rows of results as JSON lines: appended crash-safely, read with a schema, each measurement once.

A row belongs to what it measures (:func:`vidrobust.runs.schema.identity`), not to its place in the file. Files are only
ever appended to; :class:`Reading` shows of each measurement the newest row, and of each model the rows of its newest
weights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidrobust.errors import RunError
from vidrobust.runs.files import disk_error
from vidrobust.runs.keys import dumps
from vidrobust.runs.lock import BRIEFLY, held
from vidrobust.runs.schema import fault, identity

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
    """Rows of a JSON-lines file as they stand; a torn last line (a kill while appending) is left out.

    Raises:
        RunError: a line before the last is not JSON.
    """
    return (row for _, row in _numbered(path))


def _numbered(path: Path) -> Iterator[tuple[int, Row]]:
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # whole lines end in a newline: the last piece is torn or empty
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RunError(
                f"{path}, line {number} is damaged ({error}). Delete the line, or the file and run the command again."
            ) from error


@dataclass
class Reading:
    """The rows of a run as they count.

    Attributes:
        faults: of each line that is JSON but no row of its kind, its number and what is wrong with it. Such lines are
            left out of :attr:`rows`; who shows the rows should say so.
        doubled: how many older rows of the same measurement are left out.
        stale: how many rows of a model are left out since its weights have changed after they were measured.
    """

    faults: list[tuple[int, str]] = field(default_factory=list)
    doubled: int = 0
    _newest: dict[Hashable, Row] = field(default_factory=dict)
    _weights: dict[Hashable, str] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Take a row that is newer than all before it."""
        key = identity(row)
        self.doubled += key in self._newest
        self._newest[key] = row
        if "weights" in row:
            self._weights[_model(row)] = row["weights"]

    def holds(self, row: Row) -> bool:
        """Does this row count, as it is?"""
        return self._newest.get(identity(row)) == row and self._current(row)

    def _current(self, row: Row) -> bool:
        return "weights" not in row or self._weights.get(_model(row)) == row["weights"]

    @property
    def rows(self) -> list[Row]:
        """The rows that count, in the order in which their measurements were first written."""
        return [row for row in self._newest.values() if self._current(row)]

    @property
    def stale(self) -> int:
        return len(self._newest) - len(self.rows)


def _model(row: Row) -> Hashable:
    return dumps([row.get("model"), row.get("seed")])


def read_rows(path: Path) -> Reading:
    """The rows of a ``rows.jsonl``.

    Raises:
        RunError: a line before the last is not JSON.
    """
    reading = Reading()
    for number, row in _numbered(path):
        wrong = fault(row)
        if wrong is None:
            reading.add(row)
        else:
            reading.faults.append((number, wrong))
    return reading


class RowFile:
    """A ``rows.jsonl`` that is added to, by several processes at once if need be."""

    def __init__(self, path: Path) -> None:
        self.path, self._reading, self._size = path, Reading(), -1

    def append(self, rows: Sequence[Row]) -> list[Row]:
        """Append those rows that do not count yet, so that afterwards all of them do.

        Returns:
            The rows that were appended.

        Raises:
            ValueError: one is no row of its kind.
            RunError: the file is damaged or cannot be written, or another process has held it for a minute.
        """
        plain = [json.loads(dumps(row)) for row in rows]
        wrong = next(filter(None, map(fault, plain)), None)
        if wrong is not None:
            raise ValueError(f"not a row: {wrong}")
        with held(self.path.parent, "run", BRIEFLY):
            if self._size != _size(self.path):
                self._reading = read_rows(self.path)
            self._size, new = -1, []  # what is in memory is no longer what is in the file, until it is written
            for row in plain:
                if not self._reading.holds(row):
                    self._reading.add(row)
                    new.append(row)
            append_lines(self.path, new)  # cuts off the torn line of an earlier kill, also if nothing is new
            self._size = _size(self.path)
        return new


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
