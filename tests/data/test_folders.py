from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidrobust.data import open_folder
from vidrobust.data.dataset import DataConfig, open_videos
from vidrobust.errors import DataError, InputError

LISTS = "ucfTrainTestlist"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def fill(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def complaint(root: Path, **options: int) -> str:
    with pytest.raises(DataError) as caught:
        open_folder(root, **options)
    return str(caught.value)


def test_ucf_layout(ucf):
    folder = open_folder(ucf)
    assert (folder.name, folder.root, folder.classes) == ("set", ucf, ("Archery", "Bowling"))
    assert [len(folder.split(name)) for name in ("train", "val", "test")] == [8, 4, 4]
    first = folder.test[0]
    assert (first.path, first.label, first.group) == ("Archery/v_Archery_g01_c01.avi", 0, "g01")
    assert (ucf / first.path).is_file()
    assert {v.group for v in folder.test} == {"g01"}


def test_validation_holds_out_the_same_groups_of_all_classes(ucf):
    held = set()
    for seed in range(12):
        folder = open_folder(ucf, seed=seed)
        by_class = [{v.group for v in folder.val if v.label == label} for label in (0, 1)]
        assert by_class[0] == by_class[1]
        assert not by_class[0] & {v.group for v in folder.train}
        assert folder == open_folder(ucf, seed=seed)
        held |= by_class[0]
    assert held == {"g02", "g03", "g04"}  # and the seed decides which


@pytest.mark.parametrize(("fraction", "groups"), [(0.001, 1), (0.5, 2), (0.999, 2)])
def test_validation_is_never_empty_and_never_everything(ucf, fraction, groups):
    assert len({v.group for v in open_folder(ucf, val_fraction=fraction).val}) == groups


@pytest.mark.parametrize("place", ["UCF-101", "UCF101"])
def test_videos_in_a_folder_of_their_own(ucf, place):
    (ucf / place).mkdir()
    for name in ("Archery", "Bowling"):
        (ucf / name).rename(ucf / place / name)
    assert open_folder(ucf).test[0].path == f"{place}/Archery/v_Archery_g01_c01.avi"


def test_lists_among_the_videos_or_beside_them(ucf):
    expected = open_folder(ucf)
    videos = ucf / "UCF-101"
    videos.mkdir()
    for name in ("Archery", "Bowling"):
        (ucf / name).rename(videos / name)
    assert open_folder(videos).test == expected.test
    for file in (ucf / LISTS).iterdir():
        file.rename(videos / file.name)
    (ucf / LISTS).rmdir()
    assert open_folder(videos).test == expected.test


def test_a_neighbours_lists_do_not_capture_other_folders(ucf):
    for name in ("cat", "dog"):
        fill(ucf / "mine" / name, ["1.mp4", "2.mp4", "3.mp4"])
    shutil.move(ucf / "mine", ucf / LISTS / ".." / "own")
    assert open_folder(ucf / "own").classes == ("cat", "dog")


def test_handstand_pushups_is_spelled_in_two_ways(tmp_path, avi, make):
    root = make(tmp_path / "set", avi, classes=("HandstandPushups", "Bowling"))
    for file in (root / "HandstandPushups").iterdir():
        file.rename(file.with_name(file.name.replace("Handstand", "HandStand")))
    for name in ("trainlist01.txt", "testlist01.txt"):
        text = (root / LISTS / name).read_text()
        (root / LISTS / name).write_text(text.replace("v_Handstand", "v_HandStand"))
    assert len(open_folder(root).test) == 4
    shutil.move(root / "HandstandPushups", root / "HandStandPushups")  # the other spelling of the folder
    assert {v.label for v in open_folder(root).test if "HandStandPushups/" in v.path} == {0}


@settings(max_examples=40, deadline=None)
@given(
    ending=st.sampled_from(["\n", "\r\n"]),
    labelled=st.booleans(),
    gap=st.sampled_from([" ", "\t", "  "]),
    trailing=st.sampled_from(["", " ", "\t "]),
    blank=st.integers(0, 2),
    bom=st.booleans(),
    final=st.booleans(),
    classes=st.lists(
        st.from_regex(r"[A-Z][a-z]{1,5}[0-9]?", fullmatch=True), min_size=2, max_size=4, unique_by=str.lower
    ),
    groups=st.integers(3, 6),
)
def test_list_spellings(ending, labelled, gap, trailing, blank, bom, final, classes, groups):
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        entries = {name: [f"v_{name}_g{g:02d}_c01.avi" for g in range(1, groups + 1)] for name in classes}
        for name, files in entries.items():
            fill(root / name, files)

        def write(name: str, lines: list[str]) -> None:
            text = (ending * (blank + 1)).join(line + trailing for line in lines) + (ending if final else "")
            (root / name).write_bytes(text.encode("utf-8-sig" if bom else "utf-8"))

        write("classInd.txt", [f"{i}{gap}{name}" for i, name in enumerate(classes, 1)])
        write("testlist01.txt", [f"{name}/{files[0]}" for name, files in entries.items()])
        write(
            "trainlist01.txt",
            [
                f"{name}/{file}" + (f"{gap}{i}" if labelled else "")
                for i, (name, files) in enumerate(entries.items(), 1)
                for file in files[1:]
            ],
        )
        folder = open_folder(root)
        assert folder.classes == tuple(classes)
        for part in ("train", "val", "test"):
            assert all(v.path.split("/")[0] == classes[v.label] for v in folder.split(part))
        got = {v.path for part in ("train", "val", "test") for v in folder.split(part)}
        assert got == {f"{name}/{file}" for name, files in entries.items() for file in files}


@pytest.mark.parametrize("name", ["classInd.txt", "trainlist01.txt", "testlist01.txt"])
def test_a_missing_list_is_named(ucf, name):
    (ucf / LISTS / name).unlink()
    message = complaint(ucf)
    assert str(ucf / LISTS / name) in message
    assert "put the file there" in message


def test_all_lists_missing_is_not_a_folder_of_classes(ucf):
    for file in (ucf / LISTS).iterdir():
        file.unlink()
    assert "classInd.txt is missing" in complaint(ucf)


def test_a_missing_split_is_named(ucf):
    assert "trainlist03.txt is missing" in complaint(ucf, split=3)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("/etc/passwd.avi", "leads out of the data set"),
        ("../set/Archery/v_Archery_g02_c01.avi 1", "leads out of the data set"),
        ("Archery/../../x.avi 1", "leads out of the data set"),
        ("C:/Archery/x.avi 1", "leads out of the data set"),
        ("..\\x.avi 1", "leads out of the data set"),
        ("Archery/deep/x.avi 1", "not of the form"),
        ("x.avi 1", "not of the form"),
        ("Archery/v_Archery_g99_c01.avi 1", "does not exist"),
        ("Curling/v_Curling_g02_c01.avi 3", "not in classInd.txt"),
        ("Archery/v_Archery_g02_c01.avi 2", "label 2 contradicts classInd.txt, where that class is 1"),
        ("Archery/v_Archery_g02_c01.avi 0", "label 0 contradicts"),
        ("Archery/v_Archery_g02_c02.avi 1", "listed twice"),
    ],
)
def test_a_bad_line_is_named(ucf, entry, words):
    file = ucf / LISTS / "trainlist01.txt"
    edit(file, "Archery/v_Archery_g02_c01.avi 1", entry)
    message = complaint(ucf)
    assert words in message
    assert f"{file}, line {2 if 'twice' in words else 1}:" in message


