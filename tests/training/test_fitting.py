"""A training in a run directory: what it leaves there, and who may work on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vidrobust as vr
from vidrobust.data.dataset import VideoClips
from vidrobust.errors import InputError, RunError
from vidrobust.models.building import build
from vidrobust.runs.directory import Run
from vidrobust.training.distributed import World
from vidrobust.training.fitting import FitRun
from vidrobust.training.watch import Watch


@pytest.fixture
def small(small_data: VideoClips) -> VideoClips:
    return VideoClips(
        small_data.folder,
        small_data.config,
        small_data.train.spread(32),
        small_data.val.spread(8),
        small_data.test.spread(8),
    )


def fit(data: VideoClips, out: Path, **how: Any) -> FitRun:
    return vr.fit(build("r3d-small", 10), data, epochs=2, batch=16, out=out, **how)


def test_a_finished_training_leaves_no_checkpoints(small: VideoClips, tmp_path: Path) -> None:
    run = fit(small, tmp_path / "run", watch=Watch(every=1, clips=4, steps=1))
    assert not (tmp_path / "run" / "checkpoints").exists()
    left = tmp_path / "run" / "checkpoints" / "epoch-00002-000000.safetensors"
    left.parent.mkdir()
    left.write_bytes(b"a kill came before it was removed")
    again = fit(small, tmp_path / "run", watch=Watch(every=1, clips=4, steps=1))
    assert not left.parent.exists()
    assert again.rows == run.rows
    assert again.model.fc.weight.equal(run.model.fc.weight)


def test_one_that_was_finished_by_another_process_in_the_meantime_is_not_trained_again(
    small: VideoClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(small, tmp_path / "run")
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    (tmp_path / "run" / "model.safetensors").unlink()
    working = Run.working

    def finished_first(run: Run) -> Any:
        (tmp_path / "run" / "model.safetensors").write_bytes(weights)
        return working(run)

    monkeypatch.setattr(Run, "working", finished_first)
    monkeypatch.setattr("vidrobust.training.fitting.train", lambda *given, **how: pytest.fail("it trained again"))
    assert fit(small, tmp_path / "run").path == tmp_path / "run"


def test_a_second_process_at_one_run_directory_is_refused(small: VideoClips, tmp_path: Path) -> None:
    fit(small, tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    with Run(tmp_path / "run").working(), pytest.raises(RunError, match="in use by process"):
        fit(small, tmp_path / "run")


def test_what_the_first_process_is_refused_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise InputError("no")

    told: list[Any] = []
    monkeypatch.setattr(World, "agreed", lambda world, value: told.append(value) or told[0])
    with pytest.raises(InputError, match="no"):
        World(0, 2).once(refuse)
    with pytest.raises(RunError, match="no"):
        World(1, 2).once(lambda: pytest.fail("only the first process does it"))
    told.clear()
    assert World(0, 2).once(lambda: 3) == World(1, 2).once(lambda: 4) == 3


@pytest.mark.parametrize("data", [(1, 2), "UCF-101", None], ids=str)
def test_what_has_no_splits_is_told(data: Any) -> None:
    with pytest.raises(InputError, match="data must have the splits train, val and test"):
        vr.fit(build("r3d-small", 10), data, epochs=1)


def test_nothing_is_written_for_what_is_refused(small: VideoClips, tmp_path: Path) -> None:
    for how in ({"method": "AT(ε=8,α=2,i=1,support=Nowhere)"}, {"watch": Watch(every=1, patience=1)}):
        with pytest.raises(vr.VidrobustError):
            fit(small, tmp_path / "run", **how)
        assert not (tmp_path / "run").exists()
