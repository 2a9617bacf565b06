"""What decodes to nothing, or to rubbish, is counted, in whatever codec and however it is read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from helpers.data_videos import film, remux, replaced, write

from vidrobust.data.decoding.decode import decode, decode_video
from vidrobust.data.decoding.decoders import decoder
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.random_access import read_frames, survey
from vidrobust.data.decoding.stored import stored_at
from vidrobust.errors import DataError, DecodeError

CODECS: dict[str, tuple[str, dict[str, object]]] = {
    "mpeg4.avi": ("mpeg4", {"g": "20", "tag": "XVID"}),
    "mpeg4.mp4": ("mpeg4", {"g": "20", "bf": "2"}),
    "h264.mp4": ("libx264", {"g": "20", "bf": "2"}),
    "h264.avi": ("libx264", {"g": "20", "bf": "0"}),
    "open-gop.mkv": ("libx264", {"g": "20", "bf": "2", "x264-params": "open-gop=1"}),
    "refresh.mp4": ("libx264", {"x264-params": "intra-refresh=1:keyint=20"}),
    "hevc.mp4": ("libx265", {"g": "20", "x265-params": "log-level=none:open-gop=1:bframes=3"}),
    "vp9.webm": ("libvpx-vp9", {"g": "20"}),
    "vp8.webm": ("libvpx", {"g": "20"}),
    "mpeg2.mpg": ("mpeg2video", {"g": "18", "bf": "2"}),
    "mpeg2.mkv": ("mpeg2video", {"g": "18", "bf": "2"}),
    "flv.flv": ("flv", {"g": "20"}),
    "wmv.avi": ("wmv2", {"g": "20"}),
    "msmpeg4.avi": ("msmpeg4v3", {"g": "20"}),
    "h263.avi": ("h263", {"g": "20"}),
    "svq1.mov": ("svq1", {"g": "20", "pixels": "yuv410p"}),
}

INTRA: dict[str, tuple[str, dict[str, object]]] = {
    "mjpeg.avi": ("mjpeg", {"pixels": "yuvj420p"}),
    "ffv1.mkv": ("ffv1", {"g": "1"}),
    "huffyuv.avi": ("huffyuv", {"pixels": "yuv422p"}),
    "prores.mov": ("prores", {"pixels": "yuv422p10le"}),
}
"""Of codecs without dependent frames, cut anywhere, nothing is lost."""

FRAMES, CUT = 55, 5


def made(place: Path, name: str, codec: str, options: dict[str, object]) -> Path:
    sides = (96, 128) if codec == "h263" else (48, 64)  # H.263 has few sizes
    return write(place / name, film(FRAMES, *sides), codec, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CODECS | INTRA)
def test_a_whole_video_has_lost_nothing(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = made(tmp_path, name, *(CODECS | INTRA)[name])
    found = decode_video(stored_at(path), Fit(16), damaged="refuse")
    assert (len(found.frames), found.lost, survey(stored_at(path)).frames) == (FRAMES, 0, FRAMES)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("damaged", ["keep", "refuse"])
def test_a_video_cut_before_its_first_key_frame_is_damaged(tmp_path: Path, name: str, damaged: str) -> None:
    path = remux(made(tmp_path, name, *CODECS[name]), tmp_path / f"cut-{name}", lambda packets: packets[CUT:])
    for most in (None, 8):
        with pytest.raises(DecodeError, match=r"cut-.* is damaged: \d+ of \d+ frames cannot be decoded") as caught:
            decode_video(stored_at(path), Fit(16), most, damaged)  # type: ignore[arg-type]
        assert caught.value.outcome == "damaged"
    with pytest.raises(DecodeError, match="is damaged"):
        survey(stored_at(path), damaged)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CODECS)
def test_the_other_decoder_counts_the_same_frames_as_lost(tmp_path: Path, name: str) -> None:
    try:
        with_torchcodec = decoder("torchcodec")
    except DataError:
        pytest.skip("torchcodec is an extra")
    whole = made(tmp_path, name, *CODECS[name])
    assert len(with_torchcodec(stored_at(whole), Fit(16), None, "refuse").frames) == FRAMES
    path = remux(whole, tmp_path / f"cut-{name}", lambda packets: packets[CUT:])
    with pytest.raises(DecodeError, match="is damaged"):
        with_torchcodec(stored_at(path), Fit(16), 8, "keep")


@pytest.mark.parametrize("name", INTRA)
def test_a_cut_before_a_frame_that_depends_on_none_loses_nothing(tmp_path: Path, name: str) -> None:
    whole = made(tmp_path, name, *INTRA[name])
    path = remux(whole, tmp_path / f"cut-{name}", lambda packets: packets[CUT:])
    found = decode_video(stored_at(path), Fit(16), damaged="refuse")
    assert np.array_equal(found.frames, decode(whole, size=16)[CUT:])


@pytest.mark.parametrize("name", ["mpeg4.avi", "h264.mp4", "vp9.webm", "flv.flv"])
def test_a_few_frames_before_the_first_key_frame_are_left_out_and_said(tmp_path: Path, name: str) -> None:
    """Two frames too many at the front: every one that is kept is right, and the two are counted."""
    whole = made(tmp_path, name, *CODECS[name])
    path = remux(whole, tmp_path / f"cut-{name}", lambda packets: packets[18:])
    full, stored = decode(whole, size=16), stored_at(path)
    found = decode_video(stored, Fit(16))
    assert np.array_equal(found.frames, full[-len(found.frames) :])
    assert (len(found.frames), found.lost) == (FRAMES - 20, 2)
    assert found.note == "2 frame(s) cannot be decoded and are left out"
    middle = found.frames[(len(found.frames) - 8) // 2 :][:8]
    assert np.array_equal(decode_video(stored, Fit(16), 8).frames, middle)
    known = survey(stored)
    assert (known.frames, known.lost) == (FRAMES - 20, 2)
    assert np.array_equal(read_frames(stored, known, range(5, 30, 4), Fit(16)), found.frames[5:30:4])
    with pytest.raises(DecodeError, match=r"damaged: 2 of 37 frames"):
        decode(path, size=16)


@pytest.mark.parametrize("name", ["mpeg4.avi", "h264.avi", "flv.flv"])
def test_frames_behind_a_spoiled_packet_are_kept_and_said(tmp_path: Path, name: str) -> None:
    """They show what the lost frame left, up to the next key frame: what is used of them is for people to say."""

    def spoiled(packets: list[av.Packet]) -> list[av.Packet | None]:
        return [*packets[:25], replaced(packets[25], b"\0" * len(bytes(packets[25]))), *packets[26:]]

    whole = made(tmp_path, name, *CODECS[name])
    path = remux(whole, tmp_path / f"spoiled-{name}", spoiled)
    found, known = decode_video(stored_at(path), Fit(16)), survey(stored_at(path))
    assert (found.lost, found.spoiled) == (known.lost, known.spoiled) == (1, 14)  # up to 39: there is a key frame at 40
    assert found.note.endswith("; 14 after them, up to a key frame, may be spoiled and are kept")
    full = decode(whole, size=16)
    assert np.array_equal(found.frames[39:], full[40:]) and not np.array_equal(found.frames[25:39], full[26:40])
    with pytest.raises(DecodeError, match="damaged: 1 of 55 frames"):
        decode_video(stored_at(path), Fit(16), damaged="refuse")


def not_coded(packets: list[av.Packet]) -> list[av.Packet | None]:
    """Every tenth packet says "as before": vop_coded is 0. (25 frames a second: the time takes 5 bits.)"""
    kept: list[av.Packet | None] = []
    for number, packet in enumerate(packets):
        content = bytes(packet)
        if number % 10 == 5:
            begin = content.index(b"\0\0\1\xb6") + 4
            bits = "".join(f"{byte:08b}" for byte in content[begin : begin + 4])
            head = bits[: bits.index("0", 2) + 7]  # the type, the seconds, a marker and the time
            bits = f"{head}10111"  # a marker, not coded, stuffing
            bits += "1" * (-len(bits) % 8)
            content = content[:begin] + bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
        kept.append(replaced(packet, content))
    return kept


def test_packets_that_show_nothing_by_their_codec_are_no_loss(tmp_path: Path) -> None:
    whole = made(tmp_path, "a.avi", *CODECS["mpeg4.avi"])
    path = remux(whole, tmp_path / "b.avi", not_coded)
    assert len(decode(path, size=16)) == FRAMES - 5
    whole = made(tmp_path, "a.webm", *CODECS["vp8.webm"])

    def hidden(packets: list[av.Packet]) -> list[av.Packet | None]:
        content = bytes(packets[30])
        return [*packets[:30], replaced(packets[30], bytes([content[0] & ~16]) + content[1:]), *packets[31:]]

    path = remux(whole, tmp_path / "b.webm", hidden)
    assert np.array_equal(decode(path, size=16), np.delete(decode(whole, size=16), 30, 0))
    assert np.array_equal(decode(path, size=16, max_frames=8), decode(path, size=16)[23:31])


def test_empty_chunks_of_an_avi_stand_for_frames_that_were_dropped(tmp_path: Path) -> None:
    """A header that counts them is right, and nothing is truncated."""
    whole = made(tmp_path, "a.avi", *INTRA["mjpeg.avi"])
    path = remux(whole, tmp_path / "b.avi", lambda packets: [p for n, p in enumerate(packets) if n % 4 or n == 0])
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames >= FRAMES - 3
    assert len(decode(path, size=16)) == 42 - (FRAMES % 4 == 1)
