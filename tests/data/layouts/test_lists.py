"""Lists as they are in use: whatever dialect, the splits are those of the list, and what is not used is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.data_videos import film, stills, write

from vidrobust.data import VideoFolder, open_folder
from vidrobust.data.check import check_data, summary
from vidrobust.errors import DataError

CLASSES = ("cat", "dog", "red fox")
SPLIT = {"train": range(4), "val": range(4, 6), "test": range(6, 9)}
Rows = list[tuple[str, str, str]]
"""Path, label and split of each video."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Nine videos (empty files: nothing is decoded here) in each of three class folders."""
    for name in CLASSES:
        folder = tmp_path / "set/videos" / name
        folder.mkdir(parents=True)
        for number in range(9):
            (folder / f"{number}.mp4").touch()
    return tmp_path / "set"


def rows() -> Rows:
    return [
        (f"videos/{name}/{number}.mp4", str(label), split)
        for split, numbers in SPLIT.items()
        for label, name in enumerate(CLASSES)
        for number in numbers
    ]


def each(form: str, ending: str = "\n", **options: str) -> Callable[[Path], None]:
    """One list a split, of lines of this form."""
    pattern = options.pop("pattern", "{split}.csv")

    def written(root: Path) -> None:
        for split in SPLIT:
            lines = [form.format(path=p, label=n, name=CLASSES[int(n)], root=root) for p, n, s in rows() if s == split]
            place = root / pattern.format(split=split)
            place.parent.mkdir(exist_ok=True)
            place.write_bytes((ending.join(lines) + ending).encode(options.get("encoding", "utf-8")))

    return written


def one(
    head: str, form: str, name: str = "list.csv", encoding: str = "utf-8", ending: str = "\n"
) -> Callable[[Path], None]:
    """One list with the splits in a column."""

    def written(root: Path) -> None:
        lines = [form.format(path=p, label=n, name=CLASSES[int(n)], split=s) for p, n, s in rows()]
        (root / name).write_bytes((ending.join([head, *lines] if head else lines) + ending).encode(encoding))

    return written


def as_json(name: str) -> Callable[[Path], None]:
    def written(root: Path) -> None:
        found = [{"path": p, "label": int(n), "split": s, "fps": 25.5} for p, n, s in rows()]
        text = json.dumps(found) if name.endswith(".json") else "\n".join(map(json.dumps, found))
        (root / name).write_text(text)

    return written


def backslashes(root: Path) -> None:
    one("path,label,split", "{path},{label},{split}")(root)
    text = (root / "list.csv").read_text()
    (root / "list.csv").write_text(text.replace("/", "\\"))


def without_suffixes(made: Callable[[Path], None]) -> Callable[[Path], None]:
    def written(root: Path) -> None:
        made(root)
        for file in root.glob("*.csv"):
            file.write_text(file.read_text().replace(".mp4", ""))

    return written


DIALECTS: dict[str, Callable[[Path], None]] = {
    "slowfast": each("{path} {label}"),
    "slowfast-absolute": each("{root}/{path} {label}"),
    "mmaction2": each("{path} {label}", pattern="ours_{split}_split_1_videos.txt"),
    "mmaction2-list": each("{path} {label}", pattern="kinetics_{split}_list_videos.txt"),
    "annotations": each("{path} {label}", pattern="annotations/{split}.txt"),
    "annotations-upwards": each("../{path} {label}", pattern="annotations/{split}.txt"),
    "tabs": each("{path}\t{label}", pattern="{split}.tsv"),
    "semicolons": each("{path};{label}"),
    "commas": each("{path},{label}"),
    "quoted": each('"{path}","{label}"'),
    "quoted-blanks": each('"{path}" {label}', pattern="{split}.txt"),
    "dots": each("./{path} {label}"),
    "windows": each("{path} {label}", ending="\r\n"),
    "bom": each("{path} {label}", encoding="utf-8-sig"),
    "named-labels": each("{path};{name}"),
    "named-labels-blanks": each("{path} {name}"),
    "no-labels": each("{path}", pattern="{split}list.txt"),
    "header": one("path,label,split", "{path},{label},{split}"),
    "header-semicolons": one("path;label;split", "{path};{label};{split}"),
    "header-tabs": one("Video_Path\tClass\tSubset", "{path}\t{name}\t{split}"),
    "header-quoted": one('"path","label","split"', '"{path}","{name}","{split}"'),
    "header-more": one("fps;split;path;label", "25;{split};{path};{label}"),
    "header-windows": one("path;label;split", "{path};{label};{split}", ending="\r\n", encoding="utf-8-sig"),
    "header-utf16": one("path\tlabel\tsplit", "{path}\t{label}\t{split}", encoding="utf-16"),
    "header-no-labels": one("path,split", "{path},{split}"),
    "header-both": one("class;path;label;split", "x;{path};{label};{split}"),
    "no-header": one("", "{path},{label},{split}"),
    "no-header-split-first": one("", "{path};{split};{label}", name="all.txt"),
    "hash-blanks": one("# path label split", "{path} {label} {split}"),
    "hash-commas": one("#path,label,split", "{path},{label},{split}"),
    "backslashes": backslashes,
    "no-suffixes": without_suffixes(each("{path},{label}")),
    "no-suffixes-header": without_suffixes(one("path;label;split", "{path};{label};{split}")),
    "json": as_json("list.json"),
    "json-lines": as_json("list.jsonl"),
}


