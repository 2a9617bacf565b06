from __future__ import annotations

import contextlib
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from vidrobust.data.decoding.decode import decode, decode_video
from vidrobust.data.decoding.encode import write_video
from vidrobust.data.decoding.frames import FrameBuffer, FrameConverter
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import stored_at
from vidrobust.errors import DecodeError, InputError


def write(path: Path, frames: np.ndarray, codec: str = "mpeg4", **options: str) -> bytes:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


@pytest.fixture
def video(tmp_path, moving) -> Path:
    write_video(tmp_path / "a.avi", moving(24, 64))
    return tmp_path / "a.avi"


def test_what_was_written_comes_back(tmp_path, moving):
    grey = moving(24, 64)[..., :1].repeat(3, -1)
    write_video(tmp_path / "a.avi", grey)
    frames = decode(tmp_path / "a.avi", size=64)
    assert frames.shape == (24, 64, 64, 3)
    assert frames.dtype == np.uint8
    assert np.abs(frames.astype(int) - grey).mean() < 2.5


def test_the_same_frames_give_the_same_bytes(video, moving):
    write_video(video.with_name("b.avi"), moving(24, 64))
    assert video.read_bytes() == video.with_name("b.avi").read_bytes()
    assert not list(video.parent.glob(".*"))


def test_the_shorter_side_is_scaled_and_the_longer_cropped(tmp_path):
    wide = np.zeros((5, 64, 128, 3), np.uint8)
    wide[:, :, :32], wide[:, :, 32:96], wide[:, :, 96:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    for name, frames in (("wide.avi", wide), ("tall.avi", wide.transpose(0, 2, 1, 3))):
        write_video(tmp_path / name, frames)
        small = decode(tmp_path / name, size=16)
        assert small.shape == (5, 16, 16, 3)
        assert np.abs(small[:, 2:-2, 2:-2].astype(int) - (0, 255, 0)).max() < 30


@pytest.mark.parametrize(("kept", "first"), [(1, 11), (8, 8), (23, 0), (24, 0), (100, 0)])
def test_a_long_video_gives_its_middle(video, kept, first):
    assert np.array_equal(decode(video, size=32, max_frames=kept), decode(video, size=32)[first : first + kept])


def test_a_rotation_in_the_header_is_carried_out(tmp_path):
    frames = np.zeros((5, 32, 64, 3), np.uint8)
    frames[:, :16] = 255  # bright above, dark below
    data = write(tmp_path / "a.mp4", frames)
    one, zero, minus, unit = (np.array(x, ">i4").tobytes() for x in (0x10000, 0, -0x10000, 0x40000000))
    upright = one + zero * 3 + one + zero * 3 + unit
    clockwise = zero + one + zero + minus + zero * 4 + unit
    place = data.index(upright, data.index(b"tkhd"))
    (tmp_path / "b.mp4").write_bytes(data[:place] + clockwise + data[place + 36 :])
    assert decode(tmp_path / "a.mp4", size=32)[0, 4, 16, 0] > 200
    turned = decode(tmp_path / "b.mp4", size=32)[0]
    assert turned[16, 28, 0] > 200
    assert turned[16, 4, 0] < 50


@pytest.mark.parametrize("keep", [0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "fast.mp4", "a.mkv", "a.mov"])
def test_truncated_files_are_found(tmp_path, moving, name, keep):
    data = write(tmp_path / name, moving(24, 64), **({"movflags": "faststart"} if name == "fast.mp4" else {}))
    assert len(decode(tmp_path / name, size=16)) == 24
    (tmp_path / name).write_bytes(data[: int(keep * len(data))])
    with pytest.raises(DecodeError, match=f"{name} .*--skip-bad"):
        decode(tmp_path / name, size=16)
    with pytest.raises(DecodeError):
        decode(tmp_path / name, size=16, max_frames=2)


def test_one_lost_byte_is_found(video):
    video.write_bytes(video.read_bytes()[:-1])
    with pytest.raises(DecodeError, match=r"truncated: .* bytes are there"):
        decode(video, size=16)


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_a_tail_of_zeros_is_found(tmp_path, moving, name):
    data = write(tmp_path / name, moving(40, 64))
    cut = len(data) // 3
    (tmp_path / name).write_bytes(data[:cut] + bytes(len(data) - cut))
    with pytest.raises(DecodeError):
        decode(tmp_path / name, size=16)


def test_a_header_that_promises_more_frames(video):
    data = bytearray(video.read_bytes())
    place = data.index(b"strh") + 8 + 32  # dwLength of the stream header
    assert int.from_bytes(data[place : place + 4], "little") == 24
    data[place : place + 4] = (48).to_bytes(4, "little")
    video.write_bytes(bytes(data))
    with pytest.raises(DecodeError, match="24 of 48 frames"):
        decode(video, size=16)


def test_a_header_that_promises_more_seconds(tmp_path, moving):
    data = write(tmp_path / "a.mkv", moving(24))
    duration = b"\x44\x89\x88"  # identifier and size of the element
    place = data.index(duration) + len(duration)
    (tmp_path / "a.mkv").write_bytes(data[:place] + np.array(4000.0, ">f8").tobytes() + data[place + 8 :])
    with pytest.raises(DecodeError, match=r"1\.0 of 4\.0 seconds"):
        decode(tmp_path / "a.mkv", size=16)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"This is no video.\n" * 50, b"RIFF", bytes(5000), b"#EXTM3U\n/etc/passwd\n"]
)
def test_files_that_are_no_videos(tmp_path, content, capfd):
    path = tmp_path / "odd name: 1.avi"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=r"odd name: 1\.avi .*--skip-bad"):
        decode(path, size=16)
    assert capfd.readouterr() == ("", "")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DecodeError, match="cannot be read"):
        decode(tmp_path / "nowhere.avi", size=16)
    with pytest.raises(DecodeError, match="has no frame such as"):
        decode(tmp_path, size=16)