@pytest.mark.parametrize(
    "text", ["1 Archery\n1 Bowling\n", "1 Archery\n3 Bowling\n", "Archery\nBowling\n", "1 A\n2 A\n", ""]
)
def test_a_bad_class_index_is_refused(ucf, text):
    (ucf / LISTS / "classInd.txt").write_text(text)
    assert "classInd.txt" in complaint(ucf)


def test_a_list_that_is_not_text(ucf):
    (ucf / LISTS / "testlist01.txt").write_bytes(b"\xff\xfe\x00\xd8")
    assert "testlist01.txt cannot be read as text" in complaint(ucf)


def test_a_source_on_both_sides_is_refused(ucf):
    edit(ucf / LISTS / "testlist01.txt", "Archery/v_Archery_g01_c02", "Archery/v_Archery_g03_c02")
    edit(ucf / LISTS / "trainlist01.txt", "Archery/v_Archery_g03_c02.avi 1\n", "")
    assert re.search(r"share group g03 of\s+class Archery", complaint(ucf))


@pytest.mark.parametrize("outside", ["file", "folder"])
def test_a_link_out_of_the_root_is_refused(ucf, tmp_path, avi, outside):
    if outside == "file":
        (tmp_path / "secret.avi").write_bytes(avi)
        video = ucf / "Archery/v_Archery_g01_c01.avi"
        video.unlink()
        video.symlink_to(tmp_path / "secret.avi")
    else:
        shutil.move(ucf / "Archery", tmp_path / "elsewhere")
        (ucf / "Archery").symlink_to(tmp_path / "elsewhere")
    assert "is a link out of" in complaint(ucf)


