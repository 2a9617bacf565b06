"""Any frames of a video without decoding the rest: from the key frame before each, exactly those that are asked for.

A full decode (:func:`survey`) once writes down the time of every frame that comes out and which of them are key frames.
From then on :func:`read` seeks by time and knows each frame by its time, so that it gives what a full decode gives. If
a file's times are missing or double, or seeking does not lead to them, frames are counted from the beginning.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidrobust.data.decoding import stills
from vidrobust.data.decoding.decode import (
    REMEDY,
    Damaged,
    FrameConverter,
    FrameCount,
    check_promises,
    check_size,
    explained,
    opened,
    same_shape,
    stream_frames,
)
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import StoredVideo
from vidrobust.errors import DecodeError, InputError


@dataclass(frozen=True)
class Survey:
    """What a full decode of a video shows.

    Attributes:
        frames: how many came out.
        width, height: of the first, in pixels, upright.
        fps: mean frames a second by the frames' own times (0 if they have none, as in a folder of images).
        seconds: from the first frame's time to the last one's.
        codec: such as ``mpeg4``; ``images`` for a folder of frames.
        lost: frames that could not be decoded.
        times: of each frame, in the stream's own unit; empty if they cannot be relied on.
        keys: the numbers of the key frames.
        variable: do the times between frames differ?
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


def survey(source: StoredVideo, damaged: Damaged = "keep") -> Survey:
    """Decode all of a video, keeping nothing but what is needed to find its frames again.

    Raises:
        DecodeError: it cannot be used.
    """
    with explained(source):
        if source.is_folder:
            return _survey_images(source, damaged)
        check_size(source)
        tally, times, keys, first, rotation = FrameCount(), [], [], None, 0
        with opened(source) as (container, stream):
            for frame in stream_frames(container, stream, tally):
                first, rotation = same_shape(first, frame), frame.rotation if first is None else rotation
                times.append(frame.pts)
                if frame.key_frame:
                    keys.append(tally.frames - 1)
            check_promises(source, container, stream, tally)
            codec, unit = stream.codec_context.name, float(stream.time_base or 0)
    tally.check(source, damaged)
    if first is None:
        raise DecodeError(f"{source} has a video stream but no frame in it. {REMEDY}", "no frame")
    width, height = first
    if rotation % 180:
        width, height = height, width
    steps = {b - a for a, b in zip(times, times[1:], strict=False)} if None not in times else {0}
    known = [time for time in times if time is not None]
    reliable = len(known) == len(times) and all(step > 0 for step in steps)
    seconds = (known[-1] - known[0]) * unit if reliable else 0.0
    fps = (len(times) - 1) / seconds if seconds > 0 else 0.0
    uneven = reliable and len(steps) > 1 and max(steps) - min(steps) > 1  # the unit may be coarse: a tick is no change
    place = tuple(known) if reliable else ()
    return Survey(len(times), width, height, fps, seconds, codec, tally.lost, place, tuple(keys), uneven)


def _survey_images(source: StoredVideo, damaged: Damaged) -> Survey:
    found = source.frames()
    sizes = [stills.size_of(path) for path, _ in found]
    known = [size for size in sizes if size is not None]
    numbers = found[-1][1] - found[0][1] + 1
    tally = FrameCount(numbers, len(known), numbers - len(known))
    tally.check(source, damaged)
    if len(set(known)) > 1:
        raise DecodeError(f"{source} has frames of several shapes. Extract them again.", "ambiguous frames")
    keys = tuple(place for place, size in enumerate(sizes) if size is not None)
    return Survey(len(known), *known[0], 0.0, 0.0, "images", tally.lost, (), keys, False)


def read(source: StoredVideo, known: Survey, numbers: Sequence[int], fit: Fit) -> np.ndarray:
    """Some frames of a surveyed video.

    Args:
        source: the video.
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
        raise InputError(f"{source} has the frames 0 … {known.frames - 1}, not {list(numbers)[:5]}.")
    with explained(source):
        if known.codec == "images":
            frames = dict(zip(wanted, stills.pick(source, fit, [known.keys[n] for n in wanted]), strict=True))
        else:
            frames: dict[int, np.ndarray] = {}
            for back in (0, 1) if known.times else ():
                if len(frames) < len(wanted):
                    frames = _sought(source, known, wanted, fit, back)
            if len(frames) < len(wanted):
                frames = _counted(source, wanted, fit)
    if len(frames) < len(wanted):
        raise DecodeError(f"{source} has changed since it was surveyed: {len(frames)} of {len(wanted)} frames found.")
    return np.stack([frames[int(number)] for number in numbers])


def _sought(source: StoredVideo, known: Survey, wanted: list[int], fit: Fit, back: int) -> dict[int, np.ndarray]:
    """The wanted frames by their times; fewer if seeking did not lead to them.

    Where a container has no index (``.mpg``), seeking to a key frame leads behind it: then it helps to aim for the one
    before it (``back`` 1).
    """
    place = {known.times[number]: number for number in wanted}
    found: dict[int, np.ndarray] = {}
    fitted = FrameConverter(fit)
    with opened(source) as (container, stream):
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
                reached = max(reached, bisect_right(known.times, frame.pts) - 1)
                if (number := place.get(frame.pts)) is not None and number == left[0]:
                    found[number] = fitted(frame)
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


def _counted(source: StoredVideo, wanted: list[int], fit: Fit) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    needed, tally, fitted = set(wanted), FrameCount(), FrameConverter(fit)
    with opened(source) as (container, stream):
        for frame in stream_frames(container, stream, tally):
            if tally.frames - 1 in needed:
                found[tally.frames - 1] = fitted(frame)
            if len(found) == len(needed):
                break
    return found
