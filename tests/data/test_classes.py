"""The order of classes is one rule for folders and lists, and a model's own list if one is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.data_videos import film, write
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.data import DataConfig, open_folder
from vidrobust.data.classes import class_order, read_classes, with_classes
from vidrobust.data.dataset import load, open_videos
from vidrobust.errors import DataError

ORDERS = [
    (["10", "9", "2"], ("2", "9", "10")),
    (["10.0", "2.0", "1.0"], ("1.0", "2.0", "10.0")),
    (["1", "-2", "+3", "0.5"], ("-2", "0.5", "1", "+3")),
    (["010", "9"], ("9", "010")),
    (["10", "9", "b"], ("10", "9", "b")),
    (["b", "A", "a", "ä"], ("A", "a", "b", "ä")),
    (["1e3", "2"], ("1e3", "2")),
    (["nan", "1", "inf"], ("1", "inf", "nan")),
    (["²", "1"], ("1", "²")),
]


@pytest.mark.parametrize(("names", "order"), ORDERS)
def test_numbers_by_value_and_names_by_text(tmp_path: Path, names: list[str], order: tuple[str, ...]) -> None:
    """Of folders, lists and JSON alike."""
    assert class_order(names) == order
    root = tmp_path / "folders"
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(3):
            (root / name / f"{number}.mp4").touch()
    assert open_folder(root).classes == order
    lines = [f"{name}/{number}.mp4" for name in names for number in range(3)]
    (root / "list.csv").write_text("path,label\n" + "".join(f"{line},{line.split('/')[0]}\n" for line in lines))
    assert open_folder(root).classes == order
    (root / "list.csv").unlink()
    (root / "list.jsonl").write_text("".join(json.dumps({"path": p, "label": p.split("/")[0]}) + "\n" for p in lines))
    assert open_folder(root).classes == order


@given(st.lists(st.integers(-99, 99), unique=True), st.randoms())
def test_whole_numbers_come_by_value_however_they_are_listed(numbers: list[int], random) -> None:
    names = list(map(str, numbers))
    random.shuffle(names)
    assert list(map(int, class_order(names))) == sorted(numbers)


def test_the_same_number_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r"a.csv: the classes '1' and '1.0' are the same number"):
        class_order(["1", "1.0", "2"], "a.csv")


FILES = {
    "names.txt": "walk\nplaying guitar\nrun\n",
    "from-0.txt": "0 walk\n1 playing guitar\n2 run\n",
    "from-1.txt": "\ufeff1 walk\r\n2 playing guitar\r\n3 run\r\n",
    "shuffled.txt": "2 run\n0 walk\n1 playing guitar\n",
    "ids.csv": "id,name\n0,walk\n1,playing guitar\n2,run\n",
    "pairs.csv": "0,walk\n1,playing guitar\n2,run\n",
    "list.json": '["walk", "playing guitar", "run"]',
    "to-index.json": '{"walk": 0, "\\"playing guitar\\"": 1, "run": 2}',
    "from-index.json": '{"0": "walk", "1": "playing guitar", "2": "run"}',
}


@pytest.mark.parametrize("name", FILES)
def test_lists_of_classes_in_use(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name], newline="")
    assert read_classes(tmp_path / name) == ("walk", "playing guitar", "run")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "walk\n", "at least two classes"),
        ("a.txt", "walk\nrun\nWalk\n", "each once"),
        ("a.txt", "0 walk\n2 run\n", "must number the classes"),
        ("a.json", "[1, 2]", "must be a list of names"),
        ("a.json", "[", "is no JSON"),
        ("a.txt", b"\xff\xfe\0", "cannot be read as text"),
    ],
)
def test_lists_of_classes_that_are_wrong(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=words):
        read_classes(tmp_path / name)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for label, title in enumerate(("run", "Playing_Guitar")):
        for number in range(3):
            write(tmp_path / "set" / title / f"{number}.avi", film(3, 16, 16, seed=number + 10 * label))
    return tmp_path / "set"


def test_labels_count_in_the_list_of_a_model(tmp_path: Path, videos: Path) -> None:
    (tmp_path / "classes.txt").write_text("archery\nplaying guitar\nwalk\nrun\n")
    config = DataConfig(str(videos), size=16, frames=2, classes=str(tmp_path / "classes.txt"))
    data = load(config)
    assert data.classes == ("archery", "playing guitar", "walk", "run")
    for clips in (data.train, data.val, data.test):
        assert sorted(clips.labels.tolist()) == [1, 3]
        shown = dict(zip(clips.labels.tolist(), clips.videos, strict=True))
        assert shown[3].startswith("run/")
        assert shown[1].startswith("Playing_Guitar/")
    plain = load(DataConfig(str(videos), size=16, frames=2))
    assert set(plain.test.videos) == set(data.test.videos)
    (tmp_path / "classes.txt").write_text("archery\nplaying guitar\nwalk\n")
    with pytest.raises(DataError, match=r"1 of its classes are not among the 3 given \(run\)"):
        open_videos(config)


def test_numbers_are_places_in_the_list_of_a_model(tmp_path: Path) -> None:
    for name in ("2", "0"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.mp4").touch()
    folder = with_classes(open_folder(tmp_path), ("walk", "sit", "run"))
    assert {(video.path[0], video.label) for video in folder.train} == {("0", 0), ("2", 2)}
    with pytest.raises(DataError, match=r"not among the 2 given \(2\)"):
        with_classes(open_folder(tmp_path), ("walk", "sit"))
