"""User-defined lists of videos: one list, or one for each split, in a dialect of :mod:`vidrobust.data.layouts.tables`.

| column | holds |
| --- | --- |
| ``path`` | the video, inside the data set: a file or a folder of frames |
| ``label`` | the class, a name or a number; without it, the name of the video's folder |
| ``split`` | ``train``, ``val`` or ``test``; for all rows or for none; without it, the name of the list may tell |
| ``group`` | the source it was cut from; for all rows or for none |
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from vidrobust.data.classes import class_order
from vidrobust.data.layouts.files import check_name, files, folders, group_of, holds_frames, is_video_file
from vidrobust.data.layouts.listed_paths import ListedPaths
from vidrobust.data.layouts.splitting import cut_three, cut_validation
from vidrobust.data.layouts.tables import (
    COLUMNS,
    JSON_SUFFIXES,
    LIST_SUFFIXES,
    Cells,
    dialect_of,
    json_rows,
    rows,
    split_of,
)
from vidrobust.data.layouts.text import read_text
from vidrobust.data.videos import SPLITS, Missing, Video, VideoFolder, check_link, present
from vidrobust.errors import DataError

LAYOUT = "manifest"

_SPLIT = re.compile(r"(?<![a-z])(train|val|test)(?:ing|id|idate|idation|set|list)?(?![a-z])", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?!.*\d)")


@dataclass(frozen=True)
class ManifestEntry:
    """A row of a list: its place, its path relative to the root, whether that is there, its split and its cells."""

    where: str
    path: str
    there: bool
    split: str
    cells: Cells


def find_lists(root: Path, split: int) -> list[Path]:
    """The list of a data set, or its list for each split, in the folder or in a folder of it without videos.

    Raises:
        DataError: there are several, or one that names videos in a way that is not understood.
    """
    for place in [root, *(folder for folder in folders(root) if not _holds_videos(folder))]:
        found = [file for file in files(place) if is_list(file, root)]
        if found:
            return chosen(found, split)
    return []


def _holds_videos(folder: Path) -> bool:
    return holds_frames(folder) or any(is_video_file(entry) for entry in folder.iterdir())


def is_list(file: Path, root: Path) -> bool:
    """Does a file list videos? One that is called ``manifest`` must.

    Raises:
        DataError: it names videos in a way that is not understood, or is a link out of the data set.
    """
    if file.suffix.lower() not in LIST_SUFFIXES:
        return False
    if file.is_symlink():
        check_link(root, file)
    found = _is_list(file, root)
    if found:
        check_name(file)
    return found


def _is_list(file: Path, root: Path) -> bool:
    suffix = file.suffix.lower()
    if file.stem.casefold() == "manifest":
        return True
    if suffix not in JSON_SUFFIXES:
        return dialect_of(file, partial(_is_video, root, file.parent)) is not None
    try:
        first = next(iter(json_rows(file)), None)
    except DataError:  # JSON may be about anything
        return False
    return first is not None and {"path", "label"} <= set(first[1])


def chosen(lists: Sequence[Path], split: int) -> list[Path]:
    """Of several lists, those of the three splits; of several for one split, that with the number of the split.

    Raises:
        DataError: it is not clear which.
    """
    if len(lists) == 1:
        return list(lists)
    found = []
    for name in ("", *SPLITS):
        alike = [file for file in lists if _split_by_name(file) == name]
        numbered = [file for file in alike if _numbered(file, split)]
        alike = numbered if len(alike) > 1 and len(numbered) == 1 else alike
        if len(alike) > 1 or (alike and not name):
            names = ", ".join(file.name for file in lists)
            raise DataError(f"{lists[0].parent} has several lists ({names}). Give one, or move the others away.")
        found += alike
    return found


def _split_by_name(file: Path) -> str:
    """The split that the name of a list tells; empty if it tells none, or several."""
    words = {word.casefold() for word in _SPLIT.findall(file.stem)}
    return words.pop() if len(words) == 1 else ""


def _numbered(file: Path, split: int) -> bool:
    number = _NUMBER.search(file.stem)
    return number is not None and int(number[0]) == split


def beside(file: Path, split: int) -> list[Path]:
    """A list that was given, with those of the other splits beside it if its name tells of one split alone."""
    if not _split_by_name(file):
        return [file]
    found = [other for other in files(file.parent) if _split_by_name(other) and is_list(other, file.parent)]
    return chosen(found, split) if file in found else [file]


def read(lists: Sequence[Path], root: Path, val_fraction: float, seed: int) -> VideoFolder:
    """The videos of lists. Without splits they are cut into three by group, without ``val`` that is cut from train.

    Args:
        lists: one, or one for each split.
        root: of the data set.
        val_fraction, seed: how many groups are held out, and which.

    Raises:
        DataError: a row is not as it must be; the message names the line.
    """
    entries = [entry for file in lists for entry in _entries(file, root, alone=len(lists) == 1)]
    first: dict[str, ManifestEntry] = {}
    for entry in entries:
        other = first.setdefault(entry.path, entry)
        if other is not entry:
            raise DataError(f"{entry.where}: {entry.path} is listed twice (before: {other.where}). Delete the line.")
    names = ", ".join(map(str, lists))
    if not entries:
        raise DataError(f"{names} lists no video. Its columns are {', '.join(COLUMNS)}; the first two are needed.")
    groups = _throughout(entries, [("group" in entry.cells) for entry in entries], "group")
    splits = _throughout(entries, [entry.split != "" for entry in entries], "split")
    labels = _labels(entries)
    classes = class_order(labels.values(), names)
    if len(classes) < 2:
        raise DataError(f"{names} has the class {classes[0]} alone; at least 2 are needed.")
    number = {name: label for label, name in enumerate(classes)}
    videos = [
        Video(entry.path, number[labels[entry.path]], entry.cells["group"] if groups else group_of(entry.path))
        for entry in entries
    ]
    notes: list[str] = []
    # Those that are missing are cut as well, so that the others do not change sides when they come.
    if splits:
        parts = by_split([(entry.split, video) for entry, video in zip(entries, videos, strict=True)])
        parts = with_validation(lists[0], parts, val_fraction, seed, notes)
    else:
        parts = cut_three(videos, classes, names, seed)
    missing = tuple(Missing(entry.split, entry.path, entry.where) for entry in entries if not entry.there)
    train, val, test = (present(part, missing) for part in parts)
    name = lists[0].name if len(lists) == 1 else root.resolve().name
    return VideoFolder(
        name, root, classes, train, val, test, LAYOUT, missing, tuple(notes), global_groups=groups, lists=tuple(lists)
    )


def _entries(file: Path, root: Path, *, alone: bool) -> list[ManifestEntry]:
    if file.suffix.lower() in JSON_SUFFIXES:
        listed = list(json_rows(file))
    else:
        dialect = dialect_of(file, partial(_is_video, root, file.parent))
        if dialect is None:
            return _refuse(file)
        listed = list(rows(file, dialect))
    named = _split_by_name(file)
    if named and alone and listed and not any("split" in cells for _, cells in listed):
        raise DataError(
            f"{file} is by its name the list of the split {named} alone, and the lists of the others are not "
            "beside it. Put them there, or call it otherwise, to have it cut into three."
        )
    for where, cells in listed:
        if "path" not in cells:
            raise DataError(f"{where}: path must not be empty. The columns are {', '.join(COLUMNS)}.")
    paths = ListedPaths.of(root, file.parent, (cells["path"] for _, cells in listed))
    return [_entry(paths, where, cells, named) for where, cells in listed]


def _is_video(root: Path, place: Path, name: str) -> bool:
    """Does a name lead to a file or a folder of frames, from a list in a folder? A number alone is an index."""
    paths = ListedPaths.of(root, place, [name])
    found = paths.there(paths.relative(name)) if name and not name.isdecimal() else ""
    return found != "" and ((root / found).is_file() or holds_frames(root / found))


def _refuse(file: Path) -> list[ManifestEntry]:
    if read_text(file).strip():
        raise DataError(
            f"{file}, line 1: path and label must not be empty. The columns are {', '.join(COLUMNS)}; the first line "
            "names them, or each line holds a path and a label."
        )
    return []


def _entry(paths: ListedPaths, where: str, cells: Cells, named: str) -> ManifestEntry:
    path = paths.relative(cells["path"])
    if not path:
        raise DataError(
            f"{where}: {cells['path']!r} leads out of the data set {paths.root}. Only paths within its folder may "
            "stand here: give the folder that holds both the videos and the list."
        )
    split = split_of(where, cells["split"]) if "split" in cells else named
    found = paths.there(path)
    if not found:
        return ManifestEntry(where, path, False, split, cells)
    paths.check_link(found)
    place = paths.root / found
    if not (holds_frames(place) if place.is_dir() else is_video_file(place)):
        raise DataError(f"{where}: {place} is neither a video file nor a folder of frames such as image_00001.jpg.")
    return ManifestEntry(where, found, True, split, cells)


def _labels(entries: Sequence[ManifestEntry]) -> dict[str, str]:
    """The class of each path: its label; where rows have none, the name of the folder, if that says the same.

    Raises:
        DataError: a row has no label, and folders do not stand for classes.
    """
    if all("label" in entry.cells for entry in entries):
        return {entry.path: entry.cells["label"] for entry in entries}
    bare = next(entry for entry in entries if "label" not in entry.cells)
    titles = {entry.path: PurePosixPath(entry.path).parent.name for entry in entries}
    pairs = {(entry.cells["label"], titles[entry.path]) for entry in entries if "label" in entry.cells}
    one_to_one = len({label for label, _ in pairs}) == len({title for _, title in pairs}) == len(pairs)
    if not one_to_one or not all(titles.values()):
        raise DataError(
            f"{bare.where}: label must not be empty: the videos' folders do not stand for classes. The columns are "
            f"{', '.join(COLUMNS)}."
        )
    return titles


def _throughout(entries: Sequence[ManifestEntry], filled: Sequence[bool], name: str) -> bool:
    """Is this column filled for all rows (or for none)?"""
    if any(filled) and not all(filled):
        where = entries[filled.index(False)].where
        raise DataError(f"{where}: {name} is empty, though other rows have one. Fill it in for all.")
    return all(filled)


def by_split(videos: Sequence[tuple[str, Video]]) -> tuple[list[Video], list[Video], list[Video]]:
    """The videos of train, val and test."""
    train, val, test = ([video for split, video in videos if split == name] for name in SPLITS)
    return train, val, test


def with_validation(
    where: Path,
    parts: tuple[list[Video], list[Video], list[Video]],
    val_fraction: float,
    seed: int,
    notes: list[str],
) -> tuple[list[Video], list[Video], list[Video]]:
    """The three splits. Without test videos, those of validation are the test, as papers report it (Kinetics).

    Validation is cut from training by group if there is none left.

    Raises:
        DataError: training or test is empty.
    """
    train, val, test = parts
    if val and not test:
        notes.append("The validation list is the test split; validation is cut from the training list.")
        val, test = [], val
    for name, videos in (("train", train), ("test", test)):
        if not videos:
            raise DataError(f"{where} has no video of split {name}, though it names splits. Add some.")
    if not val:
        train, val = cut_validation(train, val_fraction, seed, str(where))
    return train, val, test
