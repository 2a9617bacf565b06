"""Video files to frames: the only module that touches a video decoder (PyAV, FFmpeg's libraries).

A damaged file must never become a shorter clip in silence. Decoders forgive a great deal, so besides their errors
three things are checked: the size that the container claims for itself against the size of the file, the packets that
its index promises against those that are there, and the decoder's own mark of a corrupt frame. A bare MPEG stream
(``.mpg``) promises nothing, so a cut at a frame's end cannot be seen there. The frame count of a header is never used.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from vidrobust.data.decoding import stills
from vidrobust.data.decoding.containers import claimed_size
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import StoredVideo, stored_at
from vidrobust.errors import DecodeError, InputError

REMEDY = "Replace or delete the file, or pass --skip-bad to leave it out."

Damaged = Literal["refuse", "keep"]
"""What becomes of a video with a few bad packets: an error, or the video without their frames, which is reported."""

NOWHERE = {"protocol_whitelist": "none"}
"""A file leads nowhere else, whatever it says."""

MOST_LOST = 10
"""Of a video that is kept despite damage, at most one frame in so many may be lost."""

BELIEVED = 1 << 29
"""Bytes of frames for which a header's count makes room at once."""

SEEK_FROM = 256
"""Frames before a window from which on it is sought rather than decoded up to."""

ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.partition(".")[0]) >= 17 else {}
"""PyAV 17 would start a thread for each core to convert a frame, which costs more than it saves, and may be refused."""


@dataclass(frozen=True)
class Decoded:
    """What came out of a video.

    Attributes:
        frames: ``T H W 3``, uint8, RGB, ``T ≥ 1``.
        lost: frames that could not be decoded, or that a series of images lacks.
    """

    frames: np.ndarray
    lost: int

    @property
    def note(self) -> str:
        """What must be said of it; empty if nothing is lost."""
        return f"{self.lost} frame(s) cannot be decoded and are left out" if self.lost else ""


