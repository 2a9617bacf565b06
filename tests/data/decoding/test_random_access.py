"""Any frames of a video are those of a full decode, and cost little more than themselves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.data_videos import film, stills, write

from vidrobust.data.decoding import random_access
from vidrobust.data.decoding.decode import decode_video
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.random_access import read_frames, survey
from vidrobust.data.decoding.stored import StoredVideo, stored_at
from vidrobust.data.decoding.streams import FrameCount, stream_frames
from vidrobust.errors import DecodeError, InputError

KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "xvid.avi": ("mpeg4", {"g": "12"}),
    "b-frames.avi": ("mpeg4", {"g": "20", "bf": "2"}),
    "h264.mp4": ("libx264", {"g": "24", "bf": "3"}),
    "open-gop.mkv": ("libx264", {"g": "30", "bf": "2", "x264-params": "open-gop=1"}),
    "intra-refresh.mp4": ("libx264", {"x264-params": "intra-refresh=1:keyint=30"}),
    "vp9.webm": ("libvpx-vp9", {"g": "25"}),
    "mpeg2.mpg": ("mpeg2video", {"g": "15", "bf": "2"}),
    "variable.mkv": ("libx264", {"g": "20", "times": [40 * i + (i % 3) * 10 for i in range(90)]}),
    "ten-bit.mov": ("libx264", {"pixels": "yuv420p10le"}),
}


@pytest.mark.parametrize("name", KINDS)
def test_frames_are_those_of_a_full_decode(tmp_path: Path, name: str) -> None:
    codec, options = KINDS[name]
    source, fit = stored_at(write(tmp_path / name, film(90), codec, **options)), Fit(24, whole=True)  # type: ignore[arg-type]
    known, full = survey(source), decode_video(source, fit).frames
    assert known.frames == len(full) == 90
    assert (known.width, known.height) == (64, 48)
    assert known.variable == (name == "variable.mkv")
    rng = random.Random(0)
    wanted = [[0], [89], [88, 3, 3, 40], list(range(90)), *([rng.randrange(90) for _ in range(5)] for _ in range(8))]
    wanted += [list(range(start, start + 24, 3)) for start in rng.sample(range(66), 6)]
    for numbers in wanted:
        assert np.array_equal(read_frames(source, known, numbers, fit), full[numbers])


@pytest.mark.parametrize("name", ["xvid.avi", "h264.mp4", "vp9.webm"])
def test_no_more_is_decoded_than_is_needed(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec, options = KINDS[name]
    source = stored_at(write(tmp_path / name, film(200), codec, **options))  # type: ignore[arg-type]
    known, decoded = survey(source), []

    def counted(*arguments: object) -> Iterator[object]:
        for frame in stream_frames(*arguments):  # type: ignore[arg-type]
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(random_access, "stream_frames", counted)
    for start in (5, 77, 150, 190):
        decoded.clear()
        read_frames(source, known, range(start, start + 8), Fit(16))
        assert len(decoded) <= 8 + 30
    decoded.clear()
    read_frames(source, known, [10, 190], Fit(16))  # and what lies between is passed over
    assert len(decoded) <= 2 * 30


def test_frames_that_the_decoder_marks_as_corrupt_are_left_out_and_counted() -> None:
    frames = [SimpleNamespace(is_corrupt=n == 2, number=n, key_frame=n == 0, pict_type=1 + (n > 0)) for n in range(4)]
    common = {"time_base": Fraction(1, 25), "duration": 1, "stream": SimpleNamespace(index=0), "size": 99}
    common |= {"is_discard": False, "is_keyframe": False}
    packets = [SimpleNamespace(**common, pts=n, decode=lambda f=f: [f]) for n, f in enumerate(frames)]
    container = SimpleNamespace(format=SimpleNamespace(name="avi"), demux=lambda stream: packets)
    stream, count = SimpleNamespace(index=0, codec_context=SimpleNamespace(name="mpeg4")), FrameCount()
    kept = list(stream_frames(container, stream, count))  # type: ignore[arg-type]
    assert [frame.number for frame in kept] == [0, 1, 3]
    assert (count.packets, count.frames, count.lost) == (4, 3, 1)


def test_folders_of_frames_and_stretches_of_a_file(tmp_path: Path) -> None:
    folder = stored_at(stills(tmp_path / "frames", film(12)))
    known, fit = survey(folder), Fit(24)
    assert (known.frames, known.codec) == (12, "images")
    assert np.array_equal(read_frames(folder, known, [11, 2], fit), decode_video(folder, fit).frames[[11, 2]])
    data = write(tmp_path / "a.mp4", film(20), "libx264").read_bytes()
    (tmp_path / "shard").write_bytes(b"before" * 99 + data + b"after" * 99)
    part = StoredVideo(tmp_path / "shard", "a", offset=6 * 99, size=len(data))
    assert np.array_equal(decode_video(part, fit).frames, decode_video(stored_at(tmp_path / "a.mp4"), fit).frames)


def test_what_is_refused(tmp_path: Path) -> None:
    source = stored_at(write(tmp_path / "a.avi", film(8)))
    known = survey(source)
    for numbers in ([], [8], [-1]):
        with pytest.raises(InputError, match="0 … 7"):
            read_frames(source, known, numbers, Fit(16))
    write(tmp_path / "a.avi", film(4))
    with pytest.raises(DecodeError, match="has changed since"):
        read_frames(source, known, [7], Fit(16))
