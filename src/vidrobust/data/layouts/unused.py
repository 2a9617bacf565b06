"""Files of a data set that are not used, so that nothing is left out silently."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from vidrobust.data.layouts.files import holds_frames, is_hidden, is_video_file
from vidrobust.data.videos import SPLITS, VideoFolder

NAMED = 3
"""Of each kind, so many are named."""

LOOKED_AT = 200_000
"""Files and folders after which the search ends: a list may lie in a folder with all that its owner has."""


def unused_note(folder: VideoFolder) -> str:
    """Videos that are in no split, and files that say nothing; empty if there are none."""
    used = {video.shard or video.path for split in SPLITS for video in folder.split(split)}
    within = {parent.as_posix() for path in used for parent in PurePosixPath(path).parents}
    root = folder.root.resolve()
    known = {os.path.relpath(file.resolve(), root) for file in folder.lists}
    videos, others = [], []
    for path in islice(_walk(root), LOOKED_AT):
        name = path.relative_to(root).as_posix()
        place = os.path.dirname(name) or "."  # noqa: PTH120
        if name not in used and name not in within and name not in known and place not in known:
            (videos if is_video_file(path) or path.is_dir() else others).append(_printable(name))
    said = [_named(videos, "video"), _named(others, "other file")]
    return f"not used: {' and '.join(text for text in said if text)}." if videos or others else ""


def _walk(place: Path) -> Iterator[Path]:
    """Every file and every folder of frames below a place; links are not followed to other folders."""
    with os.scandir(place) as listed:
        entries = sorted((entry for entry in listed if not is_hidden(entry.name)), key=lambda entry: entry.name)
    for entry in entries:
        path = place / entry.name
        if not entry.is_dir(follow_symlinks=False) or holds_frames(path):
            yield path
        else:
            yield from _walk(path)


def _named(names: list[str], what: str) -> str:
    if not names:
        return ""
    listed = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({listed})"


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
