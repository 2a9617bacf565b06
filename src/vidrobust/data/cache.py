"""Decoded frames on disk: each video is decoded once, and from then on read as raw bytes.

A cache is a folder for one data set and one way of decoding (:mod:`vidrobust.data.cache_files`). A process that is
killed goes on behind the last whole video when it is started again; a video whose file has changed since is decoded
again; a lock makes a second process wait for the first.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidrobust.data.cache_files import FRAMES, INDEX, UNFINISHED, CacheEntry, cached_bytes, index_of, recover
from vidrobust.data.config import DataConfig
from vidrobust.data.decoding.stored import FileState, StoredVideo, stored_video
from vidrobust.data.freshness import is_fresh, settled, stamped, state_of
from vidrobust.data.parallel import VideoProgress, in_order
from vidrobust.data.storage import cache_root, in_words, locked, room
from vidrobust.data.subset import spread
from vidrobust.data.videos import Video, VideoFolder
from vidrobust.errors import DataError, DecodeError, RunError
from vidrobust.runs.keys import content_key, dumps

if TYPE_CHECKING:
    from vidrobust.data.decoding.frames import FrameBuffer

FORMAT = 5

PROBED = 100
"""Videos whose headers are looked at to estimate the size of a cache."""


@dataclass(frozen=True)
class CachedSplit:
    """The decoded videos of one split.

    Attributes:
        pixels: uint8, all frames one after the other, memory-mapped; writing to it never reaches the disk.
        offsets: ``N``, int64, where each video begins in ``pixels``.
        shapes: ``N 3``, int64, the frames, height and width of each video.
        labels: ``N``, int64, indices into the classes.
        videos: paths relative to the folder's root.
        sources: what each video was cut from (:meth:`vidrobust.data.videos.VideoFolder.source`).
        skipped: (path, reason) of the videos that could not be decoded.
        damaged: (path, what is lost) of the videos that are used though some of their frames could not be decoded.
    """

    pixels: np.ndarray
    offsets: np.ndarray
    shapes: np.ndarray
    labels: np.ndarray
    videos: tuple[str, ...]
    sources: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()

    def frames(self, index: int) -> np.ndarray:
        """``T H W 3``, uint8, RGB: the frames of a video."""
        count, height, width = (int(side) for side in self.shapes[index])
        start = int(self.offsets[index])
        return self.pixels[start : start + count * height * width * 3].reshape(count, height, width, 3)

    def windows(self, index: Sequence[int], times: np.ndarray) -> list[np.ndarray]:
        """The frames ``times`` (``B T``) of the videos ``index``: each ``T H W 3``, uint8, RGB."""
        return [self.frames(one)[_run(when)] for one, when in zip(index, times, strict=True)]


def cached_frames(
    folder: VideoFolder, split: str, config: DataConfig, workers: int = 1, progress: VideoProgress | None = None
) -> CachedSplit:
    """The decoded frames of a split, decoded now if they never were.

    Args:
        folder: the data set.
        split: ``train``, ``val`` or ``test``.
        config: the size of the frames, how many are kept of each video and of the split, and what becomes of damage.
        workers: processes that decode.
        progress: called after each video with (done, all).

    Raises:
        DecodeError: a video cannot be decoded and ``skip_bad`` is off.
        DataError: no video is left, or one is gone.
        RunError: the disk lacks room, is full, or the cache cannot be written.
    """
    videos = spread(folder.split(split), config.limit(split))
    target = place_of(folder.root, config)
    stored = _looked_at(folder.root, videos)
    entries = _fresh(target, videos, stored)
    if None in entries:
        with locked(target):
            _fill(target, folder.root, videos, stored, config, workers, progress)
        entries = _fresh(target, videos, stored)
    found = [entry for entry in entries if entry is not None]
    _note_again(target, found, [state for _, state in stored])
    cached = _open(target, folder, videos, found)
    if cached.skipped and not config.skip_bad:  # found by an earlier call with skip_bad
        raise DecodeError(cached.skipped[0][1])
    if not cached.videos:
        raise DataError(f"{folder.root}: no video of split {split} can be used ({len(cached.skipped)} skipped).")
    return cached


def place_of(root: Path, config: DataConfig) -> Path:
    """The folder of the cache of a data set for one way of decoding."""
    way = [config.fit.side, config.fit.whole, config.most, config.damaged, config.decoder]
    return cache_root() / "clips" / f"frames-{content_key([FORMAT, str(root.resolve()), *way])}"


def uncached(folder: VideoFolder, videos: Sequence[Video], config: DataConfig) -> list[Video]:
    """Those of some videos that are not in the cache yet.

    Raises:
        DataError: a video is not there.
    """
    entries = _fresh(place_of(folder.root, config), videos, _looked_at(folder.root, videos))
    return [video for video, entry in zip(videos, entries, strict=True) if entry is None]


def estimate(root: Path, videos: Sequence[Video], config: DataConfig) -> int:
    """About how many bytes a cache will take, by the headers of some videos; at most, where they are silent."""
    from vidrobust.data.decoding.probe import promised

    some = videos[:: max(1, len(videos) // PROBED)]
    total, fit, most = 0, config.fit, config.most
    for video in some:
        width, height, frames = promised(stored_video(root, video))
        if most is not None:
            frames = min(frames, most) if frames else most
        scaled = fit.scaled(width, height) if width and height else (fit.side,) * 2
        wide, high = (min(side, fit.longest) for side in scaled)
        total += frames * wide * high * 3
    return round(total * len(videos) / max(1, len(some)))


Looked = tuple[StoredVideo, FileState]
"""Where a video is stored, and its state as it was looked at before it was decoded."""


def _looked_at(root: Path, videos: Iterable[Video]) -> list[Looked]:
    found = []
    for video in videos:
        place = stored_video(root, video)
        try:
            found.append((place, state_of(place)))
        except OSError as error:
            raise DataError(f"{place} cannot be read ({error.strerror}). Put it back.") from error
    return found


def _fresh(target: Path, videos: Sequence[Video], stored: Sequence[Looked]) -> list[CacheEntry | None]:
    """The entry of each video, None where there is none or its file has changed."""
    index = index_of(target)
    found = (index.get(video.path) for video in videos)
    return [
        entry if entry is not None and is_fresh(place, state, entry) else None
        for entry, (place, state) in zip(found, stored, strict=True)
    ]


def _note_again(target: Path, entries: Sequence[CacheEntry], states: Sequence[FileState]) -> None:
    """Of files that had to be compared by content: write down that they were, so that they are not the next time."""
    now = time.time_ns()
    new = [{**entry, "changed": state.changed, "noted": now} for entry, state in zip(entries, states, strict=True)]
    lines = [one for one, old in zip(new, entries, strict=True) if settled(one) and not _as_noted(old, one["changed"])]
    if lines:
        with contextlib.suppress(RunError), locked(target), (target / INDEX).open("ab") as index:
            index.write("".join(f"{dumps(line)}\n" for line in lines).encode())


def _as_noted(entry: CacheEntry, changed: int) -> bool:
    return settled(entry) and entry["changed"] == changed


def _fill(
    target: Path,
    root: Path,
    videos: Sequence[Video],
    stored: Sequence[Looked],
    config: DataConfig,
    workers: int,
    progress: VideoProgress | None,
) -> None:
    """Decode what is not in the cache yet, in order."""
    target.mkdir(exist_ok=True)
    recover(target)
    entries = _fresh(target, videos, stored)  # another process may have been here
    left = [place for place, entry in enumerate(entries) if entry is None]
    _check_room(target, root, [videos[place] for place in left], config)
    (target / UNFINISHED).touch()
    # Written, not mapped: a full disk is an error then, not a crash.
    with (target / FRAMES).open("ab") as frames, (target / INDEX).open("ab") as index:
        results = in_order(partial(_decoded, config), [stored[place] for place in left], workers)
        for done, (place, (entry, pixels)) in enumerate(zip(left, results, strict=True), len(videos) - len(left) + 1):
            if "skipped" in entry and not config.skip_bad:
                raise DecodeError(entry["skipped"], entry["outcome"])
            entry |= {"video": videos[place].path, "offset": frames.tell()}
            frames.write(pixels.data)
            frames.flush()
            index.write(f"{dumps(entry)}\n".encode())
            index.flush()
            if progress is not None:
                progress(done, len(videos))
        os.fsync(frames.fileno())
        os.fsync(index.fileno())
    _buffer.cache_clear()
    (target / UNFINISHED).unlink()


def _check_room(target: Path, root: Path, videos: Sequence[Video], config: DataConfig) -> None:
    needed, free = estimate(root, videos, config), room(target)
    if needed > free:
        raise RunError(
            f"the cache {target} needs about {in_words(needed)} more, but its disk has {in_words(free)}. Set "
            "VIDROBUST_CACHE to another disk, keep fewer or smaller frames (max_frames, size), or decode as you go "
            "(--clips.live true)."
        )


def _decoded(config: DataConfig, looked: Looked) -> tuple[CacheEntry, np.ndarray]:
    """A video's line of the index, and its frames, which the next call in this process overwrites."""
    from vidrobust.data.decoding.decoders import decoder

    video, state = looked
    entry = stamped(video, state)
    try:
        found = decoder(config.decoder)(video, config.fit, config.most, config.damaged, _buffer())
    except DecodeError as error:
        return {**entry, "skipped": str(error), "outcome": error.outcome}, np.empty(0, np.uint8)
    pixels = np.ascontiguousarray(found.frames)
    entry |= {"shape": list(pixels.shape[:3]), "crc": zlib.crc32(pixels.data), "lost": found.note}
    return entry, pixels


