"""Which layout a data set has, recognised by what lies there."""

from __future__ import annotations

from pathlib import Path

from vidrobust.data.layouts import class_folders, hmdb51, kinetics, manifest, shards, ucf101
from vidrobust.data.layouts.splitting import PART
from vidrobust.data.layouts.tables import header
from vidrobust.data.videos import VideoFolder, check_classes, check_sources
from vidrobust.errors import DataError, InputError


def open_folder(path: str | Path, *, split: int = 1, val_fraction: float = PART, seed: int = 0) -> VideoFolder:
    """Read a data set of videos; nothing is decoded.

    Known are UCF-101, HMDB-51 and Kinetics with their official lists, a folder a class (with folders ``train`` and
    ``test`` or without), a CSV or JSON-lines list of one's own, and WebDataset shards. Where a layout has video files,
    folders of frames will do as well. Validation is cut from training by group, never by clip, unless the data set
    brings its own; no group may lie in two splits.

    Args:
        path: the folder, the list, or the shards (``shard-{000000..000009}.tar``).
        split: which of the official splits of UCF-101 or HMDB-51, 1 to 3.
        val_fraction: part of the training groups to hold out for validation, in (0, 1); at least one group.
        seed: which groups are held out.

    Raises:
        DataError: the folder or a list is not as it must be; the message names the file, the line and the remedy.
        InputError: ``val_fraction`` or ``split`` is out of range.
    """
    if not 0 < val_fraction < 1 or split < 1:
        raise InputError(f"val_fraction must lie in (0, 1) and split be at least 1, not {val_fraction} and {split}.")
    root = Path(path).expanduser()
    try:
        if shards.is_pattern(str(path)) and not root.is_dir():
            folder = shards.read(shards.expand(str(path)), val_fraction, seed)
        elif not root.exists():
            raise DataError(f"{root} does not exist. Give a folder of videos, or `motion` for the embedded data set.")
        else:
            folder = (_read_folder if root.is_dir() else _read_file)(root, split, val_fraction, seed)
    except OSError as error:
        raise DataError(
            f"{error.filename or root} cannot be read ({error.strerror}). Check its permissions."
        ) from error
    check_sources(folder)
    check_classes(folder, complete=folder.layout != kinetics.LAYOUT)
    return folder


def _read_folder(root: Path, split: int, val_fraction: float, seed: int) -> VideoFolder:
    if lists := ucf101.find_lists(root):
        return ucf101.read(root, lists, split, val_fraction, seed)
    if lists := hmdb51.find_lists(root):
        return hmdb51.read(root, lists, split, val_fraction, seed)
    if tables := kinetics.find_lists(root):
        return kinetics.read(root, tables, val_fraction, seed)
    if own := _own_list(root):
        return manifest.read(own, val_fraction, seed)
    if files := shards.in_folder(root):
        return shards.read(files, val_fraction, seed)
    return class_folders.read(root, val_fraction, seed)


def _own_list(root: Path) -> Path | None:
    """The one list in a folder that has our columns, or is called ``manifest``."""
    found = [
        file
        for file in sorted(root.iterdir())
        if file.suffix.lower() in manifest.SUFFIXES
        and (file.stem.casefold() == "manifest" or {"path", "label"} <= set(header(file)))
    ]
    if len(found) > 1:
        raise DataError(f"{root} has several lists ({', '.join(file.name for file in found)}). Give one of them.")
    return found[0] if found else None


def _read_file(file: Path, split: int, val_fraction: float, seed: int) -> VideoFolder:
    if file.suffix.lower() not in manifest.SUFFIXES:
        raise DataError(
            f"{file} is a file, not a folder. Give the folder that holds one folder a class, a list "
            f"({', '.join(manifest.SUFFIXES)}) or shards (.tar)."
        )
    if kinetics.is_list(file):
        return kinetics.read(file.parent, kinetics.find_lists(file.parent) or [file], val_fraction, seed)
    return manifest.read(file, val_fraction, seed)
