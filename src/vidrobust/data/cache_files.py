"""The two files of a cache: ``frames.u8``, all frames one after the other, and ``index.jsonl``, a line for each video.

A line is written after its frames, and both files only grow, so that an incomplete entry, which a kill leaves, can be
distinguished from a whole one.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from vidrobust.errors import DataError, RunError
from vidrobust.runs.files import write_atomic
from vidrobust.runs.keys import dumps
from vidrobust.runs.rows import read_json_lines

FRAMES, INDEX, UNFINISHED = "frames.u8", "index.jsonl", "unfinished"

CacheEntry = dict[str, Any]
"""A line of the index: ``video``, the fields of its file's state (:mod:`vidrobust.data.freshness`), ``offset``; either
``shape`` (T H W), ``crc`` of the bytes and what is ``lost``, or why it is ``skipped`` and the ``outcome``."""


def index_of(target: Path) -> dict[str, CacheEntry]:
    """The lines of the index by video, the last of each; those whose frames are not all there are left out."""
    size = cached_bytes(target)
    return {line["video"]: line for line in _lines(target) if line["offset"] + bytes_of(line) <= size}


def _lines(target: Path) -> list[CacheEntry]:
    try:
        lines = list(read_json_lines(target / INDEX))
        for line in lines:  # that they are as they must be
            (line["video"], line["stamp"], line["noted"] - line["changed"], line["digest"])
            line["offset"] + bytes_of(line)
    except (OSError, RunError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the cache {target} is damaged ({error}). Delete that folder: it is made again.") from error
    return lines


def cached_bytes(target: Path) -> int:
    """Bytes of frames that there are."""
    frames = target / FRAMES
    return frames.stat().st_size if frames.exists() else 0


def recover(target: Path) -> None:
    """After a kill: keep the videos whose frames are whole, by their checksum, and cut off what is behind them.

    Lines whose frames are gone must not stay: new frames would come to lie where theirs were.
    """
    index, size = index_of(target), cached_bytes(target)
    torn = any(line["offset"] + bytes_of(line) > size for line in _lines(target))
    if not torn and not (target / UNFINISHED).exists():
        return
    whole, end = [], 0
    with (target / FRAMES).open("ab+") as frames:
        for line in index.values():
            frames.seek(line["offset"])
            if zlib.crc32(frames.read(bytes_of(line))) == line.get("crc", 0):
                whole.append(line)
                end = max(end, line["offset"] + bytes_of(line))
        frames.truncate(end)
    write_atomic(target / INDEX, "".join(f"{dumps(line)}\n" for line in whole).encode())


def bytes_of(entry: CacheEntry) -> int:
    """Bytes of a video's frames."""
    return int(np.prod(entry["shape"])) * 3 if "shape" in entry else 0
