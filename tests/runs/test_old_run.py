"""A run of vidrobust 0.1.0 is read, reported, and gone on with; whatever its rows have lost is written again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vidrobust.runs.directory import Run
from vidrobust.runs.rows import append_lines

Command = Callable[..., tuple[int, str, str]]
OLD = Path(__file__).parent / "run-0.1.0"
LINES = (OLD / "rows.jsonl").read_bytes().splitlines(keepends=True)
WRITTEN = ("--config", OLD / "config.json", "--clips.version", 1)  # the configuration is from before versions of motion


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "run"))


def resumed(run: Path, vidrobust: Command) -> list[bytes]:
    """The lines of its rows after the same study was run again, which has all its jobs."""
    code, _, err = vidrobust("study", *WRITTEN, "--workers", 1, "--out", run)
    assert code == 0, err
    return (run / "rows.jsonl").read_bytes().splitlines(keepends=True)


def test_it_is_gone_on_with_and_reported(old: Path, vidrobust: Command) -> None:
    assert resumed(old, vidrobust) == LINES
    page = (old / "report.html").read_text()
    assert "AT(ε=8,α=8,i=3)" in page
    assert "standard" in page


EVALUATED = {
    "kind": "robustness", "model": "standard", "seed": 0, "split": "test", "eps": 8.0, "alpha": 4.0, "steps": 2,
    "attack": "APGD(ε=8,steps=2)", "clips": 5, "correct": 2, "survived": "01100", "weights": "0123456789abcdef",
}  # fmt: skip


@pytest.mark.parametrize("kept", [0, 1, 7, len(LINES) - 1])
def test_rows_of_an_evaluation_amid_a_killed_study_cost_none_of_its_own(
    kept: int, old: Path, vidrobust: Command
) -> None:
    (old / "rows.jsonl").write_bytes(b"".join(LINES[:kept]) + LINES[kept][:9])  # torn by the kill
    Run(old).append([EVALUATED, {**EVALUATED, "eps": 4.0}])
    found = resumed(old, vidrobust)
    assert found[:kept] == LINES[:kept]
    assert [json.loads(line) for line in found[kept : kept + 2]] == [EVALUATED, {**EVALUATED, "eps": 4.0}]
    assert found[kept + 2 :] == LINES[kept:]


@pytest.mark.parametrize("deleted", [0, 12, len(LINES) - 1])
def test_a_deleted_line_comes_back_and_no_other_is_doubled(deleted: int, old: Path, vidrobust: Command) -> None:
    damaged = [*LINES[:deleted], LINES[deleted][:20] + b"\n", *LINES[deleted + 1 :]]
    (old / "rows.jsonl").write_bytes(b"".join(damaged))
    code, _, err = vidrobust("study", *WRITTEN, "--workers", 1, "--out", old)
    assert code == 1
    assert f"line {deleted + 1} is damaged" in err
    assert "Delete the line" in err
    del damaged[deleted]
    (old / "rows.jsonl").write_bytes(b"".join(damaged))
    assert resumed(old, vidrobust) == [*damaged, LINES[deleted]]


def test_a_model_swept_later_does_not_change_the_step_sizes_of_the_study(old: Path) -> None:
    from vidrobust.training.fitting import study_alpha_star

    before = study_alpha_star(old)(8, 2)
    measured = next(row for row in Run(old).rows("step_size") if row["steps"] == 2)
    swept = {**measured, "split": "val", "alpha": 1.0, "weights": "0123456789abcdef"}
    append_lines(old / "rows.jsonl", [swept, {**swept, "model": "AT(ε=8,α=8,i=3)", "alpha": 3.0}])
    assert study_alpha_star(old)(8, 2) == before == measured["alpha"]
