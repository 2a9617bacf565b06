"""The run directory: nothing is lost, nothing is written twice, nothing foreign is continued."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vidrobust.errors import RunError
from vidrobust.runs import directory as runs
from vidrobust.runs.directory import Run
from vidrobust.runs.files import write_atomic

ROWS = [{"kind": "a", "n": 1}, {"kind": "b", "n": 2, "text": "ε"}]


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", "study", {"seed": 0}, 0)
    run.append(ROWS[:1])
    run.append(ROWS[1:])
    assert run.rows() == ROWS
    assert run.rows("b") == ROWS[1:]


def test_the_same_run_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    Run.start(tmp_path / "run", "study", {"seed": 0, "clips": {"size": (24,)}}, 0).append(ROWS)
    assert Run.start(tmp_path / "run", "study", {"seed": 0, "clips": {"size": (24,)}}, 0).rows() == ROWS
    with pytest.raises(RunError, match=r"clips\.size: \[24\] → \[32\]"):
        Run.start(tmp_path / "run", "study", {"seed": 0, "clips": {"size": (32,)}}, 0)
    with pytest.raises(RunError, match="'study', not 'train'"):
        Run.start(tmp_path / "run", "train", {"seed": 0}, 0)


def test_another_version_is_refused_but_can_be_read(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", "study", {}, 0)
    run.write_json("run.json", {"format": runs.FORMAT, "kind": "study", "version": "0.0.1"})
    with pytest.raises(RunError, match=r"0\.0\.1"):
        Run.start(tmp_path / "run", "study", {}, 0)
    assert Run.open(tmp_path / "run").rows() == []
    run.write_json("run.json", {"format": 99, "kind": "study", "version": "9"})
    with pytest.raises(RunError, match="format 99"):
        Run.open(tmp_path / "run")


@pytest.mark.parametrize("content", ["", "[]", "{", '"x"', "\x00"])
def test_a_damaged_header_is_an_error_that_names_it(content: str, tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", "study", {}, 0)
    (run.path / "run.json").write_text(content)
    with pytest.raises(RunError, match="run"):
        Run.open(run.path)


def test_a_foreign_folder_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="not a vidrobust run"):
        Run.start(tmp_path, "study", {}, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("written", range(4))
def test_a_command_killed_while_it_makes_the_folder_begins_again(
    written: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, write = [], write_atomic

    def killed(path: Path, data: bytes) -> None:
        if len(files) == written:
            path.parent.mkdir(exist_ok=True)
            path.with_name(f".{path.name}.123.tmp").write_bytes(data[:5])
            raise KeyboardInterrupt
        files.append(path)
        write(path, data)

    monkeypatch.setattr(runs, "write_atomic", killed)
    with contextlib.suppress(KeyboardInterrupt):
        Run.start(tmp_path / "run", "study", {"seed": 0}, 0)
    monkeypatch.undo()
    assert len(files) == written
    assert Run.start(tmp_path / "run", "study", {"seed": 0}, 0).config == {"seed": 0}
    with pytest.raises(RunError, match="seed: 0 → 1"):
        Run.start(tmp_path / "run", "study", {"seed": 1}, 1)


def test_provenance_says_where_a_number_came_from(tmp_path: Path) -> None:
    found = Run.start(tmp_path / "run", "study", {}, seed=7).provenance
    assert found["seed"] == 7
    assert {"torch", "av", "numpy"} <= set(found["versions"])
    assert found["source_revision"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["format"] == runs.FORMAT


def test_reading_runs_needs_no_torch() -> None:
    code = (
        "import sys, vidrobust.runs.directory, vidrobust.results.numbers.claims, vidrobust.results.pages.report; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
