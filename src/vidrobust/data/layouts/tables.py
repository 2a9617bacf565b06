"""Lists with named columns: CSV and JSON lines, read row by row with the place of each row for messages."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from vidrobust.errors import DataError

SPLIT_NAMES = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
"""How lists call the splits."""

JSON_SUFFIXES = (".jsonl", ".ndjson", ".jsonlines")

Cells = dict[str, str]


def header(file: Path) -> list[str]:
    """The column names of a CSV file, in lower case; none if it is not text."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return [name.strip().casefold() for name in next(csv.reader(lines), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def rows(file: Path) -> Iterator[tuple[str, Cells]]:
    """Place (``FILE, line 7``) and cells of each row; a missing or empty cell is left out.

    Raises:
        DataError: the file is not text, a row has more cells than columns, or a line is no JSON object.
    """
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as text ({error}). Save it as UTF-8.") from error
    if "\0" in text:
        raise DataError(f"{file} cannot be read as text (it holds zero bytes). Save it as UTF-8.")
    yield from _json(file, text) if file.suffix.lower() in JSON_SUFFIXES else _csv(file, text)


def _csv(file: Path, text: str) -> Iterator[tuple[str, Cells]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip().casefold() for name in next(reader, [])]
        if len(set(names)) < len(names):
            raise DataError(f"{file}, line 1: a column stands there twice: {', '.join(names)}.")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{file}, line {reader.line_num}"
            if len(cells) > len(names):
                raise DataError(
                    f"{where}: {len(cells)} cells, but {len(names)} columns. Put text with a comma in quotation marks."
                )
            yield where, {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}. Quotation marks must be closed.") from error


def _json(file: Path, text: str) -> Iterator[tuple[str, Cells]]:
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{file}, line {number}"
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: this is no JSON object on one line ({error}).") from error
        if not isinstance(found, dict):
            raise DataError(f'{where}: this is no JSON object, such as {{"path": "a.mp4", "label": "run"}}.')
        cells: Cells = {}
        for name, value in found.items():
            if isinstance(value, (dict, list, bool, float)):
                raise DataError(f"{where}: {name} must be a text or a whole number, not {json.dumps(value)[:60]}.")
            if value is not None and str(value).strip():
                cells[name.strip().casefold()] = str(value).strip()
        yield where, cells


def split_of(where: str, name: str) -> str:
    """``train``, ``val`` or ``test`` from the name a list gives it.

    Raises:
        DataError: it is none of them.
    """
    found = SPLIT_NAMES.get(name.casefold())
    if found is None:
        raise DataError(f"{where}: split {name!r} is none of {', '.join(SPLIT_NAMES)}.")
    return found
