"""The whole study: every step leaves its rows, a kill loses nothing, a second run redoes nothing."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.row_fields import unknown
from helpers.studies import TINY, finish, start

from vidrobust.results.numbers.accuracy import worst_case_rows
from vidrobust.results.numbers.selection import plain
from vidrobust.runs.directory import Run
from vidrobust.study.workers import job_timings

pytestmark = pytest.mark.long

Command = Callable[..., tuple[int, str, str]]


def test_every_step_leaves_its_rows_and_the_page(tiny_study: Path) -> None:
    run = Run.open(tiny_study)
    kinds = {row["kind"] for row in run.rows()}
    assert kinds == {
        "dataset",
        "manifest",
        "accuracy",
        "trajectory",
        "step_size",
        "epoch",
        "robustness",
        "masking",
        "gap",
        "example",
    }
    assert unknown(run.rows()) == set()
    listed = {row["clips_of"]: row["clips"] for row in run.rows("manifest")}
    about = [row for row in run.rows() if row["kind"] in ("accuracy", "trajectory", "step_size", "robustness", "gap")]
    assert about and all(listed[row["clips_of"]] == row["clips"] for row in about)
    models = {row["model"] for row in run.rows("robustness")}
    assert models == {"standard", "AT(ε=8,α=8,i=3)", "CAL(ε~U(0,12),α=ε,i=i*)", "CAL(ε~rU(12,0),α=α*,i=2)"}
    assert {row["model"] for row in run.rows("accuracy")} == models | {"single frame"}
    assert {row["model"] for row in worst_case_rows(run.rows())} == models
    assert {row["split"] for row in run.rows("gap")} == {"train", "val"}
    assert all((tiny_study / row["file"]).exists() for row in run.rows("example"))
    assert "<html" in (tiny_study / "report.html").read_text()[:1000]
    assert not list(tiny_study.glob("jobs/*/checkpoints"))
    assert len(job_timings(run)) == len(list(tiny_study.glob("jobs/*/rows.jsonl")))


def test_trained_step_sizes_are_those_of_this_study(tiny_study: Path) -> None:
    run = Run.open(tiny_study)
    measured = {(row["eps"], row["steps"]): row["alpha"] for row in run.rows("step_size")}
    trained = [row for row in run.rows("epoch") if row["model"] == "CAL(ε~rU(12,0),α=α*,i=2)" and row["eps"] > 0]
    assert trained
    for row in trained:
        assert row["alpha"] == pytest.approx(row["eps"] * measured[8.0, 2] / 8, rel=1e-3)  # ε=12 lies beyond the table
    for row in run.rows("robustness"):
        if row["eps"] and plain(row):
            assert row["alpha"] == pytest.approx(measured[row["eps"], row["steps"]], abs=1e-5)


def test_a_second_run_redoes_nothing(tiny_study: Path, small_motion: Path, vidrobust: Command) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in tiny_study.rglob("*") if path.is_file() and path.name != "report.html"
    }
    rows = (tiny_study / "rows.jsonl").read_bytes()
    code, _, err = vidrobust("study", "--config", TINY, "--data", small_motion, "--out", tiny_study)
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (tiny_study / "rows.jsonl").read_bytes() == rows


def test_killed_again_and_again_it_ends_with_the_same_rows(
    tiny_study: Path, small_motion: Path, vidrobust: Command, tmp_path: Path
) -> None:
    """SIGKILL at random moments of its work, with another number of workers each time."""
    out, rng = tmp_path / "run", random.Random(os.urandom(8))
    for workers, finished in ((3, rng.randint(0, 6)), (1, rng.randint(7, 12))):
        process = start(small_motion, out, "--workers", str(workers))
        while len(list(out.glob("jobs/*/rows.jsonl"))) < finished or not list(out.glob("jobs/*")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.communicate()
    code, _, err = vidrobust("study", "--config", TINY, "--data", small_motion, "--workers", 2, "--out", out)
    assert code == 0, err
    assert (out / "rows.jsonl").read_bytes() == (tiny_study / "rows.jsonl").read_bytes()


def test_ctrl_c_stops_at_once_and_says_how_to_go_on(small_motion: Path, tmp_path: Path) -> None:
    process = start(small_motion, tmp_path / "run")
    while not (tmp_path / "run" / "rows.jsonl").exists():
        time.sleep(0.1)
        assert process.poll() is None, process.communicate()
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the parent and its workers
    code, _, err = finish(process)
    assert code == 130
    assert "go on from what is finished" in err
    assert "Traceback" not in err


def test_another_configuration_does_not_overwrite_a_run(
    tiny_study: Path, small_motion: Path, vidrobust: Command
) -> None:
    study = ("study", "--config", TINY, "--data", small_motion, "--seed", 5, "--out", tiny_study)
    code, _, err = vidrobust(*study)
    assert code == 1
    assert "seed: 0 → 5" in err


def test_dry_run_says_what_it_costs_and_writes_nothing(small_motion: Path, vidrobust: Command, tmp_path: Path) -> None:
    study = ("study", "--config", TINY, "--data", small_motion, "--dry-run", "--out", tmp_path / "run")
    code, _, err = vidrobust(*study)
    assert code == 0
    assert "clip-gradients" in err
    assert "minutes" in err
    assert "MB" in err
    assert not (tmp_path / "run").exists()
