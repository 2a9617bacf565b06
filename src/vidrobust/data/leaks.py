"""Finding the same file in two splits under different names, by its content."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator

from vidrobust.data.decoding.stored import stored_video
from vidrobust.data.freshness import COARSE, state_of
from vidrobust.data.storage import cache_root
from vidrobust.data.videos import SPLITS, Video, VideoFolder
from vidrobust.errors import DataError, DecodeError
from vidrobust.runs.files import write_atomic
from vidrobust.runs.keys import content_key

FORMAT = 2


def same_contents(folder: VideoFolder, classes: bool = False) -> Iterator[tuple[str, Video, str, Video]]:
    """Pairs of videos of different splits with the same bytes (of frames: the same images), with their splits.

    Only files of the same length are read, and of those only where they lie in different splits.

    Args:
        folder: the data set.
        classes: also pairs of different classes within a split.
    """

    def side(split: str, video: Video) -> tuple[str, int]:
        return split, video.label if classes else 0

    sized: dict[int, list[tuple[str, Video]]] = defaultdict(list)
    for split in SPLITS:
        for video in folder.split(split):
            try:
                sized[stored_video(folder.root, video).length()].append((split, video))
            except (OSError, DecodeError):  # decoding says what is wrong with it
                continue
    for length, alike in sized.items():
        if length == 0 or len({side(*one) for one in alike}) < 2:
            continue
        seen: dict[str, tuple[str, Video]] = {}
        for split, video in alike:
            try:
                digest = stored_video(folder.root, video).digest()
            except (OSError, DecodeError):
                continue
            other, first = seen.setdefault(digest, (split, video))
            if side(other, first) != side(split, video):
                yield other, first, split, video


def check_contents(folder: VideoFolder) -> None:
    """No two splits share a file. What was found clean is remembered until a file changes.

    Raises:
        DataError: two do; the message names both files.
    """
    videos = [(split, video) for split in SPLITS for video in folder.split(split)]
    try:
        states = [state_of(stored_video(folder.root, video)) for _, video in videos]
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}). Put it back.") from error
    listed = [[split, video.path, *state] for (split, video), state in zip(videos, states, strict=True)]
    clean = cache_root() / "leaks" / content_key([FORMAT, str(folder.root.resolve()), listed])
    if clean.exists():
        return
    for other, first, split, video in same_contents(folder):
        raise DataError(leak_text(folder, other, first, split, video))
    if time.time_ns() - max(state.changed for state in states) > COARSE:  # else a file may change and keep its times
        write_atomic(clean, b"no two splits share a file\n")


def leak_text(folder: VideoFolder, other: str, first: Video, split: str, video: Video) -> str:
    """The words for two videos with the same content."""
    if other == split:
        return (
            f"{folder.root}: {first.path} ({folder.classes[first.label]}) and {video.path} "
            f"({folder.classes[video.label]}) of {split} hold the same file: one of the two classes is wrong."
        )
    return (
        f"{folder.root}: {other} ({first.path}) and {split} ({video.path}) hold the same file. Delete one of them, so "
        "that no clip is on both sides."
    )
