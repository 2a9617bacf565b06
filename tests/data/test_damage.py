"""Files as disks, networks and crawlers leave them: none may crash or hang, or become a wrong number in silence."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.data_videos import dies_at_three, film, packets, rotated, sound, spoil, stills, write

from vidrobust.data import surveys
from vidrobust.data.check import CANNOT_BE_OPENED, check_data, summary
from vidrobust.data.decoding.decode import decode, decode_video
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.random_access import read_frames, survey
from vidrobust.data.decoding.stored import stored_at
from vidrobust.data.parallel import in_order
from vidrobust.data.surveys import CRASHES, DAMAGED, OK
from vidrobust.errors import DecodeError

FRAMES = 30
Make = Callable[[Path], object]


def cut(make: Make, share: float) -> Make:
    def made(path: Path) -> None:
        make(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])

    return made


def filled(make: Make, share: float, fill: bytes = b"\0") -> Make:
    """Its end is overwritten, as a download that reserved the space leaves it."""

    def made(path: Path) -> None:
        make(path)
        data = path.read_bytes()
        kept = int(share * len(data))
        path.write_bytes(data[:kept] + fill * (len(data) - kept))

    return made


def plain(codec: str = "mpeg4", height: int = 48, width: int = 64, frames: int = FRAMES, **options: object) -> Make:
    return lambda path: write(path, film(frames, height, width, seed=len(path.name)), codec, **options)  # type: ignore[arg-type]


def bad_packets(codec: str, which: list[int], **options: str) -> Make:
    return lambda path: spoil(plain(codec, **options)(path), which)  # type: ignore[arg-type]


def content(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def edited(make: Make, tag: bytes, offset: int, value: bytes) -> Make:
    def made(path: Path) -> None:
        make(path)
        data = bytearray(path.read_bytes())
        place = data.index(tag) + offset
        data[place : place + len(value)] = value
        path.write_bytes(bytes(data))

    return made


def dropped(make: Make, which: list[int]) -> Make:
    """Packets cut out, and nothing said of it."""

    def made(path: Path) -> None:
        make(path)
        places, data = packets(path), path.read_bytes()
        for number in sorted(which, reverse=True):
            start, size = places[number]
            data = data[:start] + data[start + size :]
        path.write_bytes(data)

    return made


def image_gap(path: Path) -> None:
    stills(path, film(20))
    (path / "image_00007.jpg").unlink()


def image_broken(path: Path) -> None:
    stills(path, film(20))
    (path / "image_00005.jpg").write_bytes(b"")


def images_all_broken(path: Path) -> None:
    for file in stills(path, film(4)).iterdir():
        file.write_bytes(b"no image")


def images_of_two_sizes(path: Path) -> None:
    stills(path, film(4))
    stills(path, film(4, 24, 24), first=5)


def images_twice(path: Path) -> None:
    stills(path, film(4))
    stills(path, film(1), "image_1.jpg")


def two_series(path: Path) -> None:
    stills(path, film(4))
    stills(path, film(4), "img_{:05d}.jpg")


def two_shapes(height: int, width: int) -> Make:
    """Two streams of MPEG one behind the other, as a recorder leaves them when the sender changes its picture."""

    def made(path: Path) -> None:
        halves = [path.with_name(f"{path.name}.{part}.mpg") for part in (1, 2)]
        for half, size in zip(halves, ((48, 64), (height, width)), strict=True):
            write(half, film(12, *size), "mpeg1video")
        path.write_bytes(b"".join(half.read_bytes() for half in halves))
        for half in halves:
            half.unlink()

    return made


def unreadable(path: Path) -> None:
    path.mkdir()
    (path / "a.txt").touch()
    path.rmdir()
    path.symlink_to(path.parent)  # a folder where a file should be


LOST = {"unknown codec", "truncated", "undecodable", "damaged", "no frame", "no video stream"}
"""Ways in which a file that is cut or overwritten may be refused; the decoder chooses which it meets first."""

VIDEOS: dict[str, tuple[Make, set[str]]] = {
    "good.avi": (plain(tag="XVID"), {OK}),
    "zero-byte.mp4": (content(b""), {"empty"}),
    "one-byte.mp4": (content(b"x"), LOST),
    "text.avi": (content(b"This is no video.\n" * 50), LOST),
    "html.mp4": (content(b"<!DOCTYPE html><title>404 Not Found</title>" * 9), LOST),
    "zeros.mp4": (content(bytes(9000)), LOST),
    "noise.avi": (content(np.random.default_rng(0).bytes(9000)), LOST),
    "riff-only.avi": (content(b"RIFF"), LOST),
    "riff-huge.avi": (content(b"RIFF\xff\xff\xff\x7fAVI LIST"), LOST),
    "ftyp-only.mp4": (content(struct.pack(">I", 16) + b"ftypisom\0\0\2\0"), LOST),
    "playlist.mp4": (content(b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"), LOST),
    "concat.avi": (content(b"ffconcat version 1.0\nfile '/etc/passwd'\n"), LOST),
    "cut-01.avi": (cut(plain(), 0.01), LOST),
    "cut-50.avi": (cut(plain(), 0.5), LOST),
    "cut-99.avi": (cut(plain(), 0.99), LOST),
    "cut-50.mp4": (cut(plain("libx264"), 0.5), LOST),
    "cut-90-fast.mp4": (cut(plain("libx264", container={"movflags": "faststart"}), 0.9), LOST),
    "cut-50.mkv": (cut(plain("libx264"), 0.5), LOST),
    "cut-50.webm": (cut(plain("libvpx-vp9"), 0.5), LOST),
    "cut-50.mov": (cut(plain("libx264"), 0.5), LOST),
    "zero-tail.avi": (filled(plain(), 0.5), LOST),
    "zero-tail.mp4": (filled(plain("libx264", container={"movflags": "faststart"}), 0.5), LOST),
    "ff-tail.mkv": (filled(plain("libx264"), 0.5, b"\xff"), LOST),
    "bad-packet.mp4": (bad_packets("libx264", [12], g="10", bf="0"), {DAMAGED, OK}),
    "bad-packet.avi": (bad_packets("mpeg4", [12], g="10"), {DAMAGED, OK}),
    "bad-packet.mkv": (bad_packets("libx264", [15], g="5", bf="0"), {DAMAGED, OK}),
    "bad-zero.mp4": (lambda path: spoil(plain("libx264", g="10", bf="0")(path), [12], b"\0"), {DAMAGED, OK}),  # type: ignore[arg-type]
    "bad-head.avi": (lambda path: spoil(plain("mpeg4", g="10")(path), [12], beyond=8), {DAMAGED}),  # type: ignore[arg-type]
    "bad-many.mp4": (bad_packets("libx264", list(range(5, 25)), g="5", bf="0"), {"damaged"}),
    "bad-all.mp4": (bad_packets("libx264", list(range(FRAMES)), g="5", bf="0"), LOST),
    "bad-first.mp4": (bad_packets("libx264", [0], g="5", bf="0"), {DAMAGED, "damaged"}),
    "count-too-high.avi": (edited(plain(), b"strh", 40, struct.pack("<I", 900)), {"truncated"}),
    "count-too-low.avi": (edited(plain(), b"strh", 40, struct.pack("<I", 3)), {OK}),
    "count-zero.avi": (edited(plain(), b"strh", 40, struct.pack("<I", 0)), {OK}),
    "rate-zero.avi": (edited(plain(), b"strh", 32, struct.pack("<II", 1, 0)), {OK, *LOST}),
    "width-huge.avi": (edited(plain(), b"strf", 12, struct.pack("<II", 65535, 65535)), {OK, *LOST}),
    "codec-unknown.avi": (edited(edited(plain(), b"strf", 24, b"ZZZZ"), b"strh", 12, b"ZZZZ"), LOST),
    "audio-only.avi": (sound, {"no video stream"}),
    "audio-only.mp4": (lambda path: os.replace(sound(path.with_suffix(".wav")), path), {"no video stream"}),
    "rotated.mp4": (lambda path: rotated(path, film(12)), {OK}),
    "variable.mkv": (plain("libx264", times=[40 * i + 17 * (i % 3) for i in range(FRAMES)]), {OK}),
    "gap-in-time.mkv": (plain("libx264", times=[40 * i + 60_000 * (i > 9) for i in range(FRAMES)]), {OK}),
    "odd-size.mkv": (plain("ffv1", 37, 53), {OK}),
    "tiny.mkv": (plain("ffv1", 1, 1), {OK}),
    "flat.mkv": (plain("ffv1", 2, 300), {OK}),
    "ten-bit.mp4": (plain("libx264", pixels="yuv420p10le"), {OK}),
    "full-colour.mp4": (plain("libx264", pixels="yuv444p"), {OK}),
    "grey.mp4": (plain("libx264", pixels="gray"), {OK}),
    "two-shapes.mpg": (two_shapes(64, 48), {"ambiguous frames"}),
    "one-frame.avi": (plain(frames=1), {OK}),
    "long.avi": (plain(height=16, width=16, frames=3000, g="50"), {OK}),
    "appended.avi": (lambda path: path.write_bytes(plain()(path).read_bytes() + b"junk" * 99), {OK}),  # type: ignore[attr-defined]
    "misnamed.mp4": (lambda path: os.replace(plain()(path.with_suffix(".avi")), path), {OK}),  # type: ignore[arg-type]
    "frames-gap": (image_gap, {DAMAGED}),
    "frames-broken": (image_broken, {DAMAGED}),
    "frames-none": (images_all_broken, {"damaged"}),
    "frames-sizes": (images_of_two_sizes, {"ambiguous frames"}),
    "frames-twice": (images_twice, {"ambiguous frames"}),
    "frames-two-series": (two_series, {"ambiguous frames"}),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    for name in ("damaged", "whole"):
        (root / name).mkdir()
    for name, (make, _) in VIDEOS.items():
        make(root / "damaged" / name)
    for number in range(5):
        write(root / "whole" / f"{number}.mp4", film(6, 16, 16, seed=number))
    return root


@pytest.fixture(scope="module")
def report(corpus: Path) -> dict[str, object]:
    return check_data(corpus, workers=2)


def outcomes(report: dict) -> dict[str, str]:
    return {Path(one["file"]).name: one["outcome"] for one in report["files"]}


def test_the_corpus_is_large_and_every_outcome_is_named(report) -> None:
    found = outcomes(report)
    assert len(VIDEOS) >= 50
    assert {
        name: found.get(name, OK) for name, (_, allowed) in VIDEOS.items() if found.get(name, OK) not in allowed
    } == {}
    assert sum(report["outcomes"].values()) == len(VIDEOS) + 5
    assert not report["usable"]
    for one in report["files"]:
        assert Path(one["file"]).name in one["reason"]
    assert any("cannot be used" in line for line in summary(report))
    json.dumps(report)


def test_at_least_some_bad_packets_are_survived_and_said(report) -> None:
    found = outcomes(report)
    assert [name for name in VIDEOS if name.startswith("bad-") and found.get(name) == DAMAGED]


@pytest.mark.parametrize("name", VIDEOS)
def test_no_silent_wrong_number(corpus, report, name) -> None:
    """A file that counts as whole gives as many frames as it has packets, however it is read; all others refuse."""
    source, outcome = stored_at(corpus / "damaged" / name), outcomes(report).get(name, OK)
    fit = Fit(16)
    if outcome not in (OK, DAMAGED):
        for most in (None,) if name.startswith("frames-") else (None, 4):  # four good images are no error
            with pytest.raises(DecodeError) as caught:
                decode_video(source, fit, most, "refuse")
            assert name in str(caught.value)
        return
    known, full = survey(source), decode_video(source, fit)
    assert known.frames == len(full.frames)
    assert bool(full.lost) == bool(full.note) == (outcome == DAMAGED)
    if outcome == OK and not source.is_folder:
        assert len(full.frames) == len(packets(source.file))
    numbers = [known.frames - 1, 0, known.frames // 2]
    assert np.array_equal(read_frames(source, known, numbers, fit), full.frames[numbers])
    if outcome == DAMAGED:
        with pytest.raises(DecodeError, match="is damaged"):
            decode_video(source, fit, None, "refuse")


def test_a_file_that_takes_the_decoder_down_is_named(corpus) -> None:
    files = [stored_at(corpus / "whole" / f"{number}.mp4") for number in range(5)]
    found = list(in_order(dies_at_three, files, 2, surveys._crashed))
    assert [one.outcome for one in found] == [OK, OK, OK, CRASHES, OK]


LISTS = {
    "ucfTrainTestlist/classInd.txt": [
        b"",
        b"1 cat\n1 dog\n",
        b"\xff\xfe",
        b"cat\ndog\n",
        b"0 cat\n1 dog\n",
        b"1 cat\n\0\n",
    ],
    "ucfTrainTestlist/trainlist01.txt": [b"", b"cat/9.avi 1\n", b"../x.avi 1\n", b"cat/1.avi two\n", bytes(50)],
    "manifest.csv": [b"", b"path,label\n", b"a,b\n1,2\n", b'path,label\n"x', b"path,label\n../x.mp4,cat\n"],
    "manifest.jsonl": [b"{", b"[]\n", b'{"path": "x.mp4"}\n', b'{"path": "cat/0.avi", "label": 1.5}\n'],
    "train.csv": [
        b"label,youtube_id,time_start,time_end,split\n",
        b"label,youtube_id,time_start,time_end\ncat,../a,1,2\n",
    ],
    "a.tar": [b"", b"\0" * 10240, b"no tar" * 900],
    "cat_test_split1.txt": [b"0.avi 5\n", b"", b"nothing.avi 1\n"],
}


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, many in LISTS.items() for data in many])
def test_list_files_that_are_damaged(tmp_path, name, data) -> None:
    for title in ("cat", "dog"):
        for number in range(4):
            write(tmp_path / title / f"{number}.avi", film(2, 16, 16, seed=number))
    if name.startswith("ucf"):
        lists = tmp_path / "ucfTrainTestlist"
        lists.mkdir()
        (lists / "classInd.txt").write_text("1 cat\n2 dog\n")
        (lists / "trainlist01.txt").write_text("cat/0.avi 1\ncat/1.avi 1\ndog/0.avi 2\ndog/1.avi 2\n")
        (lists / "testlist01.txt").write_text("cat/2.avi\ndog/2.avi\n")
        assert check_data(tmp_path)["layout"] == "UCF-101"
    if name.startswith("cat"):
        (tmp_path / "dog_test_split1.txt").write_text("0.avi 1\n1.avi 1\n2.avi 2\n")
    (tmp_path / name).write_bytes(data)
    report = check_data(tmp_path)
    assert not report["usable"]
    assert report["outcomes"] == {CANNOT_BE_OPENED: 1}
    assert str(tmp_path) in report["errors"][0]


def test_a_leak_by_content_is_found_and_makes_the_data_unusable(tmp_path) -> None:
    from vidrobust.data.dataset import DataConfig, load
    from vidrobust.errors import DataError

    for split, seeds in (("train", range(4)), ("val", (5,)), ("test", (6, 7))):
        for title in ("cat", "dog"):
            for seed in seeds:
                write(tmp_path / split / title / f"{seed}.avi", film(6, 16, 16, seed=seed + 100 * (title == "dog")))
    assert check_data(tmp_path)["usable"]
    load(DataConfig(str(tmp_path), size=16, frames=4))
    (tmp_path / "test/cat/other-name.avi").write_bytes((tmp_path / "train/cat/2.avi").read_bytes())
    report = check_data(tmp_path)
    assert not report["usable"]
    assert "hold the same file" in report["leaks"][0]
    with pytest.raises(DataError, match="other-name.avi.* hold the same file"):
        load(DataConfig(str(tmp_path), size=16, frames=4))


def test_one_file_under_two_classes_of_a_split_is_noted(tmp_path) -> None:
    for split, seeds in (("train", range(4)), ("val", (5,)), ("test", (6, 7))):
        for title in ("cat", "dog"):
            for seed in seeds:
                write(tmp_path / split / title / f"{seed}.avi", film(6, 16, 16, seed=seed + 100 * (title == "dog")))
    (tmp_path / "train/cat/twin.avi").write_bytes((tmp_path / "train/cat/0.avi").read_bytes())
    report = check_data(tmp_path)
    assert not any("hold the same file" in note for note in report["notes"])  # doubled, but under one class
    (tmp_path / "train/dog/other-name.avi").write_bytes((tmp_path / "train/cat/2.avi").read_bytes())
    report = check_data(tmp_path)
    assert report["usable"] and report["leaks"] == []
    (note,) = (note for note in report["notes"] if "hold the same file" in note)
    assert "2.avi (cat)" in note and "other-name.avi (dog)" in note and "train" in note


def test_a_report_says_what_is_there(tmp_path) -> None:
    for title, height in (("cat", 16), ("dog", 32)):
        for seed in range(5):
            write(tmp_path / title / f"{seed}.avi", film(5 + seed, height, 32, seed=seed + height), fps=20)
    report = check_data(tmp_path)
    assert report["usable"]
    assert report["sizes"] == {"32×16": 5, "32×32": 5}
    assert report["frames"] == {"least": 5, "median": 7, "most": 9, "total": 70}
    assert report["fps"]["least"] == report["fps"]["most"] == 20
    assert report["clips"] == {"train": 6, "val": 2, "test": 2}
    assert report["classes"]["cat"] == {"train": 3, "val": 1, "test": 1}
    assert report["outcomes"] == {OK: 10}
    text = "\n".join(summary(report))
    for words in ("class folders, 2 classes", "32×16 (5)", "5 to 9, median 7, 70 in all", "usable"):
        assert words in text
    (tmp_path / "cat/0.avi").write_bytes(b"")
    assert not check_data(tmp_path)["usable"]
    assert check_data(tmp_path, skip_bad=True)["usable"]


SESSION = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)


@pytest.mark.parametrize("said", ["ffconcat version 1.0\nfile other.mp4\n", SESSION], ids=["list", "session"])
def test_a_file_leads_to_no_other_file_and_not_to_the_network(tmp_path, monkeypatch, said):
    monkeypatch.chdir(tmp_path)  # libav looks for what a list names there
    write(tmp_path / "other.mp4", film(6, 16, 16), "libx264")
    (tmp_path / "a.mp4").write_text(said)
    with pytest.raises(DecodeError, match=r"a\.mp4 cannot be decoded"):
        decode(Path("a.mp4"), size=16)


@pytest.mark.parametrize("whole", [True, False])
def test_a_video_that_changes_its_size_gives_frames_of_the_first_and_one_of_two_shapes_is_refused(tmp_path, whole):
    two_shapes(96, 130)(tmp_path / "sizes.mpg")  # nearly in proportion: 65 columns of 48 rows
    two_shapes(64, 48)(tmp_path / "shapes.mpg")
    fit = Fit(48, whole)
    source = stored_at(tmp_path / "sizes.mpg")
    frames = decode_video(source, fit).frames
    assert frames.shape[1:] == ((48, 64, 3) if whole else (48, 48, 3))
    assert read_frames(source, survey(source), [0, len(frames) - 1], fit).shape[1:] == frames.shape[1:]
    source = stored_at(tmp_path / "shapes.mpg")
    for use in (lambda: decode_video(source, fit), lambda: survey(source)):
        with pytest.raises(DecodeError, match="from 64×48 to 48×64") as caught:
            use()
        assert caught.value.outcome == "ambiguous frames"
