"""Whether data derived from a video file are still up to date.

Size and time of modification decide, where they differ. Where they do not, that is no proof: programs copy old times
(``cp -p``, ``rsync -t``), and a file that is written twice within a tick of the clock keeps its time. So a file whose
change the system noted since, or noted just before it was looked at, is compared by content, once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from vidrobust.data.decoding.stored import FileState, StoredVideo
from vidrobust.errors import DecodeError

COARSE = 2_000_000_000
"""Nanoseconds of the coarsest clock of a file system (FAT); network drives may lag by as much."""

Stamp = dict[str, Any]
"""Of a video when it was decoded: its ``stamp``, when it ``changed``, when that was ``noted``, and its ``digest``."""


def state_of(video: StoredVideo) -> FileState:
    """The state of a video; a unique one if it cannot be read, which decoding will explain.

    Raises:
        OSError: it is not there.
    """
    try:
        return video.state()
    except DecodeError as error:
        return FileState((error.outcome,), 0)


def stamped(video: StoredVideo, state: FileState) -> Stamp:
    """What to write down beside what is derived from a video, taken before it is decoded."""
    noted = time.time_ns()
    try:
        digest = video.digest()
    except (OSError, DecodeError):
        digest = ""
    return {"stamp": list(state.stamp), "changed": state.changed, "noted": noted, "digest": digest}


def settled(line: Mapping[str, Any]) -> bool:
    """Was the file left alone long enough, when it was looked at, for its times to tell of every later change?"""
    return line["noted"] - line["changed"] > COARSE


def is_fresh(video: StoredVideo, state: FileState, line: Mapping[str, Any]) -> bool:
    """Has a video not changed since that was written down?"""
    if list(state.stamp) != line["stamp"]:
        return False
    if state.changed == line["changed"] and settled(line):
        return True
    try:
        return bool(line["digest"]) and video.digest() == line["digest"]
    except (OSError, DecodeError):
        return False
