"""What a run computed before it failed is kept for the configuration that mends it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidrobust.errors import RunError, StoppedError
from vidrobust.runs.directory import Run
from vidrobust.runs.jobs import store_job
from vidrobust.runs.mending import FAILED, failures_noted
from vidrobust.runs.rows import Row


def accuracy(model: str, top1: int) -> Row:
    return {"kind": "accuracy", "model": model, "seed": 0, "split": "val", "top1": top1, "top5": 9, "k": 5, "clips": 9}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with the rows of one job, and one row that somebody has added."""
    run = Run.start(tmp_path / "run", "study", {"eps": 8}, 0)
    run.job_path("0123").mkdir(parents=True)
    store_job(run.job_path("0123"), [accuracy("standard", 5)], {"job": "0123"})
    run.append([accuracy("standard", 5), accuracy("other", 3)])
    return run


def fail(run: Run, error: BaseException) -> None:
    with pytest.raises(type(error)), failures_noted(run.path):
        raise error


def test_a_failed_run_takes_another_configuration_and_keeps_its_jobs(run: Run) -> None:
    fail(run, ValueError("eps is wrong"))
    assert "eps is wrong" in json.loads((run.path / FAILED).read_text())["error"]
    Run.check(run.path, "study", {"eps": 4})
    again = Run.start(run.path, "study", {"eps": 4}, 0)
    assert again.config == {"eps": 4}
    assert again.rows() == [accuracy("other", 3)]  # the job's row comes back when the new plan has the job, too
    assert (run.job_path("0123") / "rows.jsonl").exists()
    assert not again.failed
    with pytest.raises(RunError, match="another configuration"):
        Run.start(run.path, "study", {"eps": 2}, 0)


def test_the_same_configuration_goes_on_with_its_rows(run: Run) -> None:
    fail(run, ValueError("a passing fault"))
    again = Run.start(run.path, "study", {"eps": 8}, 0)
    assert len(again.rows()) == 2
    with failures_noted(again.path):
        pass
    assert not again.failed


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StoppedError("asked to end")])
def test_a_run_that_was_stopped_keeps_its_configuration(run: Run, error: BaseException) -> None:
    fail(run, error)
    for begin in (Run.check, lambda *asked: Run.start(*asked, 0)):
        with pytest.raises(RunError, match="another configuration"):
            begin(run.path, "study", {"eps": 4})


def test_nobody_takes_a_run_over_that_is_at_work(run: Run) -> None:
    fail(run, ValueError("wrong"))
    with run.working(), pytest.raises(RunError, match="in use"):
        Run.start(run.path, "study", {"eps": 4}, 0)
    assert run.config == {"eps": 8}


def test_another_kind_of_run_is_never_taken_over(run: Run) -> None:
    fail(run, ValueError("wrong"))
    with pytest.raises(RunError, match="of kind 'study'"):
        Run.start(run.path, "train", {"eps": 4}, 0)
