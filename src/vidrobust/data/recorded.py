"""The frames of a clip at the resolution of its video file, for people to watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrobust.data.config import span
from vidrobust.data.decoding.decode import middle
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.random_access import read_frames, survey
from vidrobust.data.decoding.stored import stored_video
from vidrobust.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from vidrobust.data.clips import Clips
    from vidrobust.data.dataset import VideoClips

LARGEST_SIDE = 160
"""Of the shorter side, in pixels: larger videos are scaled down, so that a page stays small."""


def recorded_frames(data: VideoClips, clips: Clips, index: int) -> np.ndarray:
    """The frames that a clip shows, whole and as large as in the file.

    Args:
        data: the data set.
        clips: clips of it.
        index: which of them.

    Returns:
        ``T H W 3``, uint8, RGB, with ``min(H, W)`` at most :data:`LARGEST_SIDE`.

    Raises:
        DecodeError: the file is not what it was when the clips were made.
        InputError: the clip is of no video of this data set.
    """
    name = clips.videos[index]
    known = (video for split in ("train", "val", "test") for video in data.folder.split(split) if video.path == name)
    if (found := next(known, None)) is None:
        raise InputError(f"{data.folder.root} has no video {name}.")
    stored = stored_video(data.folder.root, found)
    looked = survey(stored, data.config.damaged)
    kept = middle(looked.frames, data.config.most)
    (start, _), reach = clips.place(index)[0], span(clips.frames, clips.stride)
    times = [kept.start + (start + time) % len(kept) for time in range(0, reach, clips.stride)]
    return read_frames(stored, looked, times, Fit(min(LARGEST_SIDE, looked.width, looked.height), whole=True))
