"""Random access to the frames of a video, by decoding from the preceding key frame.

A full decode (:func:`survey`) once writes down the time of every frame that comes out and which of them are key frames.
From then on :func:`read_frames` seeks by time and identifies each frame by its time, so that it gives what a full
decode gives. If a file's times are missing or occur twice, or seeking does not reach them, frames are counted from the
beginning.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidrobust.data.decoding import stills
from vidrobust.data.decoding.frames import FrameConverter, Orientation
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import StoredVideo
from vidrobust.data.decoding.streams import (
    REMEDY,
    Damaged,
    FrameCount,
    check_promises,
    check_size,
    explained,
    opened,
    same_shape,
    stream_frames,
)
from vidrobust.errors import DecodeError, InputError


@dataclass(frozen=True)
class Survey:
    """What a full decode of a video shows.

    Attributes:
        frames: how many came out.
        width, height: of the first, in pixels, upright.
        fps: mean frames per second by the frames' own times, else by the header (0: neither, as in a folder of images).
        seconds: how long they are shown, the last one as long as the others on average.
        codec: such as ``mpeg4``; ``images`` for a folder of frames.
        lost: frames that could not be decoded.
        times: of each frame, in the stream's own unit; empty if they cannot be relied on.
        keys: the numbers of the key frames; of a folder of frames, the places of the images that can be read.
        variable: do the times between frames differ?
        stored: width and height of the first frame as it is stored.
        spoiled: frames that came out and depend on a lost one.
    """

    frames: int
    width: int
    height: int
    fps: float
    seconds: float
    codec: str
    lost: int
    times: tuple[int, ...]
    keys: tuple[int, ...]
    variable: bool
    stored: tuple[int, int]
    spoiled: int = 0


def survey(video: StoredVideo, damaged: Damaged = "keep") -> Survey:
    """Decode all of a video, keeping nothing but what is needed to find its frames again.

    Raises:
        DecodeError: it cannot be used.
    """
    with explained(video):
        if video.is_folder:
            return _survey_images(video, damaged)
        check_size(video)
        count, times, keys, first, turned = FrameCount(), [], [], None, False
        with opened(video) as (container, stream):
            for frame in stream_frames(container, stream, count):
                turned = Orientation.of(frame).exchanged if first is None else turned
                first = same_shape(first, frame)
                times.append(frame.pts)
                if frame.key_frame:
                    keys.append(count.frames - 1)
            check_promises(video, container, stream, count)
            codec, unit, rate = stream.codec_context.name, float(stream.time_base or 0), stream.average_rate
    count.check(video, damaged)
    if first is None:
        raise DecodeError(f"{video} has a video stream but no frame in it. {REMEDY}", "no frame")
    width, height = first[::-1] if turned else first
    steps = {b - a for a, b in zip(times, times[1:], strict=False)} if None not in times else {0}
    reliable = None not in times and all(step > 0 for step in steps)
    span = (times[-1] - times[0]) * unit if reliable else 0.0
    fps = (len(times) - 1) / span if span > 0 else float(rate or 0)
    uneven = reliable and len(steps) > 1 and max(steps) - min(steps) > 1  # the unit may be coarse: a tick is no change
    place = tuple(times) if reliable else ()
    seconds = len(times) / fps if fps else 0.0
    shape = (width, height, fps, seconds, codec)
    return Survey(len(times), *shape, count.lost, place, tuple(keys), uneven, first, count.spoiled)


def _survey_images(video: StoredVideo, damaged: Damaged) -> Survey:
    sizes, count = stills.image_sizes(video)
    count.check(video, damaged)
    known = [(place, size) for place, size in enumerate(sizes) if size is not None]
    if not known:
        raise DecodeError(f"{video} has no frame that can be decoded. {REMEDY}", "no frame")
    width, height = known[0][1]
    places = tuple(place for place, _ in known)
    return Survey(len(known), width, height, 0.0, 0.0, "images", count.lost, (), places, False, (width, height))


def read_frames(video: StoredVideo, known: Survey, numbers: Sequence[int], fit: Fit) -> np.ndarray:
    """Some frames of a surveyed video.

    Args:
        video: where it is stored.
        known: its survey.
        numbers: which frames, from 0, in any order; repeated ones cost nothing.
        fit: how large.

    Returns:
        ``len(numbers) H W 3``, uint8, RGB: what a full decode gives at these places.

    Raises:
        DecodeError: the file is not what it was when it was surveyed.
        InputError: a number is out of range.
    """
    wanted = sorted(set(map(int, numbers)))
    if not wanted or wanted[0] < 0 or wanted[-1] >= known.frames:
        raise InputError(f"{video} has the frames 0 … {known.frames - 1}, not {list(numbers)[:5]}.")
    with explained(video):
        if known.codec == "images":
            frames = dict(zip(wanted, stills.images_at(video, fit, [known.keys[n] for n in wanted]), strict=True))
        else:
            frames: dict[int, np.ndarray] = {}
            for back in (0, 1) if known.times else ():
                if len(frames) < len(wanted):
                    frames = _sought(video, known, wanted, fit, back)
            if len(frames) < len(wanted):
                frames = _counted(video, known, wanted, fit)
    if len(frames) < len(wanted):
        raise DecodeError(f"{video} has changed since it was surveyed: {len(frames)} of {len(wanted)} frames found.")
    return np.stack([frames[int(number)] for number in numbers])


def _sought(video: StoredVideo, known: Survey, wanted: list[int], fit: Fit, back: int) -> dict[int, np.ndarray]:
    """The wanted frames by their times; fewer if seeking did not lead to them.

    Where a container has no index (``.mpg``), seeking to a key frame leads behind it: then it helps to aim for the one
    before it (``back`` 1).
    """
    place, keys = {known.times[number]: number for number in wanted}, {known.times[key] for key in known.keys}
    found: dict[int, np.ndarray] = {}
    converter = FrameConverter(fit, first=known.stored)
    with opened(video) as (container, stream):
        reached, left = -1, list(wanted)
        while left:
            key = _key_before(known, left[0])
            if key > reached + 1 or reached >= left[0]:
                aim = key if not back else _key_before(known, max(0, key - 1))
                container.seek(known.times[aim], stream=stream)
                reached = -1
            for frame in stream_frames(container, stream, FrameCount()):
                if frame.pts is None or (reached < 0 and frame.pts > known.times[key]):
                    return found  # led beyond the key frame, or times are gone
                if frame.key_frame != (frame.pts in keys):
                    return found  # behind a seek, frames have the times of others
                reached = max(reached, bisect_right(known.times, frame.pts) - 1)
                if (number := place.get(frame.pts)) is not None and number == left[0]:
                    found[number] = converter(frame)
                    left.pop(0)
                if not left or reached > left[0] or _key_before(known, left[0]) > max(key, reached + 1):
                    break  # done, or past it, or a later key frame is nearer than here
            else:
                return found
            if left and reached > left[0]:
                return found
    return found


def _key_before(known: Survey, number: int) -> int:
    """The last key frame at or before a frame."""
    place = bisect_right(known.keys, number) - 1
    return known.keys[place] if place >= 0 else 0


def _counted(video: StoredVideo, known: Survey, wanted: list[int], fit: Fit) -> dict[int, np.ndarray]:
    """The wanted frames by counting from the first."""
    found: dict[int, np.ndarray] = {}
    count, converter = FrameCount(), FrameConverter(fit, first=known.stored)
    with opened(video) as (container, stream):
        for frame in stream_frames(container, stream, count):
            if count.frames - 1 in wanted:
                found[count.frames - 1] = converter(frame)
            if len(found) == len(wanted):
                break
    return found