def test_a_file_with_sound_only(tmp_path):
    path = tmp_path / "sound.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DecodeError, match="no video stream"):
        decode(path, size=16)


@pytest.mark.parametrize("seed", range(8))
def test_damage_inside_never_shortens_a_video_in_silence(video, seed, capfd):
    rng = np.random.default_rng(seed)
    data = bytearray(video.read_bytes())
    place = rng.integers(len(data) // 4, len(data) - 600)
    data[place : place + 200] = rng.bytes(200)
    video.write_bytes(bytes(data))
    with contextlib.suppress(DecodeError):
        assert len(decode(video, size=16)) == 24
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 16, 16, 3), np.float32),
        np.zeros((2, 16, 16), np.uint8),
        np.zeros((0, 16, 16, 3), np.uint8),
        np.zeros((2, 15, 16, 3), np.uint8),
    ],
)
def test_frames_that_cannot_be_written(tmp_path, frames):
    with pytest.raises(InputError, match=r"a\.avi"):
        write_video(tmp_path / "a.avi", frames)
    assert not list(tmp_path.iterdir())


def test_sizes_out_of_range(video):
    for options in ({"size": 0}, {"size": 8, "max_frames": 0}):
        with pytest.raises(InputError):
            decode(video, **options)


def test_a_reel_takes_memory_once_and_gives_each_video(tmp_path, moving):
    buffer = FrameBuffer()
    for name, frames, side in (("long", 24, 64), ("small", 9, 48), ("larger", 24, 96), ("again", 24, 96)):
        path = tmp_path / f"{name}.avi"
        write_video(path, moving(frames, side))
        before = buffer.memory
        found = decode_video(stored_at(path), Fit(side), buffer=buffer).frames
        assert np.array_equal(found, decode(path, size=side))
        assert np.shares_memory(found, buffer.memory)
        assert (buffer.memory is before) == (name in ("small", "again"))


def test_a_reel_grows_where_a_header_promises_too_little():
    buffer = FrameBuffer()
    buffer.start(2)
    frames = np.arange(7 * 4 * 4 * 3, dtype=np.uint8).reshape(7, 4, 4, 3)
    for frame in frames:
        buffer.add(frame)
    assert np.array_equal(buffer.frames, frames)


def test_frames_are_converted_without_starting_threads(video):
    fitted, process = FrameConverter(Fit(32)), psutil.Process()
    before = process.num_threads()
    with av.open(str(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            fitted(frame)
            assert process.num_threads() == before