@cache
def _buffer() -> FrameBuffer:
    """One for all videos that this process decodes."""
    from vidrobust.data.decoding.frames import FrameBuffer

    return FrameBuffer()


def _run(times: np.ndarray) -> slice | np.ndarray:
    """Frames one behind the other are a slice, which copies nothing."""
    first, last = int(times[0]), int(times[-1])
    return slice(first, last + 1) if (np.diff(times) == 1).all() else times


def _open(target: Path, folder: VideoFolder, videos: Sequence[Video], entries: Sequence[CacheEntry]) -> CachedSplit:
    used = [(video, entry) for video, entry in zip(videos, entries, strict=True) if "shape" in entry]
    size = cached_bytes(target)
    # Copy-on-write rather than read-only, because torch wraps only what it may write.
    pixels = np.memmap(target / FRAMES, np.uint8, "c", shape=(size,)) if size else np.zeros(0, np.uint8)
    return CachedSplit(
        pixels=pixels,
        offsets=np.array([entry["offset"] for _, entry in used], np.int64),
        shapes=np.array([entry["shape"] for _, entry in used], np.int64).reshape(-1, 3),
        labels=np.array([video.label for video, _ in used], np.int64),
        videos=tuple(video.path for video, _ in used),
        sources=tuple(folder.source(video) for video, _ in used),
        skipped=tuple((v.path, e["skipped"]) for v, e in zip(videos, entries, strict=True) if "skipped" in e),
        damaged=tuple((video.path, entry["lost"]) for video, entry in used if entry["lost"]),
    )
