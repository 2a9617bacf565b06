"""A video file or a folder of frames to one array, from the first frame to the last.

Every video is decoded to its end, also where a few frames of its middle are kept: only then is it known how many frames
it has, so that the middle is the same here and by random access, and how many are lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidrobust.data.decoding import stills
from vidrobust.data.decoding.frames import FrameBuffer, FrameConverter
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import StoredVideo, stored_at
from vidrobust.data.decoding.streams import (
    REMEDY,
    Damaged,
    FrameCount,
    check_promises,
    check_size,
    count_shown,
    damage,
    explained,
    opened,
    stream_frames,
)
from vidrobust.errors import DecodeError, InputError


@dataclass(frozen=True)
class Decoded:
    """What came out of a video.

    Attributes:
        frames: ``T H W 3``, uint8, RGB, ``T ≥ 1``.
        lost: frames that could not be decoded, or that a series of images lacks.
        spoiled: frames that came out and depend on a lost one, of the whole video.
    """

    frames: np.ndarray
    lost: int
    spoiled: int = 0

    @property
    def note(self) -> str:
        """A note on the damage; empty if nothing is lost."""
        return damage(self.lost, self.spoiled)


def decode(
    place: Path | StoredVideo,
    *,
    size: int,
    max_frames: int | None = None,
    whole: bool = False,
    damaged: Damaged = "refuse",
) -> np.ndarray:
    """Decode a video into RGB frames, scaled and cropped one by one as they stream in.

    The shorter side is scaled to ``size`` (area average), the longer one cropped around its centre; the rotation or
    mirror that a camera noted in the file is carried out. Frames are taken as they are stored, whatever their times and
    the shape of their pixels; frames that an edit list hides are not there.

    Args:
        place: any video file that FFmpeg reads, or a folder of frames.
        size: the shorter side, in pixels.
        max_frames: keep at most so many frames, the contiguous window around the video's middle; None keeps all.
        whole: keep the longer side instead of cropping it.
        damaged: ``keep`` leaves out a few lost frames; :func:`decode_video` says how many.

    Returns:
        ``T H W 3``, uint8, RGB, ``min(H, W) = size`` and ``T ≥ 1``.

    Raises:
        DecodeError: the file is missing, empty, truncated, damaged, not a video, or without a video stream.
        InputError: ``size`` or ``max_frames`` is below 1.
    """
    return decode_video(stored_at(place), Fit(size, whole), max_frames, damaged).frames


def decode_video(
    video: StoredVideo,
    fit: Fit,
    max_frames: int | None = None,
    damaged: Damaged = "keep",
    buffer: FrameBuffer | None = None,
) -> Decoded:
    """:func:`decode` with what was lost; into the memory of a ``buffer``, if one is given."""
    buffer = FrameBuffer() if buffer is None else buffer
    if max_frames is not None and max_frames < 1:
        raise InputError(f"max_frames must be at least 1, not {max_frames}.")
    with explained(video):
        if video.is_folder:
            frames, count = stills.decode_stills(video, fit, max_frames)
        else:
            check_size(video)
            frames, count = _window(video, fit, max_frames, buffer)
    count.check(video, damaged)
    if not len(frames):
        raise DecodeError(f"{video} has a video stream but no frame in it. {REMEDY}", "no frame")
    return Decoded(frames, count.lost, count.spoiled)


def middle(frames: int, most: int | None) -> range:
    """The numbers of the frames around the middle, at most so many.

    >>> middle(60, 8), middle(5, 8), middle(5, None)
    (range(26, 34), range(0, 5), range(0, 5))
    """
    kept = frames if most is None else min(most, frames)
    start = (frames - kept) // 2
    return range(start, start + kept)


def _window(video: StoredVideo, fit: Fit, most: int | None, buffer: FrameBuffer) -> tuple[np.ndarray, FrameCount]:
    """The window around the middle: of as many frames as there are packets, and, if fewer or more come, once more."""
    if most is None:
        return _decoded(video, fit, None, buffer)
    wanted = middle(count_shown(video), most)
    frames, count = _decoded(video, fit, wanted, buffer)
    if middle(count.frames, most) != wanted:
        frames, _ = _decoded(video, fit, middle(count.frames, most), buffer)
    return frames, count


def _decoded(video: StoredVideo, fit: Fit, wanted: range | None, buffer: FrameBuffer) -> tuple[np.ndarray, FrameCount]:
    """The wanted frames (None: all), and the count of all."""
    with opened(video) as (container, stream):
        count, converter = FrameCount(), FrameConverter(fit)
        buffer.start(stream.frames if wanted is None else len(wanted))
        for frame in stream_frames(container, stream, count):
            if wanted is None or count.frames - 1 in wanted:
                buffer.add(converter(frame))
            else:
                converter.check(frame)
        check_promises(video, container, stream, count)
    return buffer.frames, count
