"""What a video was cut from is one thing for splits, rows and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import miniatures
from helpers.data_videos import film, write

from vidrobust.data import DataConfig, open_folder
from vidrobust.data.check import check_data, summary
from vidrobust.data.dataset import load
from vidrobust.data.motion import Motion, is_photograph, motion


def listed(root: Path) -> Path:
    """A list whose groups are recordings that show both classes."""
    lines = ["path,label,group"]
    for number in range(12):
        write(root / f"{number}.avi", film(3, 16, 16, seed=number))
        lines.append(f"{number}.avi,{('run', 'walk')[number % 2]},day {number // 4}")
    (root / "list.csv").write_text("\n".join(lines))
    return root


def plain(root: Path) -> Path:
    for label, title in enumerate(("cat", "dog")):
        for number in range(5):
            write(root / title / f"{number}.avi", film(3, 16, 16, seed=number + 10 * label))
    return root


@pytest.mark.parametrize(
    ("make", "sources"),
    [
        (miniatures.ucf101, {"train": 12, "val": 3, "test": 6}),  # a g01 in every class: other recordings
        (miniatures.hmdb51, {"train": 9, "val": 3, "test": 6}),
        (miniatures.kinetics, {"train": 15, "val": 3, "test": 6}),
        (listed, {"train": 1, "val": 1, "test": 1}),
        (plain, {"train": 6, "val": 2, "test": 2}),
    ],
)
def test_rows_and_the_report_count_the_same_sources(
    tmp_path: Path, make: Callable[[Path], Path], sources: dict[str, int]
) -> None:
    root = make(tmp_path / "data")
    data = load(DataConfig(str(root), size=8, frames=2, max_frames=2))
    assert data.row["groups"] == check_data(root)["groups"] == sources
    of = {name: set(getattr(data, name).sources) for name in sources}
    assert {name: len(found) for name, found in of.items()} == sources
    assert not of["train"] & of["val"] | of["train"] & of["test"] | of["val"] & of["test"]
    folder = open_folder(root)
    assert data.test.sources == tuple(map(folder.source, folder.test))


def test_a_photograph_is_one_source_in_all_classes(tmp_path: Path) -> None:
    folder = motion(tmp_path / "motion", Motion(clips_per_group=1, rendered=(1, 1, 2), frames=2, size=16))
    counts = {}
    for name in ("train", "val", "test"):
        sources = set(map(folder.source, folder.split(name)))
        photographs = set(filter(is_photograph, sources))
        counts[name] = len(photographs), len(sources - photographs)
    assert counts == {"train": (6, 10), "val": (2, 10), "test": (8, 20)}
    assert folder.notes == ()


def test_seconds_count_the_last_frame_as_well(tmp_path: Path) -> None:
    for label, title in enumerate(("cat", "dog")):
        for number in range(3):
            write(tmp_path / title / f"{number}.avi", film(20, 16, 16, seed=number + 10 * label), fps=25)
    report = check_data(tmp_path)
    assert report["seconds"] == {"least": 0.8, "median": 0.8, "most": 0.8, "total": 4.8}
    assert "seconds: 0.8 to 0.8 s, median 0.8 s, 4.8 s in all" in summary(report)
