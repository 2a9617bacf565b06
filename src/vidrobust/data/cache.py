"""Decoded frames on disk: each video is decoded once, and from then on read as raw bytes.

A cache is a folder for one data set and one way of decoding: ``frames.u8``, all frames one after the other, to be
memory-mapped, and ``index.jsonl``, a line for each video that is in it, written after its frames. Both only grow. A
process that is killed goes on behind the last line when it is started again; a video whose file has changed since is
decoded again; a lock makes a second process wait for the first.
"""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import StoredVideo, stored_video
from vidrobust.data.parallel import in_order
from vidrobust.data.storage import in_words, locked, room
from vidrobust.data.videos import Video, VideoFolder
from vidrobust.errors import DataError, DecodeError, InputError, RunError
from vidrobust.runs.files import write_atomic
from vidrobust.runs.keys import content_key, dumps
from vidrobust.runs.rows import read_lines

if TYPE_CHECKING:
    from vidrobust.data.decoding.decode import FrameBuffer

FORMAT = 2

PROBED = 100
"""Videos whose headers are looked at to estimate the size of a cache."""

Entry = dict[str, Any]
"""A line of the index: ``video``, ``stamp``, ``offset``; ``shape`` (T H W), ``crc`` of the bytes and what is ``lost``,
or ``skipped`` (why) and ``outcome``."""


@dataclass(frozen=True)
class CachedSplit:
    """The decoded videos of one split.

    Attributes:
        pixels: uint8, all frames one after the other, memory-mapped; writing to it never reaches the disk.
        offsets: ``N``, int64, where each video begins in ``pixels``.
        shapes: ``N 3``, int64, the frames, height and width of each video.
        labels: ``N``, int64, indices into the classes.
        videos: paths relative to the folder's root.
        groups: the source of each video.
        skipped: (path, reason) of the videos that could not be decoded.
        damaged: (path, what is lost) of the videos that are used though some of their frames could not be decoded.
    """

    pixels: np.ndarray
    offsets: np.ndarray
    shapes: np.ndarray
    labels: np.ndarray
    videos: tuple[str, ...]
    groups: tuple[str, ...]
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


@dataclass(frozen=True)
class Recipe:
    """How the videos of a cache are decoded.

    Attributes:
        fit: size of the frames.
        max_frames: of a longer video, the window of so many frames around its middle; None keeps all.
        damaged: what becomes of a video with a few bad packets.
        decoder: ``pyav`` or ``torchcodec``.
    """

    fit: Fit
    max_frames: int | None
    damaged: str = "keep"
    decoder: str = "pyav"


