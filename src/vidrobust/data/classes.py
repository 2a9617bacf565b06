"""The order of the classes: one rule for folders and lists, or a file with the order of a model.

Numbers come by value, names by text (code point by code point, so that upper case comes first). Classes are numbers if
all their names are.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from vidrobust.data.layouts.text import read_text
from vidrobust.data.videos import CONTROL_CHARACTERS, SPLITS, VideoFolder
from vidrobust.errors import DataError
from vidrobust.runs.once import each_once

_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})", re.ASCII)


def class_order(names: Iterable[str], where: str = "the data set") -> tuple[str, ...]:
    """The names, each once, in the order of their labels.

    Args:
        names: of the classes.
        where: what to call the place in an error.

    Raises:
        DataError: two names are the same number, or one has control characters.

    >>> class_order(["10.0", "2.0", "1.0"]), class_order(["b", "10", "9"])
    (('1.0', '2.0', '10.0'), ('10', '9', 'b'))
    """
    found = sorted(set(names))
    odd = next((name for name in found if CONTROL_CHARACTERS.search(name)), None)
    if odd is not None:
        raise DataError(f"{where}: the class {odd!r} has control characters. Rename it.")
    if not all(map(_NUMBER.fullmatch, found)):
        return tuple(found)
    values: dict[Fraction, str] = {}
    for name in found:
        other = values.setdefault(Fraction(name), name)
        if other != name:
            raise DataError(f"{where}: the classes {other!r} and {name!r} are the same number. Write one of them.")
    return tuple(values[value] for value in sorted(values))


def twins_note(classes: Iterable[str]) -> str:
    """A note on classes whose names differ in letter case or blanks alone; empty if there are none.

    >>> twins_note(["Cat", "cat", "dog"])
    'classes whose names differ in letter case or blanks alone, and count as several: Cat/cat.'
    """
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault("".join(name.split()).casefold(), []).append(name)
    twins = ["/".join(names) for names in alike.values() if len(names) > 1]
    said = ", ".join(twins[:3]) + (", …" if len(twins) > 3 else "")
    return f"classes whose names differ in letter case or blanks alone, and count as several: {said}." if twins else ""


def read_classes(file: Path) -> tuple[str, ...]:
    """The names of a model's classes, in the order of its outputs.

    A line holds a name, or an index and a name (``0 abseiling`` or ``0,abseiling``, from 0 or from 1, as
    ``classInd.txt`` and ``kinetics_400_labels.csv`` have them). JSON holds a list of names, or an object from name to
    index or from index to name.

    Raises:
        DataError: the file is not as it must be.
    """
    text = read_text(file, "Give a file with one class name per line.")
    pairs = _from_json(file, text) if file.suffix.lower() == ".json" else _from_lines(text)
    names = [name for _, name in pairs]
    twice = len({_plain(name) for name in names}) < len(names)
    if len(names) < 2 or twice or not all(names) or any(map(CONTROL_CHARACTERS.search, names)):
        raise DataError(f"{file} must name at least two classes, each once, in plain text. Correct it.")
    if any(index is None for index, _ in pairs):
        return tuple(names)
    ordered = sorted((int(index), name) for index, name in pairs if index is not None)
    first = ordered[0][0]
    if first not in (0, 1) or [index for index, _ in ordered] != list(range(first, first + len(ordered))):
        raise DataError(f"{file} must number the classes 0, 1, 2 … or 1, 2, 3 …, each once. Correct it.")
    return tuple(name for _, name in ordered)


Pair = tuple[str | None, str]
"""An index, if there is one, and a name."""


def _from_lines(text: str) -> list[Pair]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and "," in lines[0]:
        cells = [[cell.strip() for cell in row] for row in csv.reader(lines)]
        cells = cells[1:] if [cell.casefold() for cell in cells[0]] in (["id", "name"], ["index", "name"]) else cells
        if all(len(row) == 2 and _is_index(row[0]) for row in cells):
            return [(index, name) for index, name in cells]
    words = [line.split(None, 1) for line in lines]
    if all(len(word) == 2 and _is_index(word[0]) for word in words):
        return [(index, name) for index, name in words]
    return [(None, line.strip('"')) for line in lines]


def _from_json(file: Path, text: str) -> list[Pair]:
    try:
        found = json.loads(text, object_pairs_hook=each_once)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is no JSON ({error}). Correct it.") from error
    if isinstance(found, list) and all(isinstance(name, str) for name in found):
        return [(None, name) for name in found]
    if isinstance(found, dict) and all(type(index) is int for index in found.values()):
        return [(str(index), name.strip('"')) for name, index in found.items()]
    if isinstance(found, dict) and all(_is_index(i) and isinstance(name, str) for i, name in found.items()):
        return list(found.items())
    raise DataError(f"{file} must be a list of names, or an object from name to index or from index to name.")


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _plain(name: str) -> str:
    """A name as it compares: ``playing guitar``, ``playing_guitar`` and ``Playing Guitar`` are one class."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def with_classes(folder: VideoFolder, names: tuple[str, ...]) -> VideoFolder:
    """A data set whose labels count in a model's list of classes, of which it may lack some.

    Classes are found by name, whatever their letter case and whether words are joined by ``_`` or blanks. Where the
    data set has numbers for names and the list has none, they are places in the list, from 0.

    Args:
        folder: the data set.
        names: of all classes of the model, in the order of its outputs.

    Raises:
        DataError: a class is not in the list.
    """
    place = {_plain(name): label for label, name in enumerate(names)}
    numbers = all(_is_index(name) for name in folder.classes) and not any(_is_index(name) for name in names)
    own = [_place(name, place, len(names), numbers) for name in folder.classes]
    unknown = [name for name, label in zip(folder.classes, own, strict=True) if label is None]
    if unknown:
        raise DataError(
            f"{folder.root}: {len(unknown)} of its classes are not among the {len(names)} given "
            f"({', '.join(unknown[:5])}). Give the list of classes that the model was trained on, or leave these out."
        )
    labels = [label for label in own if label is not None]
    if len(set(labels)) < len(labels):
        raise DataError(f"{folder.root}: two of its classes are the same one of the list. Rename one.")
    train, val, test = (
        tuple(replace(video, label=labels[video.label]) for video in folder.split(split)) for split in SPLITS
    )
    return replace(folder, classes=names, train=train, val=val, test=test)


def _place(name: str, place: dict[str, int], count: int, numbers: bool) -> int | None:
    if numbers:
        return int(name) if int(name) < count else None
    return place.get(_plain(name))
