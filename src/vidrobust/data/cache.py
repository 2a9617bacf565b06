"""Decoded frames on disk: each video is decoded once, and from then on read as raw bytes.

A cache is a folder with ``frames.u8`` (all frames one after the other, to be memory-mapped) and ``index.json``, named
by the content of what determines it. It is made under another name and renamed when whole, so a kill never leaves half
a cache; a lock makes a second process wait for the first.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from filelock import FileLock

from vidrobust.data.folders import Video, VideoFolder
from vidrobust.errors import DataError, DecodeError, InputError, RunError
from vidrobust.runs import content_key, disk_error

FORMAT = 1


@dataclass(frozen=True)
class CachedSplit:
    """The decoded videos of one split.

    Attributes:
        frames: ``total_frames H W 3``, uint8, RGB, memory-mapped; writing to it never reaches the disk.
        offsets: ``N + 1``, int64; video ``n`` is ``frames[offsets[n]:offsets[n + 1]]``.
        labels: ``N``, int64, indices into the classes.
        videos: paths relative to the folder's root.
        groups: the source of each video.
        skipped: (path, reason) of the videos that could not be decoded.
    """

    frames: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    videos: tuple[str, ...]
    groups: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def cache_root() -> Path:
    """Where caches go: ``$VIDROBUST_CACHE``, else ``$XDG_CACHE_HOME/vidrobust``, else ``~/.cache/vidrobust``."""
    own, shared = os.environ.get("VIDROBUST_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(shared) if shared else Path.home() / ".cache") / "vidrobust"


def cached_frames(
    folder: VideoFolder,
    split: str,
    *,
    size: int,
    max_frames: int,
    cache_root: Path,
    skip_bad: bool = False,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CachedSplit:
    """The decoded frames of a split, decoded now if they never were.

    Args:
        folder: the data set.
        split: ``train``, ``val`` or ``test``.
        size: side of the square frames, in pixels.
        max_frames: of a longer video, the window of so many frames around its middle.
        cache_root: folder of the caches.
        skip_bad: leave out the videos that cannot be decoded and list them in ``skipped``.
        limit: take at most so many videos, spread evenly over classes and, within a class, over groups.
        progress: called after each decoded video with (done, all).

    Raises:
        DecodeError: a video cannot be decoded and ``skip_bad`` is off.
        DataError: no video is left.
        InputError: ``limit`` is below 1.
        RunError: the disk is full or the cache cannot be written.
    """
    videos = folder.split(split) if limit is None else spread(folder.split(split), limit)
    key = _key(folder, videos, size, max_frames)
    target = cache_root / f"frames-{key}"
    if not (target / "index.json").exists():
        with made_once(target) as part:
            if part is not None:
                _decode_all(part, folder.root, videos, size, max_frames, skip_bad, progress)
    cached = _open(target, size)
    if cached.skipped and not skip_bad:  # made by an earlier call with skip_bad
        raise DecodeError(cached.skipped[0][1])
    if not cached.videos:
        raise DataError(f"{folder.root}: no video of split {split} can be used ({len(cached.skipped)} skipped).")
    return cached


@contextlib.contextmanager
def made_once(target: Path) -> Generator[Path | None]:
    """Make a folder so that it exists whole or not at all, also after a kill and with two processes at once.

    Yields:
        An empty folder to fill, which becomes ``target`` at the end; None if ``target`` exists, maybe because another
        process has just made it.

    Raises:
        RunError: the disk is full or the place cannot be written.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if target.exists():
                yield None
                return
            shutil.rmtree(part, ignore_errors=True)  # what a killed process left
            part.mkdir()
            try:
                yield part
                part.rename(target)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_error(target, error) from error
        raise RunError(
            f"cannot write {target}: {error.strerror or error}. Set VIDROBUST_CACHE to a folder that can be written."
        ) from error


def spread(videos: Sequence[Video], limit: int) -> tuple[Video, ...]:
    """At most ``limit`` videos, in turn over the classes and within a class in turn over its groups.

    Raises:
        InputError: ``limit`` is below 1.
    """
    if limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}.")
    sources: dict[int, dict[str, list[Video]]] = defaultdict(lambda: defaultdict(list))
    for video in videos:
        sources[video.label][video.group].append(video)
    classes = [_in_turn(list(sources[label].values())) for label in sorted(sources)]
    chosen = set(_in_turn(classes)[:limit])
    return tuple(video for video in videos if video in chosen)


def _in_turn(piles: Sequence[Sequence[Video]]) -> list[Video]:
    """The first of each pile, then the second of each, and so on."""
    return [video for video in chain.from_iterable(zip_longest(*piles)) if video is not None]


def _key(folder: VideoFolder, videos: Sequence[Video], size: int, max_frames: int) -> str:
    """Frames depend on the files (known by place, size and time of change) and on how they are decoded."""
    files = []
    for video in videos:
        try:
            stat = (folder.root / video.path).stat()
        except OSError as error:
            raise DataError(f"{folder.root / video.path} cannot be read ({error.strerror}). Put it back.") from error
        files.append([asdict(video), stat.st_size, stat.st_mtime_ns])
    root = str(folder.root.resolve())
    return content_key([FORMAT, root, files, size, max_frames])


def _decode_all(
    part: Path,
    root: Path,
    videos: Sequence[Video],
    size: int,
    max_frames: int,
    skip_bad: bool,
    progress: Callable[[int, int], None] | None,
) -> None:
    from vidrobust.data import decode

    kept, offsets, skipped = [], [0], []
    with (part / "frames.u8").open("wb") as file:  # written, not mapped: a full disk is an error then, not a crash
        for done, video in enumerate(videos, 1):
            try:
                frames = decode.decode(root / video.path, size=size, max_frames=max_frames)
            except DecodeError as error:
                if not skip_bad:
                    raise
                skipped.append([video.path, str(error)])
            else:
                file.write(frames.tobytes())
                kept.append(asdict(video))
                offsets.append(offsets[-1] + len(frames))
            if progress is not None:
                progress(done, len(videos))
        file.flush()
        os.fsync(file.fileno())
    (part / "index.json").write_text(json.dumps({"videos": kept, "offsets": offsets, "skipped": skipped}))


def _open(target: Path, size: int) -> CachedSplit:
    try:
        index = json.loads((target / "index.json").read_text())
        total = index["offsets"][-1]
        shape = (total, size, size, 3)
        if (target / "frames.u8").stat().st_size != total * size * size * 3:
            raise ValueError("its frames are not as many as its index tells")
        # Copy-on-write rather than read-only, because torch wraps only what it may write.
        frames = np.memmap(target / "frames.u8", np.uint8, "c", shape=shape) if total else np.zeros(shape, np.uint8)
        return CachedSplit(
            frames=frames,
            offsets=np.array(index["offsets"], np.int64),
            labels=np.array([video["label"] for video in index["videos"]], np.int64),
            videos=tuple(video["path"] for video in index["videos"]),
            groups=tuple(video["group"] for video in index["videos"]),
            skipped=tuple((file, reason) for file, reason in index["skipped"]),
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"the cache {target} is damaged ({error}). Delete that folder: it is made again.") from error