def sides(folder: VideoFolder) -> dict[str, set[str]]:
    return {name: {video.path for video in folder.split(name)} for name in SPLIT}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_list_in_use_decides_the_splits(root: Path, dialect: str) -> None:
    DIALECTS[dialect](root)
    folder = open_folder(root)
    assert folder.layout == "manifest"
    assert sides(folder) == {name: {p for p, _, split in rows() if split == name} for name in SPLIT}
    named = "named" in dialect or "no-labels" in dialect or dialect in ("header-tabs", "header-quoted")
    assert folder.classes == (CLASSES if named else ("0", "1", "2"))
    assert all(video.path.split("/")[1] == CLASSES[video.label] for part in SPLIT for video in folder.split(part))
    assert folder.notes == ()


@pytest.mark.parametrize("head", ["", "path,label,split"])
def test_a_list_in_an_unknown_encoding_is_not_passed_over(root: Path, head: str) -> None:
    one(head, "{path},d\xf6g {label},{split}", encoding="latin-1")(root)
    with pytest.raises(DataError, match=r"list.csv cannot be read as text .* Save it as UTF-8"):
        open_folder(root)


def test_names_of_classes_are_no_list_of_videos(root: Path) -> None:
    each("{path} {label}")(root)
    (root / "labels.txt").write_text("".join(f"videos/{name}\n" for name in CLASSES))
    folder = open_folder(root)
    assert [len(found) for found in sides(folder).values()] == [12, 6, 9]
    assert folder.notes == ("not used: 1 other file (labels.txt).",)


@pytest.mark.parametrize("names", [("train", "validation", "test"), ("Train", "Val", "Test")])
def test_folders_of_splits_may_be_called_as_in_lists(root: Path, names: tuple[str, ...]) -> None:
    for folder, numbers in zip(names, SPLIT.values(), strict=True):
        for name in CLASSES:
            (root / folder / name).mkdir(parents=True)
            for number in numbers:
                (root / "videos" / name / f"{number}.mp4").rename(root / folder / name / f"{number}.mp4")
    shutil.rmtree(root / "videos")
    assert [len(found) for found in sides(open_folder(root)).values()] == [12, 6, 9]
    shutil.copytree(root / names[0], root / "TRAIN")
    with pytest.raises(DataError, match="are both the split train"):
        open_folder(root)


