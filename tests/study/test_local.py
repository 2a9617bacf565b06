"""A study's processes on this machine: whatever moment one of them is killed at, the others do not wait for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest
from helpers.jobs import Counting, Meeting, Placed, Training, wait_for

from vidrobust.study.engines.local import Local

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # each starts four processes


def finish(engine: Local, keys: Iterable[str]) -> None:
    open_keys = set(keys)
    while open_keys:
        open_keys -= set(engine.finished(0.2))


@pytest.fixture
def engine() -> Iterable[Local]:
    opened = Local(2)
    yield opened
    opened.close(at_once=True)


def test_a_training_beside_an_idle_worker_that_is_killed_runs_again(engine: Local, tmp_path: Path) -> None:
    for name in ("first", "second"):
        engine.submit(name, Meeting(tmp_path, name), tmp_path / "jobs")  # type: ignore[arg-type]
    finish(engine, ["first", "second"])
    engine.submit("third", Training(tmp_path, "third"), tmp_path / "jobs")  # type: ignore[arg-type]
    wait_for(tmp_path / "third.at-work")
    workers = {(tmp_path / f"{name}.pid").read_text() for name in ("first", "second")}
    (idle,) = workers - {(tmp_path / "third.at-work").read_text()}
    os.kill(int(idle), signal.SIGKILL)
    while not engine._lost:
        assert engine.finished(0.2) == []
    (tmp_path / "go").write_text("on")
    finish(engine, ["third"])
    assert engine.spent() == 3 * 3


def test_one_killed_while_it_holds_the_counter_stops_nobody(engine: Local, tmp_path: Path) -> None:
    engine.submit("first", Counting(tmp_path, "first"), tmp_path / "jobs")  # type: ignore[arg-type]
    finish(engine, ["first"])
    assert engine.spent() == 2 + 3


def test_a_worker_that_started_early_has_imported_and_does_the_first_job(tmp_path: Path) -> None:
    engine = Local(1)
    try:
        engine.start_one()
        (early,) = engine._pool._processes
        (tmp_path / "go").write_text("on")
        engine.submit("first", Training(tmp_path, "first"), tmp_path / "jobs")  # type: ignore[arg-type]
        finish(engine, ["first"])
        assert (tmp_path / "first.at-work").read_text() == str(early)
        assert engine._pool.submit(eval, "'torch._dynamo' in __import__('sys').modules").result()
    finally:
        engine.close(at_once=True)


def test_each_worker_sees_the_gpu_that_it_has_a_share_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    engine = Local(2, gpus=1.0)
    try:
        for name in ("first", "second"):
            engine.submit(name, Placed(tmp_path, name), tmp_path / "jobs")  # type: ignore[arg-type]
        finish(engine, ["first", "second"])
    finally:
        engine.close(at_once=True)
    assert {(tmp_path / f"{name}.gpu").read_text() for name in ("first", "second")} == {"5", "7"}
