"""Rows of results as JSON lines: appended crash-safely, read with a schema, each measurement once.

A row belongs to what it measures (:func:`vidrobust.runs.schema.row_identity`), not to its place in the file. Files are
only appended to; :class:`Reading` gives the newest row of each measurement, and for each model the rows of its newest
weights.
"""

from __future__ import annotations

import json
import os
from codecs import BOM_UTF8
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidrobust.errors import RunError
from vidrobust.runs.collector import collector_paused
from vidrobust.runs.files import disk_error, refuse_irregular
from vidrobust.runs.keys import dumps
from vidrobust.runs.lock import BRIEFLY, folder_lock
from vidrobust.runs.schema import fault, row_identity

Row = dict[str, Any]
"""One result: a ``kind`` and the fields of that kind, as plain JSON values."""

LARGEST_ROWS = 2 << 30
"""The most bytes of a file of rows. A hundred thousand rows have some hundred million."""


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


def read_json_lines(path: Path) -> Iterator[Row]:
    """Rows of a JSON-lines file as they stand; a torn last line (a kill while appending) is left out.

    Raises:
        RunError: a line before the last is not JSON.
    """
    return (row for _, row in numbered(path))


def numbered(path: Path, faults: list[tuple[int, str]] | None = None) -> Iterator[tuple[int, Row]]:
    """The rows of a JSON-lines file with their line numbers; a damaged line is an error, or is noted in ``faults``."""
    if not path.exists():
        return
    refuse_irregular(path, LARGEST_ROWS)
    lines = path.read_bytes().removeprefix(BOM_UTF8).split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # whole lines end in a newline: the last piece is torn or empty
        try:
            row = json.loads(line.decode())
            if b"\\ud" in line.lower():
                dumps(row).encode()  # half of a surrogate pair is no text
        except (ValueError, RecursionError) as error:
            if faults is None:
                raise RunError(
                    f"{path}, line {number} is damaged ({error}). Delete the line, or the file, and run the command "
                    "again."
                ) from error
            faults.append((number, f"damaged: {error}"))
        else:
            yield number, row


@dataclass
class Reading:
    """The rows of a run as they count.

    Attributes:
        faults: of each line that is no row of its kind, its number and what is wrong with it. Such lines are left out
            of :attr:`rows`; who shows the rows should say so.
        replaced: of each row that was measured anew, its line and the line that counts instead.
    """

    faults: list[tuple[int, str]] = field(default_factory=list)
    replaced: list[tuple[int, int]] = field(default_factory=list)
    _newest: dict[Hashable, Row] = field(default_factory=dict)
    _lines: dict[Hashable, int] = field(default_factory=dict)
    _weights: dict[Hashable, str] = field(default_factory=dict)
    _named: dict[Hashable, Hashable] = field(default_factory=dict)

    def add(self, row: Row, line: int = 0) -> None:
        """Take a row that is newer than all before it.

        Earlier versions did not say which clips a row is of: one that says so counts in its place.
        """
        key = row_identity(row)
        older = _nameless(row, key)
        if key in self._named:
            self.replaced.append((line, self._lines[self._named[key]]))
            return
        if older is not None:
            self._named[older] = key
        for known in (key, older):
            if known in self._newest:
                self.replaced.append((self._lines[known], line))
        if older in self._newest:
            del self._newest[older], self._lines[older]
        self._newest[key], self._lines[key] = row, line
        if "weights" in row:
            self._weights[_model(row)] = row["weights"]

    def holds(self, row: Row) -> bool:
        """Does this row count, as it is, or one that says which clips it is of in its place?"""
        key = row_identity(row)
        return key in self._named or (self._newest.get(key) == row and self._current(row))

    def _current(self, row: Row) -> bool:
        return "weights" not in row or self._weights.get(_model(row)) == row["weights"]

    @property
    def rows(self) -> list[Row]:
        """The rows that count, in the order in which their measurements were first written."""
        return [row for row in self._newest.values() if self._current(row)]

    @property
    def doubled(self) -> int:
        """How many older rows of the same measurement are left out."""
        return len(self.replaced)

    @property
    def stale(self) -> int:
        """How many rows of a model are left out since its weights have changed after they were measured."""
        return len(self._newest) - len(self.rows)

    @property
    def left_out(self) -> list[tuple[int, str]]:
        """Every line that does not count, with the reason, in the order of the file."""
        again = [(line, f"measured again in line {newer}, which counts") for line, newer in self.replaced]
        changed = "the weights of its model have changed since it was measured"
        stale = [(self._lines[key], changed) for key, row in self._newest.items() if not self._current(row)]
        return sorted(self.faults + again + stale)


def _nameless(row: Row, key: Hashable) -> Hashable:
    """The identity that a row with this one had, if it did not name its clips; None of one that does not."""
    if "clips_of" not in row or row["kind"] == "manifest":
        return None
    if isinstance(key, frozenset):
        return frozenset(field for field in key if field[0] != "clips_of")
    return row_identity({name: value for name, value in row.items() if name != "clips_of"})


def _model(row: Row) -> Hashable:
    return dumps([row.get("model"), row.get("seed")])


def read_rows(path: Path, strict: bool = True) -> Reading:
    """The rows of a ``rows.jsonl``.

    Args:
        path: the file; one that does not exist has no rows.
        strict: refuse a line that is not JSON, which who goes on with the run must mend; else it is one of the faults.

    Raises:
        RunError: a line before the last is not JSON, and ``strict``.
    """
    reading = Reading()
    with collector_paused():
        for number, row in numbered(path, None if strict else reading.faults):
            wrong = fault(row)
            if wrong is None:
                reading.add(row, number)
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
        with folder_lock(self.path.parent, "run", BRIEFLY):
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
