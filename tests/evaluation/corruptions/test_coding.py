"""Compression and transmission agree with the codec driven by hand, through files in memory."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from av.codec.context import Flags
from helpers.corrupted import changed
from PIL import Image
from torch import Tensor

from vidrobust.data.decoding.bitstreams import decoded, encoded, units
from vidrobust.evaluation.corruptions.coding import with_errors, without_losses

SEVERITIES = range(1, 6)


def pixels(clips: Tensor) -> np.ndarray:
    return (clips[0] * 255).round().byte().permute(1, 2, 3, 0).numpy()


def through_a_file(frames: np.ndarray, codec: str, container: str, fps: int = 25, **options: str) -> np.ndarray:
    """Frames through a whole video file; sides are padded to what every codec takes."""
    height, width = frames.shape[1:3]
    side = 96 if codec == "libx265" else 16
    more = [max(side, -(-size // 16) * 16) - size for size in (height, width)]
    padded = np.pad(frames, ((0, 0), (0, more[0]), (0, more[1]), (0, 0)), mode="edge")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width, stream.pix_fmt = padded.shape[1], padded.shape[2], "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= Flags.bitexact
        for frame in padded:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())
    file.seek(0)
    with av.open(file) as written:
        return np.stack([f.to_ndarray(format="rgb24")[:height, :width] for f in written.decode(video=0)])


def alike(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool((np.abs(found * 255 - expected) < 1e-3).all())


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_is_pillows(clips: Tensor, severity: int) -> None:
    expected = []
    for frame in pixels(clips):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[severity - 1])
        expected.append(np.asarray(Image.open(file).convert("RGB")))
    assert alike(changed("ucf101-p", "jpeg", severity, clips), np.stack(expected))


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize(
    ("convention", "kind", "codec", "option", "levels"),
    [
        ("minikinetics-c", "h264_crf", "libx264", "crf", (23, 30, 37, 44, 51)),
        ("minikinetics-c", "h265_crf", "libx265", "crf", (27, 33, 39, 45, 51)),
        ("ucf101-p", "mpeg1", "mpeg1video", "q", (15, 30, 31, 31, 31)),
        ("ucf101-p", "mpeg2", "mpeg2video", "q", (20, 31, 31, 31, 31)),
    ],
)
def test_codecs_are_ffmpegs(
    clips: Tensor, convention: str, kind: str, codec: str, option: str, levels: tuple[int, ...], severity: int
) -> None:
    level = str(levels[severity - 1])
    options = {"crf": level} if option == "crf" else {"qmin": level, "qmax": level, "flags": "+qscale"}
    if codec == "libx264":
        options["x264-params"] = "log-level=none:asm=sse2"
    if codec == "libx265":
        options["x265-params"] = "log-level=none:pools=none:frame-threads=1"
    expected = through_a_file(pixels(clips), codec, "matroska", **options)
    assert alike(changed(convention, kind, severity, clips), expected)


@pytest.mark.parametrize(("kind", "codec"), [("h264_abr", "libx264"), ("h265_abr", "libx265")])
def test_an_average_bit_rate_falls_with_the_severity(clips: Tensor, kind: str, codec: str) -> None:
    errors = [np.abs(changed("minikinetics-c", kind, s, clips) - pixels(clips) / 255).mean() for s in SEVERITIES]
    assert errors[0] < errors[2] <= errors[4]


def test_a_lower_bit_rate_gives_fewer_bytes() -> None:
    from vidrobust.evaluation.corruptions.coding import _filmed, _rate

    frames = np.random.default_rng(0).integers(0, 256, (16, 12, 12, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    filmed = _filmed(frames).size
    rates = [_rate(frames, divisor) for divisor in (2, 4, 8)]
    assert [int(rate["b"]) for rate in rates] == [int(8 * filmed * 25 / 16 / divisor) for divisor in (2, 4, 8)]
    sizes = [filmed, *(encoded(frames, "libx264", rate).size for rate in rates)]
    assert sizes == sorted(set(sizes), reverse=True)
    assert sizes[-1] < filmed / 3


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_lower_frame_rate_shows_frames_until_the_next(clips: Tensor, severity: int) -> None:
    """At f frames a second the k-th stands for the moment k / f, of which the frame nearest is taken."""
    fps = (20, 16, 12, 9, 6)[severity - 1]
    number = [int(time * fps / 25) for time in range(12)]
    taken = [int(k * 25 / fps + 0.5) for k in range(max(number) + 1)]
    options = {"x265-params": "log-level=none:pools=none:frame-threads=1"}
    expected = through_a_file(pixels(clips)[taken], "libx265", "matroska", fps, **options)[number]
    assert alike(changed("minikinetics-c", "frame_rate", severity, clips), expected)


def test_one_byte_in_so_many_is_wrong() -> None:
    packet = bytes(200_000)
    for distance in (10_000, 1_000):
        wrong = sum(byte != 0 for byte in with_errors(packet, 1 / distance, np.random.default_rng(0)))
        assert wrong == pytest.approx(len(packet) / distance * 255 / 256, rel=0.35)
    assert with_errors(packet, 0.0, np.random.default_rng(0)) == packet


def test_lost_units_are_gone_and_the_others_whole() -> None:
    packet = b"".join(b"\0\0\1" + bytes([65, number, 7, 7]) for number in range(1, 201))
    assert b"".join(units(packet)) == packet
    arrived = without_losses(packet, 0.25, np.random.default_rng(0))
    assert 120 < len(units(arrived)) < 175
    assert set(units(arrived)) < set(units(packet))


def test_a_damaged_stream_still_shows_a_frame_at_each_time(clips: Tensor) -> None:
    """The decoder conceals what it can; where it shows nothing, the frame before stands."""
    frames = pixels(clips)
    stream = encoded(frames, "libx264", {"crf": "23"})
    whole = decoded(stream)
    assert np.abs(whole.astype(int) - frames).mean() < 8
    without = stream.carrying([b"" if number >= 6 else packet for number, packet in enumerate(stream.packets)])
    shown = decoded(without)
    assert shown.shape == frames.shape
    assert (shown[-1] == shown[-2]).all()
    assert (decoded(stream.carrying([b""] * len(stream.packets))) == 128).all()
    noise = stream.carrying([np.random.default_rng(0).bytes(len(packet)) for packet in stream.packets])
    assert decoded(noise).shape == frames.shape


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg1video", "mpeg2video"])
@pytest.mark.parametrize("size", [(18, 31), (64, 64)])
def test_the_same_frames_give_the_same_packets(clips: Tensor, codec: str, size: tuple[int, int]) -> None:
    """Whatever lay in the memory before: encoders that look beyond the frame, or beyond their own memory, do not."""
    frames = np.tile(pixels(clips), (1, 2, 2, 1))[:, : size[0], : size[1]]
    first = encoded(frames, codec, {})
    for number in range(5):
        np.full(100_000 * (number + 1), 37 * number, np.uint8)
        assert encoded(frames, codec, {}) == first
    assert decoded(first).shape == frames.shape


@pytest.mark.parametrize("kind", ["bit_error", "packet_loss"])
def test_errors_differ_by_seed_and_repeat_with_it(kind: str) -> None:
    import torch

    clips = torch.from_numpy(np.random.default_rng(1).random((1, 3, 12, 16, 16))).float()
    clips = clips.repeat_interleave(8, 3).repeat_interleave(8, 4)
    found = [changed("minikinetics-c", kind, 5, clips, (seed,)) for seed in range(6)]
    assert np.array_equal(found[3], changed("minikinetics-c", kind, 5, clips, (3,)))
    assert len({one.tobytes() for one in found}) > 2
