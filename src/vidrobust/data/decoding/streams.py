"""The frames of a video file in presentation order, and a count of those that are lost.

A damaged file must never silently become a shorter or corrupted clip. Decoders hide many errors, so besides reported
errors and frames marked as corrupt, the following are counted:

- packets that give no frame, of those that ought to show one: not those that an edit list hides (``discard``), nor
  those that by their codec show nothing;
- frames that depend on others and come before the first key frame: some decoders (MPEG-4, FLV, WMV) draw them over
  grey;
- frames that the container's own index lists and the file lacks; bytes and seconds that it promises.

The number of frames of a video is always the number that decoding gives. Counts in headers serve to find truncation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Literal

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from vidrobust.data.decoding.containers import claimed_size, count_avi_chunks
from vidrobust.data.decoding.stored import StoredVideo
from vidrobust.errors import DecodeError

REMEDY = "Replace or delete the file, or pass --skip-bad to leave it out."

Damaged = Literal["refuse", "keep"]
"""What becomes of a video with a few lost frames: an error, or the video without these frames, which is reported."""

NO_PROTOCOLS = {"protocol_whitelist": "none"}
"""Options under which a file leads to no other file and not to the network, whatever it says."""

MOST_LOST = 10
"""Of a video that is kept despite damage, at most one frame in so many may be lost."""

MOST_SKIPPED = 19
"""Bytes of the longest MPEG-4 packet that may stand for "as before" (FFmpeg's MAX_NVOP_SIZE)."""

WAITS_FOR_KEY = frozenset({"h264", "hevc", "vvc"})
"""Codecs whose decoders hold frames back until they are whole; that may be without any key frame (intra refresh)."""

STRICT = {"mjpeg": {"err_detect": "explode"}}
"""Options of decoders that pass rubbish off as a frame unless they are told not to."""

INTRA = frozenset({PictureType.I, PictureType.SI, PictureType.BI})
"""Pictures that depend on no other."""


class ChangedShapeError(Exception):
    """The frames of a stream are not all of one shape."""


@dataclass
class FrameCount:
    """What reading a video has shown so far.

    Attributes:
        packets: packets that ought to show a frame.
        frames: whole frames that came out.
        lost: frames that ought to have come out and did not, or are rubbish. Complete at the end of the stream.
        spoiled: whole frames that came out behind a lost one and before the next that depends on no other: they are
            kept, and may show what the lost one left.
        end: the last time that a packet of any stream reaches to, in seconds.
    """

    packets: int = 0
    frames: int = 0
    lost: int = 0
    spoiled: int = 0
    end: float = 0.0

    def see(self, packet: Packet, stream: VideoStream) -> bool:
        """Count a packet; does it belong to the stream?"""
        unit = packet.time_base
        if packet.pts is not None and unit is not None:
            self.end = max(self.end, (packet.pts + (packet.duration or 0)) * unit.numerator / unit.denominator)
        mine = packet.stream.index == stream.index  # a last packet, which flushes, has no stream_index of its own
        self.packets += mine and shows(packet, stream.codec_context.name)
        return mine

    def check(self, video: StoredVideo, damaged: Damaged) -> None:
        """Refuse a video with more damage than is allowed.

        Raises:
            DecodeError: it has.
        """
        expected = max(self.packets, self.frames + self.lost)
        if self.lost and (damaged == "refuse" or self.lost > max(1, expected // MOST_LOST)):
            raise DecodeError(
                f"{video} is damaged: {self.lost} of {expected} frames cannot be decoded. {REMEDY}", "damaged"
            )


def damage(lost: int, spoiled: int) -> str:
    """A note on a video that is used despite damage; empty if nothing is lost.

    >>> damage(1, 12)
    '1 frame(s) cannot be decoded and are left out; 12 after them, up to a key frame, may be spoiled and are kept'
    """
    said = f"{lost} frame(s) cannot be decoded and are left out" if lost else ""
    kept = f"; {spoiled} after them, up to a key frame, may be spoiled and are kept"
    return said + (kept if lost and spoiled else "")


def shows(packet: Packet, codec: str) -> bool:
    """Ought this packet to show a frame?"""
    if not packet.size or packet.is_discard:
        return False
    if codec == "vp8":
        return bool(bytes(packet)[0] >> 4 & 1)  # show_frame: reference frames are packets of their own
    # MPEG-4 says "as before" (vop_coded 0) in a few bytes, which give no frame, or a B-frame that was packed before.
    return codec != "mpeg4" or packet.size > MOST_SKIPPED or packet.is_keyframe


def stream_frames(container: InputContainer, stream: VideoStream, count: FrameCount) -> Iterator[VideoFrame]:
    """The whole frames of a stream in the order in which they are shown; the others are counted and left out."""
    codec = stream.codec_context.name
    whole, keyed, bad, spoilt = codec in WAITS_FOR_KEY, False, 0, False
    for packet in container.demux(None if promises_time(container) else stream):
        if not count.see(packet, stream):
            continue
        keyed = keyed or packet.is_keyframe
        whole = whole or (packet.is_keyframe and packet.is_discard)  # hidden by an edit list, and decoded all the same
        for frame in _decoded(packet):
            if frame is None:
                bad += not packet.is_discard
                spoilt = True
                continue
            untold = frame.pict_type == PictureType.NONE  # by old codecs, and of grey that stands for what is missing
            whole = whole or frame.key_frame or frame.pict_type in INTRA or (untold and keyed)
            spoilt = (spoilt or frame.is_corrupt) and not (frame.key_frame or frame.pict_type in INTRA)
            if frame.is_corrupt or not whole:
                bad += 1
            else:
                count.frames += 1
                count.spoiled += spoilt
                yield frame
    count.lost += max(bad, count.packets - count.frames)


def _decoded(packet: Packet) -> list[VideoFrame] | list[None]:
    """What a packet gives; a None if it cannot be decoded."""
    try:
        return list(packet.decode())  # type: ignore[arg-type]
    except av.error.InvalidDataError:
        return [None]


def count_shown(video: StoredVideo) -> int:
    """Packets that ought to show a frame, counted without decoding.

    Raises:
        DecodeError: the file cannot be read, or has fewer packets than its index.
    """
    count = FrameCount()
    with opened(video) as (container, stream):
        for packet in container.demux(None if promises_time(container) else stream):
            count.see(packet, stream)
        check_promises(video, container, stream, count)
    return count.packets


def same_shape(first: tuple[int, int] | None, frame: VideoFrame) -> tuple[int, int]:
    """Width and height of a stream's first frame, to which a frame's own are in proportion, but for rounding.

    Raises:
        ChangedShapeError: they are not.
    """
    width, height = first or (frame.width, frame.height)
    if abs(width * frame.height - height * frame.width) > 0.02 * width * frame.height:
        raise ChangedShapeError(f"from {width}×{height} to {frame.width}×{frame.height}")
    return width, height


@contextlib.contextmanager
def explained(video: StoredVideo) -> Generator[None]:
    """Turn what the decoder and the file system say into an error that names the file and the remedy."""
    try:
        yield
    except ChangedShapeError as error:
        raise DecodeError(
            f"{video} changes the shape of its frames midway, {error}. Cut it in two there, or encode it again, or "
            "pass --skip-bad to leave it out.",
            "ambiguous frames",
        ) from error
    except av.error.FFmpegError as error:
        raise DecodeError(f"{video} cannot be decoded ({error.strerror}). {REMEDY}") from error
    except OSError as error:
        raise DecodeError(f"{video} cannot be read ({error.strerror or error}). {REMEDY}", "unreadable") from error


@contextlib.contextmanager
def opened(video: StoredVideo, **options: str) -> Generator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream; ``options`` are those of FFmpeg's demuxer."""
    # As an open file, because libav would read a name with a colon as a protocol; and with no protocol allowed, because
    # a list (ffconcat) or a session (SDP) within it would lead to other files, and to the network.
    with (
        video.open() as file,
        av.open(file, options={**NO_PROTOCOLS, **options}, metadata_errors="replace") as container,
    ):
        stream = video_stream(container)
        if stream is None:
            raise DecodeError(f"{video} has no video stream. {REMEDY}", "no video stream")
        if stream.codec_context is None:  # PyAV's types deny it
            raise DecodeError(f"{video} is of a codec that FFmpeg does not know. {REMEDY}", "unknown codec")
        stream.codec_context.options = STRICT.get(stream.codec_context.name, {})
        stream.codec_context.thread_count = 1  # workers already share the cores
        yield container, stream


def video_stream(container: InputContainer) -> VideoStream | None:
    """The stream that FFmpeg takes for the video of a file: of several the default one, and never a cover picture."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    best = container.streams.best("video")
    return next((stream for stream in streams if stream == best), next(iter(streams), None))


def promises_time(container: InputContainer) -> bool:
    """Matroska promises a duration, over all streams, instead of a count."""
    return "matroska" in container.format.name


def check_promises(video: StoredVideo, container: InputContainer, stream: VideoStream, count: FrameCount) -> None:
    """Fewer packets, or less time, than the container promises means a truncated file; a few fewer count as lost.

    Raises:
        DecodeError: it is truncated.
    """
    there, promised = count.packets, stream.frames
    if there < promised:
        there = max(there, _stored_packets(video, container.format.name, stream.index))
    lacking = promised - there
    if 0 < lacking <= max(1, promised // MOST_LOST):
        count.lost += lacking
    elif lacking > 0:
        raise DecodeError(f"{video} is truncated: {there} of {promised} frames are there. {REMEDY}", "truncated")
    seconds = (container.duration or 0) / 1e6
    if promises_time(container) and count.end < 0.98 * seconds - 0.5:
        raise DecodeError(
            f"{video} is truncated: {count.end:.1f} of {seconds:.1f} seconds are there. {REMEDY}", "truncated"
        )


def _stored_packets(video: StoredVideo, container: str, stream: int) -> int:
    """Packets that lie in the file, those included that show nothing: hidden by an edit list, or empty (AVI)."""
    if "avi" in container.split(","):
        with video.open() as file:
            return count_avi_chunks(file, stream)
    with opened(video, ignore_editlist="1") as (whole, video_stream):
        return sum(packet.size > 0 for packet in whole.demux(video_stream))


def check_size(video: StoredVideo) -> None:
    """Compare the size that the container claims for itself with the size of the file.

    Raises:
        DecodeError: the file is empty or shorter.
    """
    actual = video.length()
    if actual == 0:
        raise DecodeError(f"{video} is empty (0 bytes). {REMEDY}", "empty")
    with video.open() as file:
        claimed = claimed_size(file)
    if claimed > actual:
        raise DecodeError(f"{video} is truncated: {actual} of {claimed} bytes are there. {REMEDY}", "truncated")