@dataclass
class FrameCount:
    """What reading a file has shown so far."""

    packets: int = 0
    frames: int = 0
    lost: int = 0
    end: float = 0.0

    def check(self, source: StoredVideo, damaged: Damaged) -> None:
        """Refuse a file with more damage than is allowed.

        Raises:
            DecodeError: it has.
        """
        if self.lost and (damaged == "refuse" or self.lost > max(1, self.packets // MOST_LOST)):
            raise DecodeError(
                f"{source} is damaged: {self.lost} of {self.packets} frames cannot be decoded. {REMEDY}", "damaged"
            )


def decode(
    place: Path | StoredVideo,
    *,
    size: int,
    max_frames: int | None = None,
    whole: bool = False,
    damaged: Damaged = "refuse",
) -> np.ndarray:
    """Decode a video into RGB frames, scaled and cropped one by one as they stream in.

    The shorter side is scaled to ``size`` (area average), the longer one cropped around its centre; a rotation that a
    telephone noted in the file is carried out. Frames are taken as they are stored, whatever their times.

    Args:
        place: any video file that FFmpeg reads, or a folder of frames.
        size: the shorter side, in pixels.
        max_frames: keep at most so many frames, the contiguous window around the video's middle; None keeps all.
        whole: keep the longer side instead of cropping it.
        damaged: ``keep`` leaves out the frames of a few bad packets; :func:`decode_video` says how many.

    Returns:
        ``T H W 3``, uint8, RGB, ``min(H, W) = size`` and ``T ≥ 1``.

    Raises:
        DecodeError: the file is missing, empty, truncated, damaged, not a video, or without a video stream.
        InputError: ``size`` or ``max_frames`` is below 1.
    """
    return decode_video(stored_at(place), Fit(size, whole), max_frames, damaged).frames


def decode_video(
    source: StoredVideo,
    fit: Fit,
    max_frames: int | None = None,
    damaged: Damaged = "keep",
    reel: FrameBuffer | None = None,
) -> Decoded:
    """:func:`decode` with what was lost, for callers that report it; into the memory of a ``reel``, if one is given."""
    reel = FrameBuffer() if reel is None else reel
    if max_frames is not None and max_frames < 1:
        raise InputError(f"max_frames must be at least 1, not {max_frames}.")
    with explained(source):
        if source.is_folder:
            found = stills.decode(source, fit, max_frames)
            frames = np.stack(found.frames) if found.frames else np.zeros((0, 1, 1, 3), np.uint8)
            tally = FrameCount(found.numbers, len(frames), found.lost)
        else:
            check_size(source)
            frames, tally = _whole(source, fit, reel) if max_frames is None else _middle(source, fit, max_frames, reel)
    if not len(frames):
        tally.check(source, damaged)
        raise DecodeError(f"{source} has a video stream but no frame in it. {REMEDY}", "no frame")
    tally.check(source, damaged)
    return Decoded(frames, tally.lost)


def _whole(source: StoredVideo, fit: Fit, reel: FrameBuffer) -> tuple[np.ndarray, FrameCount]:
    with opened(source) as (container, stream):
        tally, fitted = FrameCount(), FrameConverter(fit)
        reel.start(stream.frames)
        for frame in stream_frames(container, stream, tally):
            reel.add(fitted(frame))
        check_promises(source, container, stream, tally)
    return reel.frames, tally


def _middle(source: StoredVideo, fit: Fit, count: int, reel: FrameBuffer) -> tuple[np.ndarray, FrameCount]:
    """The window around the middle, by the packets that are there, not by what the header says."""
    counted, times = _count_packets(source)
    packets = counted.packets
    start = max(0, (packets - count) // 2)
    if start >= SEEK_FROM and times[start : start + 1]:
        with opened(source) as (container, stream):
            fitted, tally = FrameConverter(fit), FrameCount(packets)
            reel.start(count)
            container.seek(times[start], stream=stream)
            for frame in stream_frames(container, stream, tally):
                if not reel.count and frame.pts is not None and frame.pts > times[start]:
                    break  # the index led too far: count from the beginning instead
                if reel.count or frame.pts == times[start]:
                    reel.add(fitted(frame))
                if reel.count == count:
                    return reel.frames, FrameCount(packets, packets, counted.lost + tally.lost)
    frames, tally = _counted(source, fit, start, count, reel)
    if len(frames) < min(count, tally.frames):  # fewer frames than packets: now it is known how many
        frames, tally = _counted(source, fit, max(0, (tally.frames - count) // 2), count, reel)
    return frames, FrameCount(packets, tally.frames, counted.lost + tally.lost)


def _counted(source: StoredVideo, fit: Fit, start: int, count: int, reel: FrameBuffer) -> tuple[np.ndarray, FrameCount]:
    """Frames ``start … start + count`` by counting from the first."""
    with opened(source) as (container, stream):
        tally, fitted = FrameCount(), FrameConverter(fit)
        reel.start(count)
        for frame in stream_frames(container, stream, tally):
            if tally.frames > start:
                reel.add(fitted(frame))
            if reel.count == count:
                break
    return reel.frames, tally


@dataclass
class FrameBuffer:
    """Frames copied one by one into one array, so that each is copied once.

    One reel for video after video takes its memory from the system once: fresh pages cost as much as the copy. The
    frames that it gave before are then overwritten.
    """

    room: int = 0
    count: int = 0
    pixels: np.ndarray | None = None
    memory: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))

    def start(self, room: int) -> None:
        """Begin a video, with room for so many frames, if that is believable; a header's lie costs at most a copy."""
        self.room, self.count, self.pixels = room, 0, None

    def add(self, frame: np.ndarray) -> None:
        """Append a frame, of the shape of the first one."""
        if self.pixels is None:
            believed = max(1, min(self.room, BELIEVED // frame.size))
            self.pixels = self._array(max(believed, self.memory.size // frame.size), frame.shape)
        if self.count == len(self.pixels):
            full = self.pixels
            self.pixels = self._array(2 * len(full), frame.shape)
            self.pixels[: len(full)] = full
        self.pixels[self.count] = frame
        self.count += 1

    def _array(self, frames: int, shape: tuple[int, ...]) -> np.ndarray:
        needed = frames * math.prod(shape)
        if needed > self.memory.size:
            self.memory = np.empty(needed, np.uint8)
        return self.memory[:needed].reshape(frames, *shape)

    @property
    def frames(self) -> np.ndarray:
        """``T H W 3``; none if nothing was added."""
        return np.zeros((0, 1, 1, 3), np.uint8) if self.pixels is None else self.pixels[: self.count]


@dataclass
class FrameConverter:
    """Turns decoded frames into the arrays asked for."""

    fit: Fit
    reformatter: VideoReformatter = field(default_factory=VideoReformatter)
    first: tuple[int, int] | None = None
    """Width and height of the first frame, which decides those of the others: a stream may change its size midway."""

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """The frame as RGB, scaled, cropped and turned upright: a view of the decoder's memory, not copied."""
        self.first = same_shape(self.first, frame)
        width, height = self.fit.scaled(*self.first)
        scaled = (width, height) != (frame.width, frame.height)
        how = Interpolation.AREA if scaled else None  # the area filter is slow even where there is nothing to scale
        small = self.reformatter.reformat(frame, width, height, "rgb24", interpolation=how, **ONE_THREAD)
        turns = frame.rotation // 90 if frame.rotation % 90 == 0 else 0
        plane = small.planes[0]
        lines = np.ndarray((height, width, 3), np.uint8, memoryview(plane), strides=(plane.line_size, 3, 1))  # padded
        return self.fit.cropped(lines, turns)


class ChangedShapeError(Exception):
    """The frames of a stream are not all of one shape."""


def same_shape(first: tuple[int, int] | None, frame: VideoFrame) -> tuple[int, int]:
    """Width and height of a stream's first frame, to which a frame's own are in proportion, but for rounding.

    Raises:
        ChangedShapeError: they are not.
    """
    width, height = first or (frame.width, frame.height)
    if abs(width * frame.height - height * frame.width) > 0.02 * width * frame.height:
        raise ChangedShapeError(f"from {width}×{height} to {frame.width}×{frame.height}")
    return width, height


def stream_frames(container: InputContainer, stream: VideoStream, tally: FrameCount) -> Iterator[VideoFrame]:
    """The frames of a stream in the order in which they are shown; bad ones are counted and left out."""
    timed = promises_time(container)
    for packet in container.demux(None if timed else stream):
        if timed and packet.pts is not None and packet.time_base is not None:
            tally.end = max(tally.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != stream.index:
            continue
        tally.packets += packet.size > 0
        for frame in _decoded(packet, tally):
            if frame.is_corrupt:
                tally.lost += 1
            else:
                tally.frames += 1
                yield frame


def _decoded(packet: Packet, tally: FrameCount) -> list[VideoFrame]:
    try:
        return list(packet.decode())  # type: ignore[arg-type]
    except av.error.InvalidDataError:
        tally.lost += 1
        return []


@contextlib.contextmanager
def explained(source: StoredVideo) -> Generator[None]:
    """Turn what the decoder and the file system say into an error that names the file and the remedy."""
    try:
        yield
    except ChangedShapeError as error:
        raise DecodeError(
            f"{source} changes the shape of its frames midway, {error}. Cut it in two there, or encode it again, or "
            "pass --skip-bad to leave it out.",
            "ambiguous frames",
        ) from error
    except av.error.FFmpegError as error:
        raise DecodeError(f"{source} cannot be decoded ({error.strerror}). {REMEDY}") from error
    except OSError as error:
        raise DecodeError(f"{source} cannot be read ({error.strerror or error}). {REMEDY}", "unreadable") from error


@contextlib.contextmanager
def opened(source: StoredVideo) -> Generator[tuple[InputContainer, VideoStream]]:
    """The container and its first video stream."""
    # As an open file, because libav would read a name with a colon as a protocol; and with no protocol allowed, because
    # a list (ffconcat) or a session (SDP) within it would lead to other files, and to the network.
    with source.open() as file, av.open(file, options=NOWHERE, metadata_errors="replace") as container:
        if not container.streams.video:
            raise DecodeError(f"{source} has no video stream. {REMEDY}", "no video stream")
        stream = container.streams.video[0]
        if stream.codec_context is None:  # PyAV's types deny it
            raise DecodeError(f"{source} is of a codec that FFmpeg does not know. {REMEDY}", "unknown codec")
        stream.codec_context.thread_count = 1  # workers already share the cores
        yield container, stream


def promises_time(container: InputContainer) -> bool:
    """Matroska promises a duration, over all streams, instead of a count."""
    return "matroska" in container.format.name


def _count_packets(source: StoredVideo) -> tuple[FrameCount, list[int]]:
    """Packets of the video stream, read without decoding, and their times of presentation (none if not all have one).

    Raises:
        DecodeError: there are fewer than the container promises.
    """
    tally, times = FrameCount(), []
    with opened(source) as (container, stream):
        for packet in container.demux(None if promises_time(container) else stream):
            if packet.pts is not None and packet.time_base is not None:
                tally.end = max(tally.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index == stream.index and packet.size > 0:
                tally.packets += 1
                times.append(packet.pts)
        check_promises(source, container, stream, tally)
    known = sorted(time for time in times if time is not None)
    return tally, known if len(set(known)) == tally.packets else []


def check_promises(source: StoredVideo, container: InputContainer, stream: VideoStream, tally: FrameCount) -> None:
    """Fewer packets, or less time, than the header promises means a truncated file; a few fewer count as lost.

    Raises:
        DecodeError: it is truncated.
    """
    # Encoders write empty packets for dropped frames, which the reader passes over: hence 2 % of grace.
    lacking = stream.frames - tally.packets
    if lacking > stream.frames // 50 and lacking <= max(1, stream.frames // MOST_LOST):
        tally.lost += lacking
    elif lacking > stream.frames // 50:
        raise DecodeError(
            f"{source} is truncated: {tally.packets} of {stream.frames} frames are there. {REMEDY}", "truncated"
        )
    promised = (container.duration or 0) / 1e6
    if promises_time(container) and tally.end < 0.98 * promised - 0.5:
        raise DecodeError(
            f"{source} is truncated: {tally.end:.1f} of {promised:.1f} seconds are there. {REMEDY}", "truncated"
        )


def check_size(source: StoredVideo) -> None:
    """Compare the size that the container claims for itself with the size of the file.

    Raises:
        DecodeError: the file is empty or shorter.
    """
    actual = source.length()
    if actual == 0:
        raise DecodeError(f"{source} is empty (0 bytes). {REMEDY}", "empty")
    with source.open() as file:
        claimed = claimed_size(file)
    if claimed > actual:
        raise DecodeError(f"{source} is truncated: {actual} of {claimed} bytes are there. {REMEDY}", "truncated")
