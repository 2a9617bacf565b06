"""Encoding frames into the packets of a video codec, and decoding packets that may be damaged or missing.

The decoder is the one that reads files, with its own concealment of errors: what it still shows of a damaged packet
stays, and where it shows nothing the frame before stands on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np
from av.codec.context import Flags
from av.packet import Packet
from av.video.frame import VideoFrame

if TYPE_CHECKING:
    from numpy.typing import NDArray

FPS = 25
"""Frames per second that clips are taken to have: of a clip nobody knows."""

DECODERS = {"libx264": "h264", "libx265": "hevc"}
"""Where they have another name than the encoder."""

ALIKE = {"libx264": {"x264-params": "log-level=none:asm=sse2"},
         "libx265": {"x265-params": "log-level=none:pools=none:frame-threads=1"}}  # fmt: skip
"""One thread, so that the same frames give the same packets, and nothing on the terminal. With AVX-512, x264 looks at
memory that nobody has written."""

BLOCK, SMALLEST = 16, {"libx265": 96}
"""Sides are whole macroblocks, since what encoders see beyond the last is left to chance. Those of x265 are above
64, one coding tree unit: up to there it depends on memory that nobody has written, and below it writes beyond its
own."""

GREY = 128
"""What stands where nothing was ever decoded."""


@dataclass(frozen=True)
class Bitstream:
    """The packets of a clip.

    Attributes:
        codec: the name of the encoder.
        header: parameter sets, which files keep apart from the packets.
        packets: in the order of decoding, with start codes.
        times: of each packet, the number of the frame that it shows.
        shape: frames, height and width of the clip; the codec's own may be larger.
    """

    codec: str
    header: bytes
    packets: tuple[bytes, ...]
    times: tuple[int, ...]
    shape: tuple[int, int, int]

    @property
    def size(self) -> int:
        """Bytes of all packets."""
        return sum(map(len, self.packets))

    def carrying(self, packets: Sequence[bytes]) -> Bitstream:
        """The same stream with other packets in place of its own; an empty one is lost."""
        return replace(self, packets=tuple(packets))


def encoded(frames: NDArray[np.uint8], codec: str, options: Mapping[str, str], fps: int = FPS) -> Bitstream:
    """Encode frames, as ``ffmpeg -c:v CODEC`` does with these options.

    Args:
        frames: ``T H W 3``, RGB. Sizes that are no whole macroblocks are padded by their edge.
        codec: ``libx264``, ``libx265``, ``mpeg1video`` or ``mpeg2video``.
        options: of the encoder.
        fps: frames per second.
    """
    count, height, width = frames.shape[:3]
    more = [max(SMALLEST.get(codec, 0), -(-side // BLOCK) * BLOCK) - side for side in (height, width)]
    even = np.pad(frames, ((0, 0), (0, more[0]), (0, more[1]), (0, 0)), mode="edge")
    context: Any = av.CodecContext.create(codec, "w")
    context.height, context.width, context.pix_fmt = even.shape[1], even.shape[2], "yuv420p"
    context.framerate, context.time_base = fps, Fraction(1, fps)
    context.options = _joined(ALIKE.get(codec, {}), options)
    context.thread_count = 1
    context.flags |= Flags.global_header | Flags.bitexact
    found: list[Packet] = []
    for number, pixels in enumerate(even):
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts = number
        found += context.encode(frame)
    found += context.encode()
    times = tuple(int(packet.pts or 0) for packet in found)
    return Bitstream(codec, bytes(context.extradata or b""), tuple(map(bytes, found)), times, (count, height, width))


def _joined(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Options of both; of an encoder's own list (``x264-params``) the entries of both."""
    shared = {name: f"{first[name]}:{second[name]}" for name in first.keys() & second.keys()}
    return {**first, **second, **shared}


def decoded(stream: Bitstream) -> NDArray[np.uint8]:
    """The frames that a decoder shows of what arrived: ``T H W 3``, as many as there were.

    A frame that it does not show is the one before; before the first that it shows, that one; without any, grey.
    """
    context: Any = av.CodecContext.create(DECODERS.get(stream.codec, stream.codec), "r")
    context.extradata, context.thread_count = stream.header or None, 1
    count, height, width = stream.shape
    pictures: dict[int, NDArray[np.uint8]] = {}
    for time, data in [*zip(stream.times, stream.packets, strict=True), (0, None)]:
        if data == b"":
            continue
        packet = None
        if data is not None:
            packet = Packet(data)
            packet.pts = time
        with contextlib.suppress(av.error.FFmpegError):
            for frame in context.decode(packet):
                if frame.pts is not None and (frame.height, frame.width) >= (height, width):
                    pictures[frame.pts] = frame.to_ndarray(format="rgb24")[:height, :width]
    return np.stack(_held(pictures, count, np.full((height, width, 3), GREY, np.uint8)))


def _held(pictures: Mapping[int, NDArray[np.uint8]], count: int, nothing: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """A picture at each time: the last one shown by then."""
    last = pictures[min(pictures)] if pictures else nothing
    found = []
    for time in range(count):
        last = pictures.get(time, last)
        found.append(last)
    return found


def units(packet: bytes) -> list[bytes]:
    """The units (NAL) of a packet, each with its start code: what a network sends one by one.

    >>> [list(unit) for unit in units(bytes([0, 0, 0, 1, 9, 7, 0, 0, 1, 5]))]
    [[0, 0, 0, 1, 9, 7], [0, 0, 1, 5]]
    """
    starts, place = [], packet.find(b"\0\0\1")
    while place >= 0:
        starts.append(place - (place > 0 and packet[place - 1] == 0))
        place = packet.find(b"\0\0\1", place + 3)
    return [packet[start:end] for start, end in zip(starts, [*starts[1:], len(packet)], strict=True)]
