"""Every layout is recognised by itself, read as its makers meant it, and refused with the line that is wrong."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import miniatures
from helpers.data_videos import film, stills, write

from vidrobust.data import open_folder
from vidrobust.data.decoding.stored import stored_video
from vidrobust.data.layouts.hmdb51 import source_of as hmdb_source
from vidrobust.errors import DataError


def counts(root: Path | str, **options: int) -> list[int]:
    folder = open_folder(root, **options)
    return [len(folder.split(split)) for split in ("train", "val", "test")]


def complaint(root: Path | str, **options: int) -> str:
    with pytest.raises(DataError) as caught:
        open_folder(root, **options)
    return str(caught.value)


def swap(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("made")
    return {
        "ucf": miniatures.ucf101(root / "ucf"),
        "hmdb": miniatures.hmdb51(root / "hmdb"),
        "kinetics": miniatures.kinetics(root / "k400"),
    }


@pytest.fixture
def copy(made: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    def copied(name: str) -> Path:
        return Path(shutil.copytree(made[name], tmp_path / name))

    return copied


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_ucf101(made, copy, newline) -> None:
    root = copy("ucf")
    for file in (root / "ucfTrainTestlist").iterdir():
        file.write_bytes(file.read_text().replace("\n", newline).encode())
    folder = open_folder(root)
    assert (folder.layout, folder.classes) == ("UCF-101", miniatures.UCF)
    assert counts(root) == [24, 6, 12]
    assert {video.group for video in folder.test} == {"g01", "g02"}
    swap(root / "ucfTrainTestlist" / "trainlist01.txt", "HandstandPushups/", "HandStandPushups/")
    assert counts(root) == [24, 6, 12]


def test_hmdb51(made) -> None:
    for split in (1, 2, 3):
        folder = open_folder(made["hmdb"], split=split)
        assert (folder.layout, folder.classes) == ("HMDB-51", miniatures.HMDB)
        assert counts(made["hmdb"], split=split) == [18, 6, 12]
        assert "6 clips are marked 0" in folder.notes[0]
        used = {name: {(v.label, v.group) for v in folder.split(name)} for name in ("train", "val", "test")}
        assert not used["train"] & used["val"]
        assert not (used["train"] | used["val"]) & used["test"]
        assert not any(group.startswith("[old]") for _, group in set.union(*used.values()))
    assert hmdb_source("wave/#122_Cleaning_Up_(HD)_wave_f_cm_np2_ri_bad_11.avi") == "#122_cleaning_up_(hd)_wave"


def test_hmdb51_in_other_places(copy) -> None:
    root = copy("hmdb")
    (root / "hmdb51_org").mkdir()
    for name in miniatures.HMDB:
        (root / name).rename(root / "hmdb51_org" / name)
    assert counts(root) == [18, 6, 12]
    assert counts(root / "hmdb51_org") == [18, 6, 12]  # the lists beside it


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("goo_0.avi 2", "goo_0.avi 3", "line 1: .* must be a file and 0"),
        ("April_09", "../April_09", "line 1: .* leads out of the data set"),
        ("April_09", "x/April_09", "line 1: .* must be the name of a file"),
        ("April_09", "May_09", "line 1: .* does not exist"),
        ("AMADEUS_brush_hair_l_nm_np1_ri_goo_1", "AMADEUS_brush_hair_l_nm_np1_ri_goo_0", "is listed twice"),
        (
            "AMADEUS_brush_hair_l_nm_np1_ri_goo_1.avi 1",
            "AMADEUS_brush_hair_l_nm_np1_ri_goo_1.avi 2",
            "share group amad",
        ),
    ],
)
def test_hmdb51_lists_that_are_wrong(copy, old, new, words) -> None:
    root = copy("hmdb")
    swap(root / "testTrainMulti_7030_splits" / "brush_hair_test_split1.txt", old, new)
    with pytest.raises(DataError, match=words):
        open_folder(root)
    assert "split4.txt is missing" in complaint(root, split=4)


@pytest.mark.parametrize("placed", ["classes", "splits", "flat"])
def test_kinetics(tmp_path, placed) -> None:
    root = miniatures.kinetics(tmp_path / "k", placed=placed, size=(16, 24))
    folder = open_folder(root)
    assert (folder.layout, folder.classes) == ("Kinetics", miniatures.KINETICS)
    assert counts(root) == [15, 3, 6]
    assert Counter(one.split for one in folder.missing) == {"train": 3}
    assert folder.missing[0][1] == "-0_Xy3aBc-Z_000021_000031"
    assert any("3 clips of the test list have no label" in note for note in folder.notes)
    assert any("validation list is the test split" in note for note in folder.notes)
    assert all(v.group in v.path for v in folder.train)
    assert counts(root / "train.csv") == [15, 3, 6]


def test_kinetics_with_a_labelled_test_list_uses_all_three(copy) -> None:
    root = copy("kinetics")
    names = {f"-{label}_": name for label, name in enumerate(miniatures.KINETICS)}
    lines = (root / "test.csv").read_text().splitlines()[1:]
    heads = "label,youtube_id,time_start,time_end,split,is_cc"
    (root / "test.csv").write_text("\n".join([heads, *(f"{names[line[:3]]},{line}" for line in lines)]))
    assert counts(root) == [18, 6, 3]


def test_kinetics_whose_class_is_gone_keeps_its_label(copy) -> None:
    root = copy("kinetics")
    for split in ("train", "validate"):
        shutil.rmtree(root / split / "playing guitar")
    folder = open_folder(root)
    assert folder.classes == miniatures.KINETICS
    assert {video.label for video in folder.train} == {0, 2}
    for split in ("train", "validate"):
        shutil.rmtree(root / split)
    assert "clips of the lists are missing" in complaint(root)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",train,", ",training,", "split 'training' is none of"),
        ("-0_Xy1aBc-Z", "../../etc/x", "is not a YouTube id"),
        (",7,17,", ",17,7,", "must lie after"),
        (",7,17,", ",seven,17,", "is not a time"),
        ('"air drumming"', "", "label is empty"),
        ('"air drumming"', '"air, drumming', "Quotation|cells"),
        (",7,17,train", ",7,17,validate", None),
        ("-0_Xy1aBc-Z,7,17", "-0_Xy0aBc-Z,0,10", None),
    ],
)
def test_kinetics_lists_that_are_wrong(copy, old, new, words) -> None:
    root = copy("kinetics")
    swap(root / "train.csv", old, new)
    if words is None:
        open_folder(root)  # a clip in another split, or one listed twice, is no error by itself
    else:
        with pytest.raises(DataError, match=f"train.csv, line .*({words})"):
            open_folder(root)


def test_a_kinetics_source_in_two_splits_is_refused(copy) -> None:
    root = copy("kinetics")
    lists = root / "validate.csv"
    lists.write_text(lists.read_text() + "zumba,-0_Xy1aBc-Z,107,117,validate,0\n")
    shutil.copy(
        root / "train/air drumming/-0_Xy1aBc-Z_000007_000017.mp4", root / "validate/-0_Xy1aBc-Z_000107_000117.mp4"
    )
    assert "share group -0_Xy1aBc-Z" in complaint(root)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """12 videos of two kinds in one folder."""
    for number in range(12):
        write(tmp_path / "videos" / f"{number}.mp4", film(4, 16, 16, seed=number))
    return tmp_path


def listed(root: Path, suffix: str, rows: list[dict[str, object]]) -> Path:
    file = root / f"list{suffix}"
    if suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        names = list(rows[0])
        file.write_text("\n".join([",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]))
    return file


def rows(splits: bool = True, groups: bool = True) -> list[dict[str, object]]:
    found = []
    for number in range(12):
        row: dict[str, object] = {"path": f"videos/{number}.mp4", "label": ("run", "walk")[number % 2]}
        row |= {"split": ("train", "train", "test")[number % 3]} if splits else {}
        row |= {"group": f"s{number % 6}"} if groups else {}
        found.append(row)
    return found


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_manifests(videos, suffix) -> None:
    folder = open_folder(listed(videos, suffix, rows()))
    assert (folder.layout, folder.classes) == ("manifest", ("run", "walk"))
    assert [len(folder.split(name)) for name in ("train", "val", "test")] == [4, 4, 4]
    assert {video.group for video in folder.test} == {"s2", "s5"}
    assert counts(listed(videos, suffix, rows(splits=False, groups=False))) == [8, 2, 2]
    assert counts(listed(videos, suffix, rows(splits=False))) == [4, 4, 4]
    numbered = [{**row, "label": 10 * number % 20 + 2} for number, row in enumerate(rows())]
    assert open_folder(listed(videos, suffix, numbered)).classes == ("2", "12")
    if suffix == ".csv":
        assert open_folder(videos).layout == "manifest"  # recognised by its columns


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": "../x.mp4"}, "leads out of the data set"),
        ({"path": "/etc/passwd"}, "leads out of the data set"),
        ({"path": "videos/99.mp4"}, "does not exist"),
        ({"path": "videos/1.mp4"}, "is listed twice"),
        ({"path": ""}, "path must not be empty"),
        ({"label": ""}, "label must not be empty"),
        ({"split": "training"}, "is none of"),
        ({"split": ""}, "split is empty, though other rows"),
        ({"group": ""}, "group is empty, though other rows"),
        ({"group": "s2"}, "share group s2"),
        ({"path": "videos"}, "neither a video file nor a folder of frames"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_manifest_rows_that_are_wrong(videos, suffix, change, words) -> None:
    file = listed(videos, suffix, [row | (change if number == 3 else {}) for number, row in enumerate(rows())])
    message = complaint(file)
    assert words in message
    assert "line" in message or "share group" in message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "lists no video"),
        ("a.csv", "path,label\n", "lists no video"),
        ("a.csv", "clip,kind\nx,run\n", "path and label must not be empty"),
        ("a.csv", "x.mp4,run,3,fast\ny.mp4,walk,4,slow\n", "in a way that is not understood"),
        ("train.csv", "videos/1.mp4 0\nvideos/2.mp4 1\n", "of the split train alone"),
        ("a.csv", "path,path,label\n", "stands there twice"),
        ("a.csv", 'path,label\n"videos/1.mp4,run\n', "Quotation marks"),
        ("a.csv", "path,label\nvideos/1.mp4,run,3\n", "3 cells, but 2 columns"),
        ("a.csv", "path,label\nvideos/1.mp4,run\n", "has the class run alone"),
        ("a.csv", b"\xff\xfe\x00\xd8", "cannot be read as text"),
        ("a.csv", "path,label\nvideos/\0.mp4,run\n", "zero bytes"),
        ("a.jsonl", "[1]\n", "no JSON object"),
        ("a.jsonl", '{"path": "videos/1.mp4", "label": ["a"]}\n', "must be a text or a whole number"),
        ("a.jsonl", '{"path": \n', "line 1"),
        ("a.jsonl", "[" * 100000, "line 1"),
        ("a.txt", "x", "path and label must not be empty"),
        ("a.doc", "x", "is a file, not a folder"),
    ],
)
def test_lists_that_are_none(videos, name, content, words) -> None:
    (videos / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert words in complaint(videos / name)


@pytest.mark.parametrize("pattern", ["image_{:05d}.jpg", "img_{:05d}.jpg", "frame{:06d}.jpg", "{}.png"])
def test_folders_of_frames_stand_for_videos(copy, pattern) -> None:
    root = copy("ucf")
    expected = counts(root)
    for number, file in enumerate(sorted((root / "UCF-101").rglob("*.avi"))):
        stills(file.with_suffix(""), film(12, 12, 16, seed=number), pattern)
        file.unlink()
    folder = open_folder(root)
    assert [len(folder.split(name)) for name in ("train", "val", "test")] == expected
    frames = stored_video(root, folder.test[0]).frames()
    assert [number for _, number in frames] == list(range(1, 13))  # by number, not by name
    for part in ("train", "val", "test"):
        assert all((root / video.path).is_dir() for video in folder.split(part))
    shutil.rmtree(root / "ucfTrainTestlist")
    assert open_folder(root / "UCF-101").layout == "class folders"
