"""A folder per class, without lists: the splits are folders too, or are cut by source."""

from __future__ import annotations

from pathlib import Path

from vidrobust.data.classes import class_order
from vidrobust.data.layouts.files import by_class, folders, holds_frames
from vidrobust.data.layouts.splitting import cut_three, cut_validation
from vidrobust.data.layouts.tables import SPLIT_NAMES
from vidrobust.data.videos import SPLITS, Video, VideoFolder
from vidrobust.errors import DataError

LAYOUT = "class folders"


def is_split(folder: Path) -> bool:
    """A folder of class folders (a class may itself be called ``train``)."""
    return folder.is_dir() and any(not holds_frames(entry) for entry in folders(folder))


def read(root: Path, val_fraction: float, seed: int) -> VideoFolder:
    """``CLASS/video.avi``, or ``train/CLASS/video.avi`` beside ``test`` (and ``val``, or as lists call them, too).

    Args:
        root: the folder.
        val_fraction: part of the training groups held out where there are splits but no ``val``.
        seed: which.

    Raises:
        DataError: there are no two classes, or the splits differ in theirs.
    """
    splits = _split_folders(root)
    if splits.keys() & {"train", "test"}:
        classes, (train, val, test) = _splits(root, splits)
        if not val:
            train, val = cut_validation(train, val_fraction, seed, str(root))
    else:
        classes = class_order((folder.name for folder in folders(root)), str(root))
        videos = [video for found in by_class(root, root, classes) for video in found]
        train, val, test = cut_three(videos, classes, str(root), seed)
    return VideoFolder(root.resolve().name, root, classes, tuple(train), tuple(val), tuple(test), LAYOUT)


def _split_folders(root: Path) -> dict[str, Path]:
    """The folders of the splits, in any letter case.

    Raises:
        DataError: there are two of one split.
    """
    found: dict[str, Path] = {}
    for folder in folders(root):
        name = SPLIT_NAMES.get(folder.name.casefold())
        if name is None or not is_split(folder):
            continue
        if name in found:
            raise DataError(f"{found[name]} and {folder} are both the split {name}. Put them together.")
        found[name] = folder
    return found


def _splits(root: Path, found: dict[str, Path]) -> tuple[tuple[str, ...], list[list[Video]]]:
    for name in ("train", "test"):
        if name not in found:
            raise DataError(f"{root / name} is missing or holds no class folders, though {root} is cut into splits.")
    classes = class_order((folder.name for folder in folders(found["train"])), str(root))
    parts: list[list[Video]] = []
    for name in SPLITS:
        if name not in found:
            parts.append([])
            continue
        differing = set(classes) ^ {folder.name for folder in folders(found[name])}
        if differing:
            raise DataError(f"{found[name]} and {found['train']} differ in their class folders: {sorted(differing)}.")
        parts.append([video for videos in by_class(root, found[name], classes) for video in videos])
    return classes, parts