def test_the_official_lists_are_not_named_as_unused(root: Path) -> None:
    names = [f"{name}/v_{name}_g{number:02d}_c01.avi" for name in CLASSES for number in range(9)]
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    shutil.rmtree(root / "videos")
    lines = [f"{name} {n // 9 + 1}\n" for n, name in enumerate(names)]
    (root / "classInd.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(CLASSES, 1)))
    (root / "trainlist01.txt").write_text("".join(line for n, line in enumerate(lines) if n % 9 < 6))
    (root / "testlist01.txt").write_text("".join(line[:-3] + "\n" for n, line in enumerate(lines) if n % 9 >= 6))
    folder = open_folder(root)
    assert (folder.layout, len(folder.test), folder.notes) == ("UCF-101", 9, ())


def test_classes_that_differ_in_letter_case_alone_are_told(root: Path) -> None:
    (root / "videos" / "dog").rename(root / "videos" / "Cat")
    assert "Cat/cat" in open_folder(root / "videos").notes[0]


@pytest.mark.parametrize("dialect", ["slowfast", "header-semicolons", "commas"])
def test_a_list_among_the_class_folders_decides_too(root: Path, dialect: str) -> None:
    for name in CLASSES:
        (root / "videos" / name).rename(root / name)
    (root / "videos").rmdir()
    DIALECTS[dialect](root)
    for file in root.glob("*.csv"):
        file.write_text(file.read_text().replace("videos/", ""))
    assert [len(found) for found in sides(open_folder(root)).values()] == [12, 6, 9]


@pytest.mark.parametrize("given", ["train.txt", "test.txt"])
def test_one_list_of_several_brings_the_others(root: Path, given: str) -> None:
    each("{path} {label}", pattern="{split}.txt")(root)
    assert [len(found) for found in sides(open_folder(root / given)).values()] == [12, 6, 9]
    assert open_folder(root / given).name == "set"
    (root / "val.txt").unlink()
    assert [len(found) for found in sides(open_folder(root / given)).values()] == [9, 3, 9]


def test_a_list_apart_from_its_videos_says_what_to_give(root: Path) -> None:
    each("{path} {label}", pattern="annotations/{split}.txt")(root)
    with pytest.raises(DataError, match=r"give the folder that holds both the videos and the lists"):
        open_folder(root / "annotations/train.txt")
    assert len(open_folder(root).train) == 12


def test_without_a_test_list_the_validation_list_is_the_test_split(root: Path) -> None:
    each("{path} {label}", pattern="{split}.txt")(root)
    (root / "test.txt").unlink()
    folder = open_folder(root)
    assert [len(found) for found in sides(folder).values()] == [9, 3, 6]
    assert "validation list is the test split" in folder.notes[0]
    assert folder.notes[1].startswith("not used: 9 videos (videos/cat/6.mp4, ")


def test_numbered_lists_are_chosen_by_the_split(root: Path) -> None:
    for number, shift in ((1, 0), (2, 3)):
        each("{path} {label}", pattern=f"ours_{{split}}_split_{number}_videos.txt")(root)
        for split in SPLIT:
            file = root / f"ours_{split}_split_{number}_videos.txt"
            for line in (lines := file.read_text().splitlines()):
                old = line.rpartition("/")[2][0]
                lines[lines.index(line)] = line.replace(f"/{old}.mp4", f"/{(int(old) + shift) % 9}.mp4")
            file.write_text("\n".join(lines))
    assert "videos/cat/0.mp4" in sides(open_folder(root, split=1))["train"]
    assert "videos/cat/0.mp4" in sides(open_folder(root, split=2))["test"]
    with pytest.raises(DataError, match="has several lists"):
        open_folder(root, split=3)


@pytest.mark.parametrize("frames", ["{path} 3 {label}", "{path} {label}", "{path},{label}"])
def test_lists_of_folders_of_frames(tmp_path: Path, frames: str) -> None:
    for split, numbers in SPLIT.items():
        lines = []
        for label, name in enumerate(CLASSES[:2]):
            for number in numbers:
                stills(tmp_path / name / str(number), film(3, 8, 8))
                lines.append(frames.format(path=f"{name}/{number}", label=label))
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
    assert [len(found) for found in sides(open_folder(tmp_path)).values()] == [8, 4, 6]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("videos/cat/0.mp4 0\n/etc/passwd.mp4 0\n", "line 2: '/etc/passwd.mp4' leads out of the data set"),
        ("videos/cat/0.mp4 0\n../../x.mp4 0\n", "line 2: .* leads out of the data set"),
        ("videos/cat/0.mp4 0\n..\\..\\x.mp4 0\n", "line 2: .* leads out of the data set"),
        ("videos/cat/0.mp4 0\nC:\\x\\y.mp4 0\n", "line 2: .* leads out of the data set"),
        ("/data/videos/cat/0.mp4 0\n/data/videos/cat/1.mp4 0\n", "line 1: .* leads out of the data set"),
        ("videos/cat/0.mp4 0 7 3\nvideos/cat/1.mp4 0 7 3\n", "list.txt names videos in a way that is not understood"),
        ("videos/cat/0.mp4|0\nvideos/cat/1.mp4|0\n", "in a way that is not understood"),
        ("videos/cat/0.mp4 0\nvideos/cat/0.mp4 1\n", "line 2: videos/cat/0.mp4 is listed twice"),
        ("path;label\nvideos/cat/0.mp4;0;1\n", "line 2: 3 cells, but 2 columns"),
        ('path,label\n"videos/cat/0.mp4,0\n', "Quotation marks must be closed"),
        ("videos/cat/0.mp4 1\nvideos/dog/0.mp4 1.0\n", "the classes '1' and '1.0' are the same number"),
    ],
)
def test_a_list_that_names_videos_is_never_passed_over(root: Path, content: str, words: str) -> None:
    (root / "list.txt").write_text(content)
    with pytest.raises(DataError, match=words):
        open_folder(root)


