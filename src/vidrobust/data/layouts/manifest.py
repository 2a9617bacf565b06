"""One's own list of videos: a CSV file or JSON lines, with a path and a label a row.

| column | holds |
| --- | --- |
| ``path`` | the video, relative to the list's folder and inside it: a file or a folder of frames |
| ``label`` | the class: a name, or numbers throughout |
| ``split`` | ``train``, ``val`` or ``test``; for all rows or for none |
| ``group`` | the source it was cut from; for all rows or for none |
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vidrobust.data.layouts.files import group_of, holds_frames, is_video_file
from vidrobust.data.layouts.splitting import cut_three, cut_validation
from vidrobust.data.layouts.tables import JSON_SUFFIXES, Cells, rows, split_of
from vidrobust.data.videos import Video, VideoFolder, check_link, inside
from vidrobust.errors import DataError

LAYOUT = "manifest"
COLUMNS = ("path", "label", "split", "group")
SUFFIXES = (".csv", *JSON_SUFFIXES)


def read(file: Path, val_fraction: float, seed: int) -> VideoFolder:
    """The videos of a list. Without ``split`` they are cut into three by group, without ``val`` that is cut from train.

    Args:
        file: the list.
        val_fraction, seed: how many groups are held out, and which.

    Raises:
        DataError: a row is not as it must be; the message names the line.
    """
    root = file.parent
    listed: dict[str, tuple[str, Cells]] = {}
    for where, cells in rows(file):
        path = _path(root, where, cells)
        if path in listed:
            raise DataError(f"{where}: {path} is listed twice (before: {listed[path][0]}). Delete the line.")
        listed[path] = where, cells
    if not listed:
        raise DataError(f"{file} lists no video. Its columns are {', '.join(COLUMNS)}; the first two are needed.")
    splits, groups = (_throughout(file, listed, name) for name in COLUMNS[2:])
    classes = class_names([cells["label"] for _, cells in listed.values()])
    if len(classes) < 2:
        raise DataError(f"{file} has the class {classes[0]} alone; at least 2 are needed.")
    labels = {name: label for label, name in enumerate(classes)}
    videos = {
        path: Video(path, labels[cells["label"]], cells["group"] if groups else group_of(path))
        for path, (_, cells) in listed.items()
    }
    if not splits:
        parts = cut_three(list(videos.values()), classes, str(file), seed)
    else:
        parts = apart([(split_of(where, cells["split"]), videos[path]) for path, (where, cells) in listed.items()])
        parts = with_validation(file, parts, val_fraction, seed)
    train, val, test = map(tuple, parts)
    return VideoFolder(file.name, root, classes, train, val, test, LAYOUT, global_groups=groups)


def class_names(labels: list[str]) -> tuple[str, ...]:
    """The classes in the order of their labels: by number if all are numbers, else by name."""
    names = set(labels)
    number: Callable[[str], object] = int if all(name.isascii() and name.isdecimal() for name in names) else str
    return tuple(sorted(names, key=number))  # type: ignore[arg-type]


def apart(videos: list[tuple[str, Video]]) -> tuple[list[Video], list[Video], list[Video]]:
    """The videos of train, val and test."""
    train, val, test = ([video for split, video in videos if split == name] for name in ("train", "val", "test"))
    return train, val, test


def with_validation(
    where: Path, parts: tuple[list[Video], list[Video], list[Video]], val_fraction: float, seed: int
) -> tuple[list[Video], list[Video], list[Video]]:
    """The three splits, validation cut from training by group if there is none.

    Raises:
        DataError: training or test is empty.
    """
    train, val, test = parts
    for name, videos in (("train", train), ("test", test)):
        if not videos:
            raise DataError(f"{where} has no video of split {name}, though it names splits. Add some.")
    if not val:
        train, val = cut_validation(train, val_fraction, seed)
    return train, val, test


def _path(root: Path, where: str, cells: Cells) -> str:
    unknown = [name for name in ("path", "label") if name not in cells]
    if unknown:
        raise DataError(
            f"{where}: {' and '.join(unknown)} must not be empty. The columns are {', '.join(COLUMNS)}; the first line "
            "of a CSV file names them."
        )
    path = inside(where, cells["path"])
    place = root / path
    if not place.exists() and not place.is_symlink():
        raise DataError(f"{where}: {place} does not exist. Put the video there, or delete the line.")
    check_link(root, place)
    if not (is_video_file(place) if place.is_file() else holds_frames(place)):
        raise DataError(f"{where}: {place} is neither a video file nor a folder of frames such as image_00001.jpg.")
    return path.as_posix()


def _throughout(file: Path, listed: dict[str, tuple[str, Cells]], name: str) -> bool:
    """Is this column filled for all rows (or for none)?"""
    empty = [where for where, cells in listed.values() if name not in cells]
    if empty and len(empty) < len(listed):
        raise DataError(f"{empty[0]}: {name} is empty, though other rows of {file.name} have one. Fill it in for all.")
    return not empty
