"""Compression and transmission, through real encoders, packets and decoders: clip by clip, on the CPU."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from vidrobust.data.decoding.bitstreams import FPS, Bitstream, decoded, encoded, units
from vidrobust.evaluation.corruptions.kinds import ClipDraws

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrobust.types import ClipTensor

AS_FILMED = "23"
"""The quality (CRF of H.264) of a video that nobody has compressed further: FFmpeg's default."""

MTU = 1400
"""Bytes of a network packet at most."""


def jpeg(clips: ClipTensor, quality: int, draws: ClipDraws) -> ClipTensor:
    """Every frame as a JPEG of this quality."""
    return _each(clips, lambda number, frames: np.stack([_jpeg(frame, quality) for frame in frames]))


def _jpeg(frame: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def mpeg1(clips: ClipTensor, quantiser: int, draws: ClipDraws) -> ClipTensor:
    """MPEG-1 at a fixed quantiser, 2 (best) to 31."""
    return _coded(clips, "mpeg1video", _fixed(quantiser))


def mpeg2(clips: ClipTensor, quantiser: int, draws: ClipDraws) -> ClipTensor:
    """MPEG-2 at a fixed quantiser, 2 (best) to 31."""
    return _coded(clips, "mpeg2video", _fixed(quantiser))


def _fixed(quantiser: int) -> dict[str, str]:
    """One quantiser throughout, as FFmpeg's ``-q:v``, whatever the bit rate."""
    return {"flags": "+qscale", "qmin": str(quantiser), "qmax": str(quantiser)}


def h264_crf(clips: ClipTensor, factor: int, draws: ClipDraws) -> ClipTensor:
    """H.264 at a constant rate factor, to 51 (worst)."""
    return _coded(clips, "libx264", {"crf": str(factor)})


def h265_crf(clips: ClipTensor, factor: int, draws: ClipDraws) -> ClipTensor:
    """H.265 at a constant rate factor, to 51 (worst)."""
    return _coded(clips, "libx265", {"crf": str(factor)})


def h264_abr(clips: ClipTensor, divisor: int, draws: ClipDraws) -> ClipTensor:
    """H.264 at a bit rate so many times lower than before."""
    return _each(clips, lambda number, frames: decoded(encoded(frames, "libx264", _rate(frames, divisor))))


def h265_abr(clips: ClipTensor, divisor: int, draws: ClipDraws) -> ClipTensor:
    """H.265 at a bit rate so many times lower than before."""
    return _each(clips, lambda number, frames: decoded(encoded(frames, "libx265", _rate(frames, divisor))))


def frame_rate(clips: ClipTensor, fps: int, draws: ClipDraws) -> ClipTensor:
    """At so many frames per second instead of 25, by H.265, each frame shown until the next."""
    times = [math.floor(math.floor(time * fps / FPS) * FPS / fps + 0.5) for time in range(clips.shape[2])]
    distinct = sorted(set(times))
    place = [distinct.index(time) for time in times]
    return _each(clips, lambda number, frames: decoded(encoded(frames[distinct], "libx265", {}, fps))[place])


def bit_error(clips: ClipTensor, distance: int, draws: ClipDraws) -> ClipTensor:
    """One byte in ``distance`` of the H.264 packets, at random, is another one."""

    def damaged(number: int, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        stream, random = _filmed(frames), _generator(seeds[number])
        return decoded(stream.carrying([with_errors(packet, 1 / distance, random) for packet in stream.packets]))

    seeds = _seeds(draws)
    return _each(clips, damaged)


def packet_loss(clips: ClipTensor, percent: float, draws: ClipDraws) -> ClipTensor:
    """So many per cent of the network packets (H.264 units of at most 1,400 bytes), at random, never arrive."""

    def lossy(number: int, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        stream = _filmed(frames, {"x264-params": f"slice-max-size={MTU}"})
        random = _generator(seeds[number])
        return decoded(stream.carrying([without_losses(packet, percent / 100, random) for packet in stream.packets]))

    seeds = _seeds(draws)
    return _each(clips, lossy)


def with_errors(packet: bytes, share: float, random: np.random.Generator) -> bytes:
    """A packet, a share of whose bytes were replaced by random ones."""
    data = np.frombuffer(packet, np.uint8)
    wrong = random.random(len(data)) < share
    return np.where(wrong, random.integers(0, 256, len(data), np.uint8), data).tobytes()


def without_losses(packet: bytes, share: float, random: np.random.Generator) -> bytes:
    """What arrives of a packet's units when a share is lost; nothing if none does."""
    found = units(packet)
    return b"".join(unit for unit, draw in zip(found, random.random(len(found)), strict=True) if draw >= share)


def _filmed(frames: NDArray[np.uint8], options: dict[str, str] | None = None) -> Bitstream:
    return encoded(frames, "libx264", {"crf": AS_FILMED, **(options or {})})


def _rate(frames: NDArray[np.uint8], divisor: int) -> dict[str, str]:
    """A bit rate so many times lower than that of the clip as it was filmed, which is never exceeded."""
    rate = str(max(1000, int(8 * _filmed(frames).size * FPS / len(frames) / divisor)))
    return {"b": rate, "maxrate": rate, "bufsize": rate}


def _coded(clips: ClipTensor, codec: str, options: dict[str, str]) -> ClipTensor:
    return _each(clips, lambda number, frames: decoded(encoded(frames, codec, options)))


def _each(clips: ClipTensor, change: Callable[[int, NDArray[np.uint8]], NDArray[np.uint8]]) -> ClipTensor:
    """Every clip by itself, as frames ``T H W 3`` of 8 bits."""
    pixels: Any = (clips.detach().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 4, 1).cpu().numpy()
    changed = np.stack([change(number, frames) for number, frames in enumerate(pixels)])
    return torch.from_numpy(changed).permute(0, 4, 1, 2, 3).to(clips) / 255


def _seeds(draws: ClipDraws) -> list[int]:
    return draws.integers(0, 2**62, 1).flatten().tolist()


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