@pytest.mark.parametrize("name", ["README.md", "notes.txt", "classes.txt", "labels.csv", "config.json", "data.bin"])
def test_other_files_are_no_lists_and_are_named(root: Path, name: str) -> None:
    shutil.move(root / "videos/cat", root / "cat")
    shutil.move(root / "videos/dog", root / "dog")
    shutil.rmtree(root / "videos")
    (root / name).write_text('{"cat": 0, "dog": 1}' if name.endswith("json") else "id,name\n0,cat\n1,dog\n")
    folder = open_folder(root)
    assert folder.layout == "class folders"
    assert folder.notes == (f"not used: 1 other file ({name}).",)


def test_videos_that_lie_too_deep_are_named(root: Path) -> None:
    for name in CLASSES:
        shutil.move(root / "videos" / name, root / name)
    (root / "videos").rmdir()
    for number in range(6, 9):
        deep = root / "cat/day 2"
        deep.mkdir(exist_ok=True)
        (root / f"cat/{number}.mp4").rename(deep / f"{number}.mp4")
    folder = open_folder(root)
    assert sum(len(found) for found in sides(folder).values()) == 24
    assert folder.notes == ("not used: 3 videos (cat/day 2/6.mp4, cat/day 2/7.mp4, cat/day 2/8.mp4).",)
    shutil.rmtree(root / "dog")
    (root / "dog/deep").mkdir(parents=True)
    (root / "dog/deep/1.mp4").touch()
    with pytest.raises(DataError, match=r"dog has no video .*dog/deep/1.mp4 lies too deep"):
        open_folder(root)


def test_a_linked_class_folder_is_used_and_not_named_as_unused(root: Path) -> None:
    for name in CLASSES:
        shutil.move(root / "videos" / name, root / name)
    (root / "dog").rename(root / "videos/dog")
    (root / "videos").rename(root / ".kept")
    (root / "dog").symlink_to(".kept/dog")
    folder = open_folder(root)
    assert any(path.startswith("dog/") for found in sides(folder).values() for path in found)
    assert folder.notes == ()


def test_what_systems_leave_stops_nothing(root: Path) -> None:
    for name in CLASSES:
        shutil.move(root / "videos" / name, root / name)
        (root / name / ".DS_Store").touch()
        (root / name / "._0.mp4").touch()
        (root / name / "Thumbs.db").touch()
    (root / "videos").rmdir()
    for name in ("__MACOSX/cat", ".git", "@eaDir/cat", ".ipynb_checkpoints", "lost+found"):
        (root / name).mkdir(parents=True)
        (root / name / "x.mp4").touch()
    (root / "._train.csv").write_bytes(b"\0\5\x16\7")
    (root / "desktop.ini").touch()
    folder = open_folder(root)
    assert (folder.classes, folder.notes) == (CLASSES, ())
    assert sum(len(found) for found in sides(folder).values()) == 27


@pytest.mark.parametrize("layout", ["manifest", "ucf101"])
def test_one_missing_file_is_a_finding_and_moves_no_other(tmp_path: Path, layout: str) -> None:
    """The rest is checked, trained on with ``skip_bad``, and lies in the same splits."""
    place = tmp_path / ("videos" if layout == "manifest" else "UCF-101")
    names = [(f"v_{name}_g{g:02d}_c01.avi", name, g) for name in ("cat", "dog") for g in range(1, 7)]
    for number, (file, name, _) in enumerate(names):
        write(place / name / file, film(3, 16, 16, seed=number))
    listed = [(f"{name}/{file}", "test" if g < 3 else "train") for file, name, g in names]
    if layout == "manifest":
        lines = [f"videos/{path},{path[:3]},{split}" for path, split in listed]
        (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *lines]))
    else:
        lists = tmp_path / "ucfTrainTestlist"
        lists.mkdir()
        (lists / "classInd.txt").write_text("1 cat\n2 dog\n")
        for split in ("train", "test"):
            (lists / f"{split}list01.txt").write_text("\n".join(path for path, s in listed if s == split))
    whole = open_folder(tmp_path)
    gone = whole.train[0].path
    (tmp_path / gone).unlink()
    with pytest.raises(DataError, match=rf"line \d+: .*{Path(gone).name} does not exist.*--skip-bad"):
        open_folder(tmp_path)
    report = check_data(tmp_path)
    assert not report["usable"]
    assert report["missing"] == [{"split": "train", "clip": gone}]
    assert report["outcomes"] == {"ok": 11}
    assert "is missing" in report["errors"][0] or "are missing" in report["errors"][0]
    assert any(line == "missing: 1 of train" for line in summary(report))
    assert check_data(tmp_path, skip_bad=True)["usable"]
    left = open_folder(tmp_path, allow_missing=True)
    assert sides(left) == {name: found - {gone} for name, found in sides(whole).items()}