def test_a_link_within_the_root_is_followed(ucf):
    video = ucf / "Archery/v_Archery_g01_c01.avi"
    video.rename(ucf / "kept.avi")
    video.symlink_to("../kept.avi")
    assert len(open_folder(ucf).test) == 4


def test_a_class_folder_without_clips(ucf):
    shutil.rmtree(ucf / "Bowling")
    (ucf / "Bowling").mkdir()
    assert f"class folder {ucf / 'Bowling'} has no video" in complaint(ucf)


def test_a_class_without_test_clips(ucf):
    file = ucf / LISTS / "testlist01.txt"
    file.write_text("\n".join(line for line in file.read_text().split() if "Bowling" not in line))
    assert "no test clips of class Bowling" in complaint(ucf)


def own(root: Path, videos: int = 10) -> Path:
    for name in ("cat", "dog"):
        fill(
            root / name, [f"{k}.{suffix}" for k in range(videos) for suffix in ["mp4", "MKV", "avi"][k % 3 : k % 3 + 1]]
        )
    return root


def test_own_videos_are_cut_into_three(tmp_path):
    fill(own(tmp_path) / "cat", [".hidden.mp4", "notes.txt"])
    fill(tmp_path / ".git", ["x.mp4"])
    (tmp_path / "README").touch()
    folder = open_videos(DataConfig(str(tmp_path)))
    assert folder.classes == ("cat", "dog")
    for label in (0, 1):
        parts = [[v for v in folder.split(s) if v.label == label] for s in ("train", "val", "test")]
        assert [len(part) for part in parts] == [6, 2, 2]
    assert all(v.group == v.path for v in folder.train)
    assert folder != open_folder(tmp_path, seed=1)


def test_own_videos_with_group_numbers_stay_together(tmp_path):
    for name in ("cat", "dog"):
        fill(tmp_path / name, [f"{name}_g{g}_c{c}.mp4" for g in range(5) for c in range(3)])
    folder = open_folder(tmp_path)
    groups = [{v.group for v in folder.split(s)} for s in ("train", "val", "test")]
    assert [len(g) for g in groups] == [3, 1, 1]
    assert len(set.union(*groups)) == 5


def test_own_splits(tmp_path):
    for part, videos in (("train", 5), ("val", 2), ("test", 3)):
        own(tmp_path / part, videos)
    folder = open_folder(tmp_path)
    assert [len(folder.split(s)) for s in ("train", "val", "test")] == [10, 4, 6]
    assert folder.val[0].path.startswith("val/cat/")
    shutil.rmtree(tmp_path / "val")
    folder = open_folder(tmp_path)
    assert [len(folder.split(s)) for s in ("train", "val", "test")] == [8, 2, 6]
    assert {v.label for v in folder.val} == {0, 1}
    (tmp_path / "test/dog").rename(tmp_path / "test/fox")
    assert "differ in their class folders: ['dog', 'fox']" in complaint(tmp_path)
    shutil.rmtree(tmp_path / "test")
    assert f"{tmp_path / 'test'} is missing" in complaint(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "tram"):
        fill(tmp_path / name, ["1.avi", "2.avi", "3.avi"])
    assert open_folder(tmp_path).classes == ("train", "tram")


def test_own_folders_that_cannot_be_used(tmp_path):
    assert "has 0 class folder(s)" in complaint(tmp_path)
    assert "does not exist" in complaint(tmp_path / "nowhere")
    (tmp_path / "a.avi").touch()
    assert "is a file, not a folder" in complaint(tmp_path / "a.avi")
    fill(tmp_path / "cat", ["1.avi", "2.avi"])
    assert "has 1 class folder(s); at least 2" in complaint(tmp_path)
    fill(tmp_path / "dog", ["notes.txt"])
    assert f"class folder {tmp_path / 'dog'} has no video" in complaint(tmp_path)
    fill(tmp_path / "dog", ["1.avi", "2.avi", "3.avi"])
    assert f"{tmp_path / 'cat'} has 2 group(s)" in complaint(tmp_path)


def test_dead_links_are_not_passed_over(tmp_path):
    own(tmp_path)
    (tmp_path / "cat/dead.avi").symlink_to("nothing.avi")
    assert "dead.avi is a link out of" in complaint(tmp_path)


@pytest.mark.parametrize("options", [{"val_fraction": 0.0}, {"val_fraction": 1.0}, {"split": 0}])
def test_options_out_of_range(ucf, options):
    with pytest.raises(InputError):
        open_folder(ucf, **options)
    with pytest.raises(InputError, match="choose train, val or test"):
        open_folder(ucf).split("training")
