"""Video files to frames and back: the only module that touches a decoder (PyAV, FFmpeg's libraries).

A damaged file must never become a shorter clip in silence. Decoders forgive a great deal, so besides their errors
three things are checked: the size that the container claims for itself against the size of the file, the packets that
its index promises against those that are there, and the decoder's own mark of a corrupt frame. A bare MPEG stream
(``.mpg``) promises nothing, so a cut at a frame's end cannot be seen there.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

import av
import av.error
import numpy as np
from av.codec.context import Flags
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from vidrobust.errors import DecodeError, InputError
from vidrobust.runs import disk_error

REMEDY = "Replace or delete the file, or pass --skip-bad to leave it out."


def decode(path: Path, *, size: int, max_frames: int | None = None) -> np.ndarray:
    """Decode a video into square RGB frames, scaled and cropped one by one as they stream in.

    The shorter side is scaled to ``size`` (area average), the longer one cropped around its centre; a rotation that a
    telephone noted in the file is carried out.

    Args:
        path: any video file that FFmpeg reads.
        size: side of the square, in pixels.
        max_frames: keep at most so many frames, the contiguous window around the video's middle; None keeps all.

    Returns:
        ``T H W 3``, uint8, RGB, ``H = W = size`` and ``T ≥ 1``.

    Raises:
        DecodeError: the file is missing, empty, truncated, damaged, not a video, or without a video stream.
        InputError: ``size`` or ``max_frames`` is below 1.
    """
    if size < 1 or (max_frames is not None and max_frames < 1):
        raise InputError(f"size and max_frames must be at least 1, not {size} and {max_frames}.")
    with _explained(path):
        _check_size(path)
        packets = _count_packets(path)
        frames, seen = _window(path, size, _middle(packets, max_frames), max_frames)
        if max_frames is not None and len(frames) < min(max_frames, seen):  # fewer frames than packets: seen is exact
            frames, seen = _window(path, size, _middle(seen, max_frames), max_frames)
    if not frames:
        raise DecodeError(f"{path} has a video stream but no frame in it. {REMEDY}")
    return np.stack(frames)


def write_video(path: Path, frames: np.ndarray, fps: int = 25) -> None:
    """Write an MPEG-4 (Xvid) AVI of high quality, as UCF-101 has; the same frames give the same bytes.

    Args:
        path: the file, written atomically.
        frames: ``T H W 3``, uint8, RGB, with ``T ≥ 1`` and even ``H`` and ``W``.
        fps: frames per second.

    Raises:
        InputError: ``frames`` is not of that shape or type.
        RunError: the file cannot be written, for instance because the disk is full.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise InputError(f"{path}: frames must be uint8 T H W 3, not {frames.dtype} {frames.shape}.")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise InputError(f"{path}: MPEG-4 needs an even height and width, not {height} × {width}.")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=fps, options={"qmin": "2", "qmax": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.codec_tag = "XVID"
        context.thread_count = 1
        context.flags |= Flags.bitexact
        for frame in frames:
            container.mux(stream.encode(VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:  # not forced to disk: thousands of these are written, and a file that a power cut emptied is found by `decode`
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise disk_error(path, error) from error


@contextlib.contextmanager
def _explained(path: Path) -> Generator[None]:
    """Turn what the decoder and the file system say into an error that names the file and the remedy."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise DecodeError(f"{path} cannot be decoded ({error.strerror}). {REMEDY}") from error
    except OSError as error:
        raise DecodeError(f"{path} cannot be read ({error.strerror or error}). {REMEDY}") from error


@contextlib.contextmanager
def _video(path: Path) -> Generator[InputContainer]:
    # As an open file: libav would read a name with a colon as a protocol, and follow a playlist to other files.
    with path.open("rb") as file, av.open(file, metadata_errors="replace") as container:
        if not container.streams.video:
            raise DecodeError(f"{path} has no video stream. {REMEDY}")
        yield container


def _count_packets(path: Path) -> int:
    """Packets of the video stream, read without decoding; fewer than the header promises means a truncated file."""
    with _video(path) as container:
        stream = container.streams.video[0]
        timed = "matroska" in container.format.name  # it promises a duration, over all streams, instead of a count
        packets, end = 0, 0.0
        for packet in container.demux(None if timed else stream):
            packets += packet.stream_index == stream.index and packet.size > 0
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        # Encoders write empty packets for dropped frames, which the reader passes over: hence 2 % of grace.
        if packets < stream.frames - stream.frames // 50:
            raise DecodeError(f"{path} is truncated: {packets} of {stream.frames} frames are there. {REMEDY}")
        promised = (container.duration or 0) / 1e6
        if timed and end < 0.98 * promised - 0.5:
            raise DecodeError(f"{path} is truncated: {end:.1f} of {promised:.1f} seconds are there. {REMEDY}")
    return packets


def _middle(frames: int, max_frames: int | None) -> int:
    return 0 if max_frames is None else max(0, (frames - max_frames) // 2)


def _window(path: Path, size: int, start: int, count: int | None) -> tuple[list[np.ndarray], int]:
    """Frames ``start … start + count`` as squares, and how many frames were decoded to get them."""
    frames: list[np.ndarray] = []
    seen = 0
    reformatter = VideoReformatter()
    with _video(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # workers already share the cores
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise DecodeError(f"{path} is damaged at frame {seen}. {REMEDY}")
            if seen >= start:
                frames.append(_square(frame, size, reformatter))
            seen += 1
            if len(frames) == count:
                break
    return frames, seen


def _square(frame: VideoFrame, size: int, reformatter: VideoReformatter) -> np.ndarray:
    scale = size / min(frame.width, frame.height)
    width, height = max(size, round(frame.width * scale)), max(size, round(frame.height * scale))
    small = reformatter.reformat(frame, width, height, "rgb24", interpolation=Interpolation.AREA).to_ndarray()
    top, left = (height - size) // 2, (width - size) // 2
    square = small[top : top + size, left : left + size]
    return np.rot90(square, frame.rotation // 90) if frame.rotation % 90 == 0 else square


def _check_size(path: Path) -> None:
    """Compare the size that the container claims for itself with the size of the file."""
    actual = path.stat().st_size
    if actual == 0:
        raise DecodeError(f"{path} is empty (0 bytes). {REMEDY}")
    with path.open("rb") as file:
        claimed = _claimed_size(file, actual)
    if claimed > actual:
        raise DecodeError(f"{path} is truncated: {actual} of {claimed} bytes are there. {REMEDY}")


def _claimed_size(file: BinaryIO, actual: int) -> int:
    """Where the last of the container's outermost chunks ends; 0 if the format does not say."""
    head = file.read(12)
    if head[:4] == b"RIFF":
        return _end_of_chunks(file, actual, riff=True)
    if head[4:8] == b"ftyp":
        return _end_of_chunks(file, actual, riff=False)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _end_of_matroska(file)
    return 0


def _end_of_chunks(file: BinaryIO, actual: int, *, riff: bool) -> int:
    """AVI: RIFF chunks (tag, then little-endian size of the rest). MP4 and MOV: boxes (big-endian full size, tag)."""
    end = 0
    while end + 8 <= actual:
        file.seek(end)
        head = file.read(16).ljust(16, b"\0")
        if riff:
            tag, length = head[:4], 8 + int.from_bytes(head[4:8], "little")
            if tag != b"RIFF" or length in (8, 8 + 0xFFFFFFFF):  # something appended, or a size never filled in
                break
            length += length % 2
        else:
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = struct.unpack(">Q", head[8:16])[0]
            if length < 8:  # 0 means "to the end of the file"
                break
        end += length
    return end


def _end_of_matroska(file: BinaryIO) -> int:
    """Matroska and WebM: an EBML header, then a segment; each an identifier of 4 bytes, a size, and the content."""
    end = 0
    for _ in range(2):
        file.seek(end + 4)
        head = file.read(8).ljust(8, b"\0")
        width = 9 - head[0].bit_length()  # the leading zero bits of the first byte count the bytes of the size
        bits = 7 * width
        length = int.from_bytes(head[:width], "big") & ((1 << bits) - 1)
        if width > 8 or length == (1 << bits) - 1:  # a live stream leaves the size open
            return 0
        end += 4 + width + length
    return end
