"""Shards are read in place, refused with the member that is wrong, and bounded before they are expanded."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
from pathlib import Path

import pytest
from helpers.data_videos import film, write

from vidrobust.data import open_folder
from vidrobust.data.decoding.stored import stored_video
from vidrobust.errors import DataError


def complaint(root: Path | str) -> str:
    with pytest.raises(DataError) as caught:
        open_folder(root)
    return str(caught.value)


Member = tuple[str, bytes]


def shard(path: Path, members: list[Member]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def samples(first: int, count: int, kind: str = "cls", **fields: object) -> list[Member]:
    found: list[Member] = []
    for number in range(first, first + count):
        with tempfile.TemporaryDirectory() as place:
            data = write(Path(place) / "a.mp4", film(5, 16, 16, seed=number)).read_bytes()
        label = {"cls": str(number % 2).encode()}
        label["json"] = json.dumps({"label": ("run", "walk")[number % 2], **fields}).encode()
        found += [(f"{number:06d}.mp4", data), (f"{number:06d}.{kind}", label[kind])]
    return found


def test_shards(tmp_path) -> None:
    for place, number in (("train", 0), ("train", 1), ("test", 0)):
        shard(tmp_path / f"{place}-{number:06d}.tar", samples(20 * number + 100 * (place == "test"), 10))
    folder = open_folder(tmp_path)
    assert (folder.layout, folder.classes) == ("WebDataset shards", ("0", "1"))
    assert [len(folder.split(name)) for name in ("train", "val", "test")] == [16, 4, 10]
    assert folder.test[0].path == "test-000000.tar/000100.mp4"
    with stored_video(folder.root, folder.test[1]).open() as file:
        assert file.read() == dict(samples(101, 1))["000101.mp4"]
    again = open_folder(f"{tmp_path}/train-{{000000..000001}}.tar::{tmp_path}/test-000000.tar")
    assert again == folder
    (tmp_path / "train-000001.tar").unlink()
    assert "train-000001.tar does not exist (1 of 2)" in complaint(f"{tmp_path}/train-{{000000..000001}}.tar")


def test_shards_with_json_and_groups(tmp_path) -> None:
    parts = [samples(number, 4, "json", group=f"s{number}") for number in range(0, 24, 4)]
    shard(tmp_path / "all.tar", [member for part in parts for member in part])
    folder = open_folder(tmp_path / "all.tar")
    assert folder.classes == ("run", "walk")
    assert [len(folder.split(name)) for name in ("train", "val", "test")] == [16, 4, 4]
    assert len({video.group for video in folder.test}) == 1


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "no whole, uncompressed tar file"),
        (lambda data: b"no tar at all" * 100, "no whole, uncompressed tar file"),
        (lambda data: data[:3000], "no whole, uncompressed tar file"),
        (lambda data: data[: len(data) // 2 // 512 * 512], "truncated"),
        (gzip.compress, "uncompressed"),
        (lambda data: data[:100] + b"\xff" * 40 + data[140:], "no whole, uncompressed tar file"),
    ],
)
def test_shards_that_are_damaged(tmp_path, damage, words) -> None:
    file = shard(tmp_path / "a.tar", samples(0, 8))
    file.write_bytes(damage(file.read_bytes()))
    assert words in complaint(file)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ([("a.mp4", b"x" * 600)], "a.mp4 has no label"),
        ([("a.mp4", b""), ("a.cls", b"1")], "a.mp4 is empty"),
        ([("a.mp4", b"x"), ("a.avi", b"x"), ("a.cls", b"1")], "two videos"),
        ([("a.mp4", b"x"), ("a.cls", b"1"), ("a.json", b'{"label": 0}')], "contradicts"),
        ([("a.mp4", b"x"), ("a.json", b"[")], "is no JSON"),
        ([("a.mp4", b"x"), ("a.json", b'{"label": {"a": 1}}')], "must be a name or a whole number"),
        ([("a.mp4", b"x"), ("a.json", b'{"label": 1, "split": "x"}')], "split 'x' is none of"),
        ([("a.mp4", b"x"), ("a.cls", b"\xff")], "no UTF-8"),
        ([("a.mp4", b"x"), ("a.cls", b"1" * 2_000_000)], "too many for a label"),
    ],
)
def test_samples_that_are_wrong(tmp_path, extra, words) -> None:
    assert words in complaint(shard(tmp_path / "a.tar", [*samples(0, 8), *extra]))


def test_links_in_a_shard_are_refused(tmp_path) -> None:
    file = shard(tmp_path / "a.tar", samples(0, 8))
    with tarfile.open(file, "a") as tar:
        link = tarfile.TarInfo("b.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert "b.mp4 is no plain file" in complaint(file)


@pytest.mark.parametrize(
    "pattern",
    [
        "{0..9}" * 30 + ".tar",
        "{0..99999}{0..99999}.tar",
        "{a,b}" * 200 + ".tar",
        "{0..999999999999}.tar",
        "::".join(["{0..60000}.tar"] * 2),
        "{" + ",".join(map(str, range(200_000))) + "}.tar",
        "{9..1}.tar",
    ],
)
def test_braces_are_counted_before_they_are_expanded(pattern: str) -> None:
    message = complaint(pattern)
    assert "100,000 shards" in message
    assert len(message) < 500


def test_braces_that_no_range_can_be_are_names(tmp_path: Path) -> None:
    assert "does not exist" in complaint(f"{tmp_path}/{{{'9' * 5000}..1}}.tar"[:250] + ".tar")
    assert "does not exist" in complaint(f"{tmp_path}/{{0..{{1..2}}}}.tar")


def test_samples_without_a_video_are_named(tmp_path: Path) -> None:
    others = [("9.cls", b"1"), ("9.npy", b"x"), ("__MACOSX/1.mp4", b"x"), ("._1.mp4", b"x")]
    folder = open_folder(shard(tmp_path / "a.tar", [*samples(0, 8), *others]))
    assert folder.notes == ("not used: 1 samples of the shards without a video (9, …).",)
    assert sum(len(folder.split(name)) for name in ("train", "val", "test")) == 8
