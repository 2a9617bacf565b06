"""Lists of videos as tables, in the dialects that are in use: each row with its place, for messages.

| dialect | example |
| --- | --- |
| columns named in the first line, separated by ``,``, ``;``, a tab or blanks | ``path;label;split``, ``# path label`` |
| no such line: a path, and behind it a label (SlowFast, mmaction2) | ``cat/1.mp4 0`` |
| a path, how many frames its folder has, a label (mmaction2's raw frames) | ``cat/1 120 0`` |
| a path, a label, a split, and maybe a group | ``cat/1.mp4,cat,train`` |
| a path alone: the label is its folder's name | ``cat/1.mp4`` |
| JSON: an object per line, or a list of objects | ``{"path": "cat/1.mp4", "label": "cat"}`` |

Cells may stand in quotation marks, lines end as on Unix or Windows.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vidrobust.data.layouts.files import SUFFIXES
from vidrobust.data.layouts.text import read_text
from vidrobust.errors import DataError
from vidrobust.runs.once import each_once

SPLIT_NAMES = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
"""How lists call the splits."""

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson", ".jsonlines")
LIST_SUFFIXES = (".csv", ".tsv", ".txt", ".lst", ".list", *JSON_SUFFIXES)

COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "video", "video_path", "video_name"),
    "label": ("label", "class", "class_name", "category", "action", "target"),
    "split": ("split", "subset", "partition"),
    "group": ("group", "group_id"),
}
"""How lists call their columns."""

_OURS = {name: ours for ours, names in COLUMNS.items() for name in names}
_SEPARATORS = (",", ";", "\t", " ")
_SNIFFED = 1 << 16
_LINES = 50

Cells = dict[str, str]
Exists = Callable[[str], bool]
"""Is there a video of this name? For lists whose paths have no suffix, as those of folders of frames."""


@dataclass(frozen=True)
class Dialect:
    """How a list is written.

    Attributes:
        separator: between the cells; a blank stands for any number of blanks.
        columns: what each cell holds, in our names or its own.
        header: are they named in the first line?
    """

    separator: str
    columns: tuple[str, ...]
    header: bool


def column_names(names: Iterable[str]) -> tuple[str, ...]:
    """Our names of columns; where a list has both ours and another for it, the other is a column of its own.

    >>> column_names([" Video_Path", "class", "label", "fps"])
    ('path', 'class', 'label', 'fps')
    """
    plain = [name.strip().casefold() for name in names]
    return tuple(name if _OURS.get(name, name) in plain else _OURS.get(name, name) for name in plain)


def header(file: Path) -> list[str]:
    """The names in the first line of a table, in lower case; none if it is not text."""
    lines = _first_lines(file)
    best = max((_cells(lines[0], separator) for separator in _SEPARATORS), key=len) if lines else []
    return [name.strip().casefold() for name in best]


def dialect_of(file: Path, exists: Exists) -> Dialect | None:
    """How a list of videos is written; None if it is none.

    Raises:
        DataError: it names videos, but not in a way that is known.
    """
    lines = _first_lines(file)
    if not lines:
        return None
    for separator in _SEPARATORS:
        columns = column_names(_cells(lines[0].lstrip("#"), separator))
        if "path" in columns and (len(columns) == 1 or not {"label", "split", "group"}.isdisjoint(columns)):
            return Dialect(separator, columns, header=True)
    for separator in _SEPARATORS:
        columns = _columns([_cells(line, separator) for line in lines], exists)
        if columns:
            return Dialect(separator, columns, header=False)
    named = [line for line in lines if _VIDEO.search(line)]
    if 2 * len(named) > len(lines):
        raise DataError(
            f"{file} names videos in a way that is not understood, such as {named[0][:80]!r}. Give it a first line "
            "with the names of its columns (path,label,split,group), or move it out of the data set."
        )
    return None


_VIDEO = re.compile("|".join(rf"{re.escape(suffix)}\b" for suffix in sorted(SUFFIXES)), re.IGNORECASE)


def _first_lines(file: Path) -> list[str]:
    """The first lines that are not blank, the last of which may be cut off; none of what is no text.

    Raises:
        DataError: it is no text, but names a video.
    """
    try:
        lines = [line for line in read_text(file, most=_SNIFFED).splitlines() if line.strip()]
    except DataError:
        if file.is_file() and _VIDEO.search(_start(file)):
            raise
        return []
    return lines[:-1][:_LINES] if file.stat().st_size > _SNIFFED else lines[:_LINES]


def _start(file: Path) -> str:
    """The beginning of a file whose encoding is not known."""
    try:
        with file.open("rb") as opened:
            return opened.read(_SNIFFED).decode("latin-1")
    except OSError:
        return ""


def _columns(rows: Sequence[Sequence[str]], exists: Exists) -> tuple[str, ...]:
    """What the cells of rows without a header hold; none if they are no list of videos."""
    width = len(rows[0])
    if any(len(row) != width for row in rows) or 2 * sum(_names_video(row[0], exists) for row in rows) <= len(rows):
        return ()
    rest = [[row[place].strip() for row in rows] for place in range(1, width)]
    splits = [all(cell.casefold() in SPLIT_NAMES for cell in column) for column in rest]
    if width == 1:
        return ("path",)
    if width == 2:
        return ("path", "split") if splits[0] else ("path", "label")
    if width in (3, 4) and splits[1]:
        return ("path", "label", "split", "group")[:width]
    if width in (3, 4) and splits[0]:
        return ("path", "split", "label", "group")[:width]
    of_folders = not any(PurePosixPath(row[0].strip()).suffix.lower() in SUFFIXES for row in rows)
    if width == 3 and of_folders and all(cell.isdecimal() for column in rest for cell in column):
        return ("path", "frames", "label")
    return ()


def _names_video(name: str, exists: Exists) -> bool:
    path = PurePosixPath(name.strip().replace("\\", "/"))
    return path.suffix.lower() in SUFFIXES or exists(name.strip())


def _cells(line: str, separator: str) -> list[str]:
    if separator != " " or '"' in line:
        try:
            cells = next(csv.reader([line], delimiter=separator, skipinitialspace=separator == " "), [])
        except csv.Error:  # a cell too long for any path
            return [line]
        return cells if separator != " " else [cell for cell in cells if cell]
    words = line.split()
    suffixed = [place for place, word in enumerate(words) if PurePosixPath(word).suffix.lower() in SUFFIXES]
    # "air drumming/a.mp4 0": blanks within a path end with its suffix.
    if not suffixed:
        return words
    rest = words[suffixed[-1] + 1 :]
    separate = all(word.isdecimal() for word in rest) or any(word.casefold() in SPLIT_NAMES for word in rest)
    path = line.strip()[: _end(line.strip(), suffixed[-1])]
    return [path, *rest] if separate or not rest else [path, " ".join(rest)]  # "a.mp4 air drumming"


def _end(line: str, word: int) -> int:
    """Where a word of a line ends."""
    return [match.end() for match in re.finditer(r"\S+", line)][word]


def rows(file: Path, dialect: Dialect) -> Iterator[tuple[str, Cells]]:
    """Place (``FILE, line 7``) and cells of each row of a text; a missing or empty cell is left out.

    Raises:
        DataError: the file is not text, or a row has more cells than columns.
    """
    text = read_text(file)
    if dialect.header and len(set(dialect.columns)) < len(dialect.columns):
        raise DataError(f"{file}, line 1: a column stands there twice: {', '.join(dialect.columns)}.")
    for number, cells in _records(file, text, dialect.separator):
        where = f"{file}, line {number}"
        if not any(cell.strip() for cell in cells) or (number == 1 and dialect.header):
            continue
        if len(cells) > len(dialect.columns):
            raise DataError(
                f"{where}: {len(cells)} cells, but {len(dialect.columns)} columns. Put text with a separator in "
                "quotation marks."
            )
        yield where, {name: cell.strip() for name, cell in zip(dialect.columns, cells, strict=False) if cell.strip()}


def _records(file: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    if separator == " ":
        yield from ((number, _cells(line, " ")) for number, line in enumerate(text.splitlines(), 1) if line.strip())
        return
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}. Quotation marks must be closed.") from error


def csv_rows(file: Path) -> Iterator[tuple[str, Cells]]:
    """The rows of a table whose first line names its columns, whatever it is about.

    Raises:
        DataError: the file is not text, or a row has more cells than columns.
    """
    lines = _first_lines(file) or [""]
    separator = max((",", ";", "\t"), key=lambda one: len(_cells(lines[0], one)))
    columns = tuple(name.strip().casefold() for name in _cells(lines[0], separator))
    return rows(file, Dialect(separator, columns, header=True))


def json_rows(file: Path) -> Iterator[tuple[str, Cells]]:
    """Place and cells of each object: one per line, or in a list.

    Raises:
        DataError: the file is not text, or something in it is no object of plain values.
    """
    text = read_text(file)
    if file.suffix.lower() == ".json":
        found = _parsed(str(file), text)
        if not isinstance(found, list):
            raise DataError(f'{file}: this is no list of objects, such as [{{"path": "a.mp4", "label": "run"}}].')
        yield from ((f"{file}, entry {n}", _object(f"{file}, entry {n}", one)) for n, one in enumerate(found, 1))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            where = f"{file}, line {number}"
            yield where, _object(where, _parsed(where, line))


def _parsed(where: str, text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=each_once)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: this is no JSON object on one line ({error}).") from error


def _object(where: str, found: object) -> Cells:
    if not isinstance(found, dict):
        raise DataError(f'{where}: this is no JSON object, such as {{"path": "a.mp4", "label": "run"}}.')
    cells: Cells = {}
    for ours, (name, value) in zip(column_names(found), found.items(), strict=True):
        whole = isinstance(value, float) and value.is_integer()
        if ours in COLUMNS and isinstance(value, (dict, list, bool, float)) and not whole:
            raise DataError(f"{where}: {name} must be a text or a whole number, not {json.dumps(value)[:60]}.")
        if value is not None and str(value).strip():
            cells[ours] = str(value).strip()
    return cells


def split_of(where: str, name: str) -> str:
    """``train``, ``val`` or ``test`` from the name a list gives it.

    Raises:
        DataError: it is none of them.
    """
    found = SPLIT_NAMES.get(name.casefold())
    if found is None:
        raise DataError(f"{where}: split {name!r} is none of {', '.join(SPLIT_NAMES)}.")
    return found
