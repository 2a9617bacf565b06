"""Frames decoded as they are asked for: for data that no disk can hold decoded, and for shards over several disks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vidrobust.data.cache import spread
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.random_access import Survey, read
from vidrobust.data.decoding.stored import StoredVideo, stored_video
from vidrobust.data.parallel import cores
from vidrobust.data.surveys import DAMAGED, surveyed, usable
from vidrobust.data.videos import VideoFolder
from vidrobust.errors import DataError, DecodeError


@dataclass(frozen=True)
class LiveSplit:
    """The videos of one split, read from their files whenever a clip of them is asked for.

    Attributes:
        sources: where each lies.
        surveys: what is known of each.
        first: ``N``, the frame from which on each is used.
        fit: how large its frames become.
        shapes, labels, videos, groups, skipped, damaged: as of :class:`~vidrobust.data.cache.CachedSplit`.
    """

    sources: tuple[StoredVideo, ...]
    surveys: tuple[Survey, ...]
    first: np.ndarray
    fit: Fit
    shapes: np.ndarray
    labels: np.ndarray
    videos: tuple[str, ...]
    groups: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    damaged: tuple[tuple[str, str], ...]

    def windows(self, index: Sequence[int], times: np.ndarray) -> list[np.ndarray]:
        """The frames ``times`` (``B T``) of the videos ``index``, decoded on as many threads as there are cores."""
        if len(index) == 1:
            return [self._window(index[0], times[0])]
        with ThreadPoolExecutor(min(len(index), cores())) as pool:  # the decoder lets other threads run
            return list(pool.map(self._window, index, times))

    def _window(self, index: int, times: np.ndarray) -> np.ndarray:
        return read(self.sources[index], self.surveys[index], (times + self.first[index]).tolist(), self.fit)


def live_frames(
    folder: VideoFolder,
    split: str,
    *,
    fit: Fit,
    max_frames: int | None,
    damaged: str = "keep",
    skip_bad: bool = False,
    limit: int | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> LiveSplit:
    """The videos of a split without a cache; each is decoded once, to know its frames, and the outcome is kept.

    The arguments are those of :func:`vidrobust.data.cache.cached_frames`.

    Raises:
        DecodeError: a video cannot be decoded and ``skip_bad`` is off.
        DataError: no video is left.
    """
    videos = folder.split(split) if limit is None else spread(folder.split(split), limit)
    found = surveyed(folder.root, videos, damaged=damaged, workers=workers, progress=progress)
    skipped = tuple((v.path, one.reason) for v, one in zip(videos, found, strict=True) if one.survey is None)
    if skipped and not skip_bad:
        raise DecodeError(skipped[0][1])
    used = list(usable(found))
    if not used:
        raise DataError(f"{folder.root}: no video of split {split} can be used ({len(skipped)} skipped).")
    places = [place for place, _ in used]
    kept = [min(known.frames, max_frames or known.frames) for _, known in used]
    shapes = [(count, *_shape(known, fit)) for count, (_, known) in zip(kept, used, strict=True)]
    return LiveSplit(
        sources=tuple(stored_video(folder.root, videos[place]) for place in places),
        surveys=tuple(known for _, known in used),
        first=np.array([(known.frames - count) // 2 for count, (_, known) in zip(kept, used, strict=True)], np.int64),
        fit=fit,
        shapes=np.array(shapes, np.int64),
        labels=np.array([videos[place].label for place in places], np.int64),
        videos=tuple(videos[place].path for place in places),
        groups=tuple(videos[place].group for place in places),
        skipped=skipped,
        damaged=tuple((videos[place].path, found[place].reason) for place in places if found[place].outcome == DAMAGED),
    )


def _shape(known: Survey, fit: Fit) -> tuple[int, int]:
    width, height = fit.scaled(known.width, known.height)
    return min(height, fit.longest), min(width, fit.longest)
