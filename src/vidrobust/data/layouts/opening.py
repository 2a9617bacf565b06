"""Detecting the layout of a data set from its files."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from vidrobust.data.classes import twins_note
from vidrobust.data.layouts import class_folders, hmdb51, kinetics, manifest, shards, ucf101
from vidrobust.data.layouts.files import check_name
from vidrobust.data.layouts.splitting import PART
from vidrobust.data.layouts.tables import LIST_SUFFIXES
from vidrobust.data.layouts.unused import unused_note
from vidrobust.data.videos import VideoFolder, check_classes, check_sources
from vidrobust.errors import DataError, InputError

WORKS = {layout.LAYOUT: layout.WORKS for layout in (ucf101, hmdb51, kinetics)} | {"motion": ("vidrobust",)}
"""What published data sets come from, by layout, by the keys of :data:`vidrobust.notation.bibliography.WORKS`."""

LONGEST = 200
"""Characters of a path in a message."""


def open_folder(
    path: str | Path, *, split: int = 1, val_fraction: float = PART, seed: int = 0, allow_missing: bool = False
) -> VideoFolder:
    """Read a data set of videos; nothing is decoded.

    Known are UCF-101, HMDB-51 and Kinetics with their official lists, lists of one's own, WebDataset shards, and a
    folder per class (with folders ``train`` and ``test`` or without). Where a layout has video files, folders of frames
    will do as well. Validation is cut from training by group, never by clip, unless the data set brings its own; no
    group may lie in two splits. What lies in the folder and is not used is named in the notes.

    Args:
        path: the folder, the list, or the shards (``shard-{000000..000009}.tar``).
        split: which of the official splits of UCF-101 or HMDB-51, or of several numbered lists, from 1.
        val_fraction: part of the training groups to hold out for validation, in (0, 1); at least one group.
        seed: which groups are held out.
        allow_missing: leave out videos that a list names and the disk lacks, and list them, instead of stopping. Of
            Kinetics some always are.

    Raises:
        DataError: the folder or a list is not as it must be; the message names the file, the line and the remedy.
        InputError: ``val_fraction`` or ``split`` is out of range.
    """
    if not 0 < val_fraction < 1 or split < 1:
        raise InputError(f"val_fraction must lie in (0, 1) and split be at least 1, not {val_fraction} and {split}.")
    try:
        root = Path(path).expanduser()
        check_name(root.absolute())
        if shards.is_pattern(str(path)) and not os.path.isdir(root):  # noqa: PTH112  (Path.is_dir refuses long names)
            folder = shards.read(shards.expand(str(path)), val_fraction, seed)
        elif not root.exists():
            raise DataError(f"{root} does not exist. Give a folder of videos, or `motion` for the embedded data set.")
        else:
            folder = (_read_folder if root.is_dir() else _read_file)(root, split, val_fraction, seed)
        notes = filter(None, (unused_note(folder), twins_note(folder.classes)))
    except OSError as error:
        name = str(error.filename or path)
        printed = name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
        raise DataError(f"{printed} cannot be read ({error.strerror}). Check its name and permissions.") from error
    except (ValueError, RuntimeError) as error:  # a zero byte; ~user that is not known
        if isinstance(error, InputError):
            raise
        printed = str(path)[:LONGEST]
        raise DataError(f"{printed!r} cannot be a path ({error}). Give that of a folder of videos.") from error
    if folder.missing and not allow_missing and folder.layout != kinetics.LAYOUT:
        first, many = folder.missing[0], len(folder.missing)
        others = f" ({many} videos of the lists are missing)" if many > 1 else ""
        if not (folder.train or folder.val or folder.test):
            others += "; nor does any other: give the folder that holds both the videos and the lists"
        raise DataError(
            f"{first.where}: {folder.root / first.name} does not exist{others}. Put it there, delete the line, or "
            "leave out what is missing (--skip-bad)."
        )
    check_sources(folder)
    check_classes(folder, complete=folder.layout != kinetics.LAYOUT)
    return replace(folder, notes=(*folder.notes, *notes))


def known_data(name: str, layout: str = "") -> str:
    """Which published data set it is, by the name of its folder or else by its layout; empty if none.

    >>> known_data("UCF101"), known_data("motion", "UCF-101"), known_data("my videos", "class folders")
    ('UCF-101', 'motion', '')
    """
    plain = {re.sub(r"\W|_", "", known).lower(): known for known in WORKS}
    found = next((plain[known] for known in plain if re.sub(r"\W|_", "", name).lower().startswith(known)), layout)
    return found if found in WORKS else ""


def _read_folder(root: Path, split: int, val_fraction: float, seed: int) -> VideoFolder:
    if lists := ucf101.find_lists(root):
        return ucf101.read(root, lists, split, val_fraction, seed)
    if lists := hmdb51.find_lists(root):
        return hmdb51.read(root, lists, split, val_fraction, seed)
    if tables := kinetics.find_lists(root):
        return kinetics.read(root, tables, val_fraction, seed)
    if own := manifest.find_lists(root, split):
        return manifest.read(own, root, val_fraction, seed)
    if files := shards.in_folder(root):
        return shards.read(files, val_fraction, seed)
    return class_folders.read(root, val_fraction, seed)


def _read_file(file: Path, split: int, val_fraction: float, seed: int) -> VideoFolder:
    if file.suffix.lower() not in LIST_SUFFIXES:
        raise DataError(
            f"{file} is a file, not a folder. Give the folder that holds one folder per class, a list "
            f"({', '.join(LIST_SUFFIXES)}) or shards (.tar)."
        )
    if kinetics.is_list(file):
        return kinetics.read(file.parent, kinetics.find_lists(file.parent) or [file], val_fraction, seed)
    return manifest.read(manifest.beside(file, split), file.parent, val_fraction, seed)
