"""``vidrobust evaluate --corruption``: rows, clips to watch and a table, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.row_fields import unknown

import vidrobust as vr
from vidrobust.data.dataset import VideoClips
from vidrobust.models.building import build
from vidrobust.results.numbers.corruptions import grids
from vidrobust.runs.directory import Run


@pytest.fixture(scope="module")
def runs(small_data: VideoClips, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two trained models of one name."""
    folder = tmp_path_factory.mktemp("runs")
    few = (small_data.train.spread(32), small_data.val.spread(8), small_data.test.spread(16))
    data = VideoClips(small_data.folder, small_data.config, *few)
    for name, seed in (("one", 0), ("two", 1)):
        vr.fit(build("r3d-small", 10, seed), data, epochs=1, batch=16, seed=seed, out=folder / name)
    return folder / "one", folder / "two"


def test_it_measures_both_models_on_the_same_clips(runs: tuple[Path, Path], vidrobust: Callable[..., tuple]) -> None:
    asked = ["--corruption", "frames(kinds=(drop,freeze),severity=(1,5))", "--corruption", "ucf101-p(kinds=jpeg)"]
    code, _, told = vidrobust("evaluate", runs[0], *asked, "--clips", "12", "--reference", runs[1])
    assert code == 0, told
    assert "mCE (%) against standard of two" in told
    rows = Run.open(runs[0]).rows()
    assert unknown(row for row in rows if row["kind"].startswith("corruption")) == set()
    found = grids(rows)
    assert [(grid.model, grid.convention, grid.reference) for grid in found] == [
        ("standard", "frames", False), ("standard of two", "frames", True),
        ("standard", "ucf101-p", False), ("standard of two", "ucf101-p", True),
    ]  # fmt: skip
    assert found[0].clips == found[1].clips
    (of,) = {row["clips_of"] for row in rows if row["kind"] == "corruption"}
    (manifest,) = (row for row in rows if row["kind"] == "manifest" and row["clips_of"] == of)
    assert 1 < len(set(found[0].sources)) == len({clip["source"] for clip in manifest["list"]})
    for row in rows:
        if row["kind"] == "corruption_example":
            assert (runs[0] / row["file"]).is_file()
    again, _, _ = vidrobust("evaluate", runs[0], *asked, "--clips", "12", "--reference", runs[1])
    assert again == 0
    repeated = [row for row in Run.open(runs[0]).rows() if row["kind"] == "corruption"]
    assert repeated == [row for row in rows if row["kind"] == "corruption"]  # measured again, they come out alike


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--corruption ucf101-p"),
        (["--corruption", "ucf101-p(kinds=fog)"], "ucf101-p has no kind 'fog'"),
        (["--corruption", "ucf101-p(severity=9)"], "a severity from 1 to 5"),
        (["--corruption", "frames", "--views", "3"], "centre clips"),
        (["--attack", "PGD(ε=8,α=2,i=1)", "--reference", "nowhere"], "--reference"),
    ],
)
def test_what_cannot_be_measured_is_said_before(
    runs: tuple[Path, Path], vidrobust: Callable[..., tuple], options: list[str], said: str
) -> None:
    before = (runs[0] / "rows.jsonl").read_bytes()
    code, _, told = vidrobust("evaluate", runs[0], *options)
    assert code != 0
    assert said in told
    assert (runs[0] / "rows.jsonl").read_bytes() == before
