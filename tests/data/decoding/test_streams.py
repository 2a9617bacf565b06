"""Which stream of a file is its video, and what of it is whole: for both decoders and by random access alike."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from helpers.data_videos import edit_list, film, packets, remux, with_matrix, write

from vidrobust.data.decoding.decode import decode, decode_video
from vidrobust.data.decoding.decoders import decoder
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.random_access import read_frames, survey
from vidrobust.data.decoding.stored import stored_at
from vidrobust.errors import DataError, DecodeError

FRAMES, FIT = 24, Fit(16, whole=True)
FILM, OTHER, COVER = film(FRAMES), film(FRAMES, 96, 128, seed=1), film(1, seed=2)
NONE = Disposition(0)
Part = tuple[str, np.ndarray, Disposition]

VIDEO: Part = ("mpeg4", FILM, Disposition.default)
SOUND: Part = ("aac", np.zeros((1, 8000), np.float32), NONE)
PICTURE: Part = ("mjpeg", COVER, Disposition.attached_pic)

JOINED: dict[str, tuple[list[Part], np.ndarray]] = {
    "sound-first.mp4": ([SOUND, VIDEO], FILM),
    "sound-first.mkv": ([SOUND, VIDEO], FILM),
    "cover-first.mp4": ([PICTURE, VIDEO, SOUND], FILM),
    "cover-first.mkv": ([PICTURE, VIDEO], FILM),
    "cover-last.mp4": ([VIDEO, PICTURE], FILM),
    "default-second.mkv": ([("mjpeg", OTHER, NONE), VIDEO], FILM),
}
"""Streams of a file, and which of them is its video."""


def joined(path: Path, parts: list[Part]) -> Path:
    """A file of several streams."""
    with av.open(str(path), "w") as output:
        streams = []
        for codec, content, disposition in parts:
            if content.ndim == 2:
                stream = output.add_stream(codec, rate=8000, layout="mono")
                frames = [av.AudioFrame.from_ndarray(content, format="fltp", layout="mono")]
                frames[0].sample_rate = 8000
            else:
                stream = output.add_stream(codec, rate=25, options={"bf": "2"} if codec == "mpeg4" else {})
                stream.height, stream.width = content.shape[1:3]
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                frames = [av.VideoFrame.from_ndarray(pixels, format="rgb24") for pixels in content]
            stream.disposition = disposition
            streams.append((stream, frames))
        for packet in [
            packet for stream, frames in streams for frame in (*frames, None) for packet in stream.encode(frame)
        ]:
            output.mux(packet)
    return path


def both(path: Path, damaged: str = "refuse") -> list[np.ndarray]:
    """The frames by each decoder that is installed."""
    decoders = [decode_video]
    try:
        decoders.append(decoder("torchcodec"))
    except DataError:
        pytest.skip("torchcodec is an extra")
    return [one(stored_at(path), FIT, None, damaged).frames.copy() for one in decoders]


@pytest.mark.parametrize("name", JOINED)
def test_of_several_streams_both_decoders_read_the_video_whole(tmp_path: Path, name: str) -> None:
    parts, expected = JOINED[name]
    alone = write(tmp_path / "alone.mp4", expected, bf="2")  # not x264, of which no two files are alike
    frames, others = both(joined(tmp_path / name, parts))
    assert len(frames) == FRAMES
    assert np.array_equal(frames, decode_video(stored_at(alone), FIT).frames)
    assert np.abs(frames.astype(int) - others).mean() < 12


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="no video stream"):
        decode(joined(tmp_path / "music.mp4", [SOUND, PICTURE]), size=16)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_frames_that_depend_on_a_hidden_key_frame_are_whole(tmp_path: Path, codec: str) -> None:
    path = write(tmp_path / "a.mp4", FILM, codec, g="12", bf="2")
    stored = decode(path, size=16)
    found = decode_video(stored_at(edit_list(path, [(8, 16)])), Fit(16), None, "refuse")
    assert np.array_equal(found.frames, stored[8:])


def test_times_that_do_not_fit_behind_a_seek_do_not_decide_which_frame_is_which(tmp_path: Path) -> None:
    """In an MPEG program stream without one of its packets, the frames behind a seek have the times of others."""
    whole = write(tmp_path / "whole.mpg", FILM, "mpeg1video", g="6", bf="0")
    path = remux(whole, tmp_path / "hole.mpg", lambda found: [*found[:5], *found[6:]])
    known, frames = survey(stored_at(path)), decode_video(stored_at(path), FIT).frames
    for number in range(known.frames):
        assert np.array_equal(read_frames(stored_at(path), known, [number], FIT)[0], frames[number]), number


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("a.mp4", "mpeg4", "yuv420p"), ("a.avi", "mpeg4", "yuv420p"), ("a.mov", "mjpeg", "yuvj422p")],
)
def test_both_decoders_count_frames_that_come_out_as_rubbish(
    tmp_path: Path, name: str, codec: str, pixels: str
) -> None:
    path = write(tmp_path / name, FILM, codec, pixels=pixels, bf="0")
    place, size = packets(path)[-1]
    start, data = place + size * 6 // 10, bytearray(path.read_bytes())
    data[start : start + 4] = np.random.default_rng(1).integers(0, 256, 4, np.uint8).tobytes()
    path.write_bytes(bytes(data))
    frames, others = both(path, "keep")
    assert len(frames) == len(others) == FRAMES - 1


def test_a_file_turned_by_another_angle_is_read_alike(tmp_path: Path) -> None:
    path = with_matrix(write(tmp_path / "a.mp4", FILM, "libx264"), 1, 1, -1, 1)
    frames, others = both(path)
    assert frames.shape == others.shape == (FRAMES, 16, 21, 3)
