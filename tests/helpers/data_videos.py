"""Real video files of many kinds, for tests: what cameras, YouTube and old pipelines leave."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def film(frames: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """``T H W 3``: smooth noise that moves, each frame different from every other."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(30, 225, (height // 4 + 2, (width + 2 * frames) // 4 + 2, 3))
    wide = coarse.repeat(4, 0).repeat(4, 1).astype(np.uint8)
    return np.stack([wide[:height, 2 * t : 2 * t + width] for t in range(frames)])


def write(
    path: Path,
    frames: np.ndarray,
    codec: str = "mpeg4",
    *,
    fps: int = 25,
    pixels: str = "yuv420p",
    times: list[int] | None = None,
    container: dict[str, str] | None = None,
    tag: str | None = None,
    **options: str,
) -> Path:
    """Write a video; ``times`` are the frames' times in thousandths of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", container_options=container or {}) as output:
        stream = output.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        if tag:
            stream.codec_context.codec_tag = tag
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixel in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixel), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def sound(path: Path) -> Path:
    """A file with sound alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def stills(folder: Path, frames: np.ndarray, pattern: str = "image_{:05d}.jpg", first: int = 1) -> Path:
    """A folder of frames, as older pipelines extract them."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, first):
        Image.fromarray(frame).save(folder / pattern.format(number), quality=95)
    return folder


def rotated(path: Path, frames: np.ndarray) -> Path:
    """An MP4 whose header asks for a quarter turn clockwise, as telephones write it."""
    return with_matrix(write(path, frames), 0, 1, -1, 0)


def packets(path: Path) -> list[tuple[int, int]]:
    """Where each packet of a video lies in its file, and how long it is."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def spoil(path: Path, which: list[int], fill: bytes = b"\xff", beyond: int = 0) -> Path:
    """Overwrite some packets, and so many bytes beyond them, so that they cannot be decoded."""
    places, data = packets(path), bytearray(path.read_bytes())
    for number in which:
        start, size = places[number]
        data[start : start + size + beyond] = fill * (size + beyond)
    path.write_bytes(bytes(data))
    return path


def dies() -> None:
    """Takes its process down at once."""
    os._exit(9)


def dies_at_three(source: object) -> object:
    """Takes its process down, as a decoder does that meets a file made for it; other processes must find it here."""
    from vidrobust.data.surveys import SurveyOutcome

    if str(source).endswith("3.mp4"):
        os._exit(9)
    return SurveyOutcome("ok", "", None)


def remux(path: Path, target: Path, edit: Callable[[list[av.Packet]], list[av.Packet | None]]) -> Path:
    """The packets of a video's stream in another file; ``edit`` chooses and changes them, None leaves a gap."""
    with av.open(str(path)) as source, av.open(str(target), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for packet in edit([packet for packet in source.demux(stream) if packet.size]):
            if packet is not None:
                packet.stream = copy
                output.mux(packet)
    return target


def replaced(packet: av.Packet, content: bytes) -> av.Packet:
    """A packet with other bytes at the same time."""
    other = av.Packet(content)
    other.pts, other.dts, other.time_base, other.duration = packet.pts, packet.dts, packet.time_base, packet.duration
    other.is_keyframe = packet.is_keyframe
    return other


def edit_list(path: Path, entries: list[tuple[float, float]], rate: int = 25) -> Path:
    """Let an MP4 show only these stretches (first frame, frames), a first frame of -1 being a pause.

    The list grows within ``moov``, which must lie behind the frames, as it does unless ``faststart`` is asked for.
    """
    data = bytearray(path.read_bytes())
    unit = struct.unpack(">I", data[data.index(b"mvhd") + 16 :][:4])[0]
    scale = struct.unpack(">I", data[data.index(b"mdhd") + 16 :][:4])[0]
    place = data.index(b"elst")
    offset = struct.unpack(">i", data[place + 16 : place + 20])[0]  # the delay of B-frames, which must stay
    new = b""
    for first, frames in entries:
        time = -1 if first < 0 else offset + round(first * scale / rate)
        new += struct.pack(">IiI", round(frames * unit / rate), time, 65536)
    old = 12 * struct.unpack(">I", data[place + 8 : place + 12])[0]
    data[place + 8 : place + 12 + old] = struct.pack(">I", len(entries)) + new
    assert data.index(b"moov") > data.index(b"mdat")
    for box in (b"elst", b"edts", b"trak", b"moov"):
        at = data.index(box, data.index(b"moov") if box != b"moov" else data.index(b"mdat")) - 4
        data[at : at + 4] = struct.pack(">I", struct.unpack(">I", data[at : at + 4])[0] + len(new) - old)
    path.write_bytes(bytes(data))
    return path


def with_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Let an MP4 be shown by a display matrix: the pixel (x, y) at (ax + cy, bx + dy)."""
    data = path.read_bytes()
    one, unit = (np.array(x, ">i4").tobytes() for x in (0x10000, 0x40000000))
    upright = one + bytes(12) + one + bytes(12) + unit
    place = data.index(upright, data.index(b"tkhd"))
    first = (struct.pack(">i", 0x10000 * value) for value in (a, b, 0, c, d))
    path.write_bytes(data[:place] + b"".join(first) + data[place + 20 :])
    return path