@pytest.mark.parametrize("where", ["video", "class", "root", "frames"])
def test_a_name_that_is_no_utf8_is_named(root: Path, where: str) -> None:
    for name in CLASSES:
        shutil.move(root / "videos" / name, root / name)
    (root / "videos").rmdir()
    bad = os.fsdecode(b"caf\xe9")
    if where == "video":
        (root / "cat/0.mp4").rename(root / f"cat/{bad}.mp4")
    elif where == "class":
        (root / "cat").rename(root / bad)
    elif where == "frames":
        stills(root / "cat" / bad, film(2, 8, 8))
    else:
        root = root.rename(root.with_name(bad))
    report = check_data(root)
    assert report["outcomes"] == {"cannot be opened": 1}
    (message,) = report["errors"]
    assert r"caf\xe9" in message
    assert "is no UTF-8. Rename it" in message
    json.dumps(message).encode()


@pytest.mark.parametrize("name", ["train.csv", "list.txt", "manifest.csv", "ucfTrainTestlist/trainlist01.txt"])
@pytest.mark.parametrize("kind", ["pipe", "device", "outside"])
def test_a_list_that_is_no_file_of_the_data_set_is_refused_and_never_waited_for(
    root: Path, name: str, kind: str
) -> None:
    place = root / name
    place.parent.mkdir(exist_ok=True)
    if name.startswith("ucf"):
        (place.parent / "classInd.txt").write_text("1 cat\n2 dog\n")
        (place.parent / "testlist01.txt").write_text("cat/1.mp4\ndog/1.mp4\n")
    if kind == "pipe":
        os.mkfifo(place)
    else:
        (root.parent / "secret.txt").write_text("videos/cat/0.mp4 0\nroot:x:0:0\n")
        place.symlink_to("/dev/zero" if kind == "device" else root.parent / "secret.txt")
    with pytest.raises(DataError) as caught:
        open_folder(root)
    assert "root:x" not in str(caught.value)
    with pytest.raises(DataError):
        open_folder(place) if kind != "outside" else open_folder(root)


def test_a_name_that_is_no_utf8_of_no_concern_stops_nothing(root: Path) -> None:
    bad = os.fsdecode(b"caf\xe9.doc")
    (root / "videos/cat" / bad).touch()
    each("{path} {label}")(root)
    folder = open_folder(root)
    assert folder.notes == (r"not used: 1 other file (videos/cat/caf\xe9.doc).",)


@pytest.mark.parametrize("where", ["video", "class", "list", "label"])
def test_names_with_control_characters_are_shown_escaped(root: Path, where: str) -> None:
    for name in CLASSES:
        shutil.move(root / "videos" / name, root / name)
    (root / "videos").rmdir()
    odd = "a\x1b[2Jb"
    if where == "video":
        (root / "cat/0.mp4").rename(root / f"cat/{odd}.mp4")
    elif where == "class":
        (root / "cat").rename(root / odd)
    else:
        path, label = ("cat/0.mp4", odd) if where == "label" else (f"cat/{odd}.mp4", "cat")
        (root / "list.jsonl").write_text(
            "\n".join(json.dumps({"path": p, "label": n}) for p, n in ((path, label), ("dog/0.mp4", "dog")))
        )
    (message,) = check_data(root)["errors"]
    assert "\x1b" not in message
    assert r"\x1b" in message


def test_a_listed_link_to_nothing_is_missing(root: Path) -> None:
    each("{path} {label}")(root)
    gone = root / "videos/cat/0.mp4"
    gone.unlink()
    gone.symlink_to("nowhere.mp4")
    with pytest.raises(DataError, match=r"train.csv, line 1: .*videos/cat/0.mp4 does not exist"):
        open_folder(root)
    assert open_folder(root, allow_missing=True).missing[0].name == "videos/cat/0.mp4"


def test_a_circle_of_links_is_named(root: Path) -> None:
    for name in CLASSES:
        shutil.move(root / "videos" / name, root / name)
    (root / "videos").rmdir()
    (root / "cat/loop.mp4").symlink_to("loop.mp4")
    with pytest.raises(DataError, match=r"loop.mp4 is a link out of .* or to nothing"):
        open_folder(root)


@pytest.mark.parametrize("text", ["a\0b", "~nobody-of-this-name/x", "x" * 5000, "{" * 300 + ".tar"])
def test_paths_that_are_none(text: str) -> None:
    with pytest.raises(DataError):
        open_folder(text)
