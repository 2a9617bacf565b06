"""Real video files of many kinds, for tests: what cameras, YouTube and old pipelines leave."""

from __future__ import annotations

import os
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
    data = write(path, frames).read_bytes()
    one, zero, minus, unit = (np.array(x, ">i4").tobytes() for x in (0x10000, 0, -0x10000, 0x40000000))
    upright = one + zero * 3 + one + zero * 3 + unit
    clockwise = zero + one + zero + minus + zero * 4 + unit
    place = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:place] + clockwise + data[place + 36 :])
    return path


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


def dies_at_three(source: object) -> object:
    """Takes its process down, as a decoder does that meets a file made for it; other processes must find it here."""
    from vidrobust.data.surveys import Outcome

    if str(source).endswith("3.mp4"):
        os._exit(9)
    return Outcome("ok", "", None)