def cached_frames(
    folder: VideoFolder,
    split: str,
    *,
    size: int,
    max_frames: int | None,
    cache_root: Path,
    whole: bool = False,
    damaged: str = "keep",
    decoder: str = "pyav",
    skip_bad: bool = False,
    limit: int | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> CachedSplit:
    """The decoded frames of a split, decoded now if they never were.

    Args:
        folder: the data set.
        split: ``train``, ``val`` or ``test``.
        size: the shorter side of the frames, in pixels.
        max_frames: of a longer video, the window of so many frames around its middle; None keeps all.
        cache_root: folder of the caches.
        whole: keep the longer side instead of cropping a square.
        damaged: ``keep`` uses a video without the frames of a few bad packets and lists it in ``damaged``; ``refuse``
            treats it like one that cannot be decoded.
        decoder: ``pyav``, or ``torchcodec`` (an extra).
        skip_bad: leave out the videos that cannot be decoded and list them in ``skipped``.
        limit: take at most so many videos, spread evenly over classes and, within a class, over groups.
        workers: processes that decode.
        progress: called after each video with (done, all).

    Raises:
        DecodeError: a video cannot be decoded and ``skip_bad`` is off.
        DataError: no video is left.
        InputError: ``limit``, ``size`` or ``max_frames`` is below 1.
        RunError: the disk lacks room, is full, or the cache cannot be written.
    """
    videos = folder.split(split) if limit is None else spread(folder.split(split), limit)
    if max_frames is not None and max_frames < 1:
        raise InputError(f"max_frames must be at least 1, not {max_frames}.")
    recipe = Recipe(Fit(size, whole), max_frames, damaged, decoder)
    target = place_of(folder.root, recipe, cache_root)
    stamps = [_stamp(folder.root, video) for video in videos]
    entries = _chosen(_index(target), videos, stamps)
    if None in entries:
        with locked(target):
            _fill(target, folder.root, videos, stamps, recipe, skip_bad, workers, progress)
        entries = _chosen(_index(target), videos, stamps)
    cached = _open(target, videos, [entry for entry in entries if entry is not None])
    if cached.skipped and not skip_bad:  # found by an earlier call with skip_bad
        raise DecodeError(cached.skipped[0][1])
    if not cached.videos:
        raise DataError(f"{folder.root}: no video of split {split} can be used ({len(cached.skipped)} skipped).")
    return cached


def place_of(root: Path, recipe: Recipe, cache_root: Path) -> Path:
    """The folder of the cache of a data set for one way of decoding."""
    fit = [recipe.fit.side, recipe.fit.whole, recipe.max_frames, recipe.damaged, recipe.decoder]
    return cache_root / f"frames-{content_key([FORMAT, str(root.resolve()), *fit])}"


def missing(folder: VideoFolder, videos: Sequence[Video], recipe: Recipe, cache_root: Path) -> list[Video]:
    """Those of some videos that are not in the cache yet.

    Raises:
        DataError: a video is not there.
    """
    stamps = [_stamp(folder.root, video) for video in videos]
    entries = _chosen(_index(place_of(folder.root, recipe, cache_root)), videos, stamps)
    return [video for video, entry in zip(videos, entries, strict=True) if entry is None]


def _stamp(root: Path, video: Video) -> list[int]:
    try:
        return stored_video(root, video).stamp()
    except OSError as error:
        raise DataError(f"{root / video.path} cannot be read ({error.strerror}). Put it back.") from error


def estimate(root: Path, videos: Sequence[Video], recipe: Recipe) -> int:
    """About how many bytes a cache will take, by the headers of some videos; at most, where they are silent."""
    from vidrobust.data.decoding.probe import promised

    some = videos[:: max(1, len(videos) // PROBED)]
    total = 0
    for video in some:
        width, height, frames = promised(stored_video(root, video))
        if recipe.max_frames is not None:
            frames = min(frames, recipe.max_frames) if frames else recipe.max_frames
        scaled = recipe.fit.scaled(width, height) if width and height else (recipe.fit.side,) * 2
        wide, high = (min(side, recipe.fit.longest) for side in scaled)
        total += frames * wide * high * 3
    return round(total * len(videos) / max(1, len(some)))


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


def _index(target: Path) -> dict[str, Entry]:
    """The lines of the index by video, the last of each; those whose frames are not all there are left out."""
    size = _size(target)
    return {line["video"]: line for line in _lines(target) if line["offset"] + _bytes(line) <= size}


def _lines(target: Path) -> list[Entry]:
    try:
        lines = list(read_lines(target / "index.jsonl"))
        for line in lines:  # that they are as they must be
            (line["video"], line["stamp"], line["offset"] + _bytes(line))
    except (OSError, RunError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the cache {target} is damaged ({error}). Delete that folder: it is made again.") from error
    return lines


def _size(target: Path) -> int:
    """Bytes of frames that there are."""
    frames = target / "frames.u8"
    return frames.stat().st_size if frames.exists() else 0


def _chosen(index: dict[str, Entry], videos: Sequence[Video], stamps: Sequence[list[int]]) -> list[Entry | None]:
    """The entry of each video, None where there is none or its file has changed."""
    found = (index.get(video.path) for video in videos)
    return [
        entry if entry is not None and entry["stamp"] == stamp else None
        for entry, stamp in zip(found, stamps, strict=True)
    ]


def _fill(
    target: Path,
    root: Path,
    videos: Sequence[Video],
    stamps: Sequence[list[int]],
    recipe: Recipe,
    skip_bad: bool,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Decode what is not in the cache yet, in order."""
    target.mkdir(exist_ok=True)
    _recover(target)
    entries = _chosen(_index(target), videos, stamps)  # another process may have been here
    left = [place for place, entry in enumerate(entries) if entry is None]
    _check_room(target, root, [videos[place] for place in left], recipe)
    sources = [stored_video(root, videos[place]) for place in left]
    (target / "unfinished").touch()
    # Written, not mapped: a full disk is an error then, not a crash.
    with (target / "frames.u8").open("ab") as frames, (target / "index.jsonl").open("ab") as index:
        results = in_order(partial(_decoded, recipe), sources, workers)
        for done, (place, (entry, pixels)) in enumerate(zip(left, results, strict=True), len(videos) - len(left) + 1):
            if "skipped" in entry and not skip_bad:
                raise DecodeError(entry["skipped"], entry["outcome"])
            entry |= {"video": videos[place].path, "stamp": stamps[place], "offset": frames.tell()}
            frames.write(pixels.data)
            frames.flush()
            index.write(f"{dumps(entry)}\n".encode())
            index.flush()
            if progress is not None:
                progress(done, len(videos))
        os.fsync(frames.fileno())
        os.fsync(index.fileno())
    _reel.cache_clear()
    (target / "unfinished").unlink()


def _recover(target: Path) -> None:
    """After a kill: keep the videos whose frames are whole, by their checksum, and cut off what is behind them.

    Lines whose frames are gone must not stay: new frames would come to lie where theirs were.
    """
    index, size = _index(target), _size(target)
    torn = any(line["offset"] + _bytes(line) > size for line in _lines(target))
    if not torn and not (target / "unfinished").exists():
        return
    whole, end = [], 0
    with (target / "frames.u8").open("ab+") as frames:
        for line in index.values():
            frames.seek(line["offset"])
            if zlib.crc32(frames.read(_bytes(line))) == line.get("crc", 0):
                whole.append(line)
                end = max(end, line["offset"] + _bytes(line))
        frames.truncate(end)
    write_atomic(target / "index.jsonl", "".join(f"{dumps(line)}\n" for line in whole).encode())


def _check_room(target: Path, root: Path, videos: Sequence[Video], recipe: Recipe) -> None:
    needed, free = estimate(root, videos, recipe), room(target)
    if needed > free:
        raise RunError(
            f"the cache {target} needs about {in_words(needed)} more, but its disk has {in_words(free)}. Set "
            "VIDROBUST_CACHE to another disk, keep fewer or smaller frames (max_frames, size), or decode as you go "
            "(--clips.live true)."
        )


def _decoded(recipe: Recipe, source: StoredVideo) -> tuple[Entry, np.ndarray]:
    """A video's line of the index, and its frames, which the next call in this process overwrites."""
    from vidrobust.data.decoding.decoders import decoder

    try:
        found = decoder(recipe.decoder)(source, recipe.fit, recipe.max_frames, recipe.damaged, _reel())
    except DecodeError as error:
        return {"skipped": str(error), "outcome": error.outcome}, np.empty(0, np.uint8)
    pixels = np.ascontiguousarray(found.frames)
    return {"shape": list(pixels.shape[:3]), "crc": zlib.crc32(pixels.data), "lost": found.note}, pixels


@cache
def _reel() -> FrameBuffer:
    """One for all videos that this process decodes."""
    from vidrobust.data.decoding.decode import FrameBuffer

    return FrameBuffer()


def _bytes(entry: Entry) -> int:
    return int(np.prod(entry["shape"])) * 3 if "shape" in entry else 0


def _run(times: np.ndarray) -> slice | np.ndarray:
    """Frames one behind the other are a slice, which copies nothing."""
    first, last = int(times[0]), int(times[-1])
    return slice(first, last + 1) if (np.diff(times) == 1).all() else times


def _open(target: Path, videos: Sequence[Video], entries: Sequence[Entry]) -> CachedSplit:
    used = [(video, entry) for video, entry in zip(videos, entries, strict=True) if "shape" in entry]
    size = _size(target)
    # Copy-on-write rather than read-only, because torch wraps only what it may write.
    pixels = np.memmap(target / "frames.u8", np.uint8, "c", shape=(size,)) if size else np.zeros(0, np.uint8)
    return CachedSplit(
        pixels=pixels,
        offsets=np.array([entry["offset"] for _, entry in used], np.int64),
        shapes=np.array([entry["shape"] for _, entry in used], np.int64).reshape(-1, 3),
        labels=np.array([video.label for video, _ in used], np.int64),
        videos=tuple(video.path for video, _ in used),
        groups=tuple(video.group for video, _ in used),
        skipped=tuple((v.path, e["skipped"]) for v, e in zip(videos, entries, strict=True) if "skipped" in e),
        damaged=tuple((video.path, entry["lost"]) for video, entry in used if entry["lost"]),
    )
