"""Decoding frames on demand, for data that is too large to be stored decoded, and for shards on several disks."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vidrobust.data.config import DataConfig
from vidrobust.data.decoding.decode import middle
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.random_access import Survey, read_frames
from vidrobust.data.decoding.stored import StoredVideo, stored_video
from vidrobust.data.parallel import VideoProgress, cores
from vidrobust.data.subset import spread
from vidrobust.data.surveys import DAMAGED, surveyed, usable_videos
from vidrobust.data.videos import VideoFolder
from vidrobust.errors import DataError, DecodeError


@dataclass(frozen=True)
class LiveSplit:
    """The videos of one split, read from their files whenever a clip of them is asked for.

    Attributes:
        stored: where each is stored.
        surveys: what is known of each.
        first: ``N``, the frame from which on each is used.
        fit: how large its frames become.
        shapes, labels, videos, sources, skipped, damaged: as of :class:`~vidrobust.data.cache.CachedSplit`.
    """

    stored: tuple[StoredVideo, ...]
    surveys: tuple[Survey, ...]
    first: np.ndarray
    fit: Fit
    shapes: np.ndarray
    labels: np.ndarray
    videos: tuple[str, ...]
    sources: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    damaged: tuple[tuple[str, str], ...]

    def windows(self, index: Sequence[int], times: np.ndarray) -> list[np.ndarray]:
        """The frames ``times`` (``B T``) of the videos ``index``, decoded on as many threads as there are cores."""
        if len(index) == 1:
            return [self._window(index[0], times[0])]
        with ThreadPoolExecutor(min(len(index), cores())) as pool:  # the decoder lets other threads run
            return list(pool.map(self._window, index, times))

    def _window(self, index: int, times: np.ndarray) -> np.ndarray:
        return read_frames(self.stored[index], self.surveys[index], (times + self.first[index]).tolist(), self.fit)


def live_frames(
    folder: VideoFolder, split: str, config: DataConfig, workers: int = 1, progress: VideoProgress | None = None
) -> LiveSplit:
    """The videos of a split without a cache; each is decoded once, to know its frames, and the outcome is kept.

    The arguments are those of :func:`vidrobust.data.cache.cached_frames`.

    Raises:
        DecodeError: a video cannot be decoded and ``skip_bad`` is off.
        DataError: no video is left.
    """
    videos = spread(folder.split(split), config.limit(split))
    found = surveyed(folder.root, videos, damaged=config.damaged, workers=workers, progress=progress)
    skipped = tuple((v.path, one.reason) for v, one in zip(videos, found, strict=True) if one.survey is None)
    if skipped and not config.skip_bad:
        raise DecodeError(skipped[0][1])
    used = [(videos[place], found[place], known) for place, known in usable_videos(found)]
    if not used:
        raise DataError(f"{folder.root}: no video of split {split} can be used ({len(skipped)} skipped).")
    kept = [middle(known.frames, config.most) for _, _, known in used]
    shapes = [(len(window), *_shape(known, config.fit)) for window, (_, _, known) in zip(kept, used, strict=True)]
    return LiveSplit(
        stored=tuple(stored_video(folder.root, video) for video, _, _ in used),
        surveys=tuple(known for _, _, known in used),
        first=np.array([window.start for window in kept], np.int64),
        fit=config.fit,
        shapes=np.array(shapes, np.int64),
        labels=np.array([video.label for video, _, _ in used], np.int64),
        videos=tuple(video.path for video, _, _ in used),
        sources=tuple(folder.source(video) for video, _, _ in used),
        skipped=skipped,
        damaged=tuple((video.path, one.reason) for video, one, _ in used if one.outcome == DAMAGED),
    )


def _shape(known: Survey, fit: Fit) -> tuple[int, int]:
    width, height = fit.scaled(known.width, known.height)
    return min(height, fit.longest), min(width, fit.longest)
