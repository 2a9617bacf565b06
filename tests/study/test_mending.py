"""A study that fails midway leaves its trainings to the study that mends it, and no checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from vidrobust.data.dataset import DataConfig
from vidrobust.errors import InputError
from vidrobust.runs.directory import Run
from vidrobust.study import plan
from vidrobust.study.config import Gap, Robustness, Sensitivity, StepSizeSearch, StudyConfig
from vidrobust.study.engines.work import work
from vidrobust.study.jobs import AsTyped, Job
from vidrobust.study.measurements import MeasureSensitivity
from vidrobust.study.trainings import TrainModel
from vidrobust.training.config import FitConfig


class Here:
    """An engine that runs each job when it is handed over, and refuses some."""

    def __init__(self, refused: type[Job] | tuple[()] = ()) -> None:
        self.refused, self.begun, self._ended = refused, [], []

    def submit(self, key: str, job: Job, jobs: Path) -> None:
        inner = job.job if isinstance(job, AsTyped) else job
        self.begun.append(inner)
        if isinstance(inner, self.refused):
            raise InputError(f"{job.title} cannot be done")
        work(job, jobs, key)
        self._ended.append(key)

    def finished(self, seconds: float) -> Sequence[str]:
        ended, self._ended = self._ended, []
        return ended

    def spent(self) -> int:
        return 0

    def close(self, at_once: bool) -> None:
        pass


@pytest.fixture
def config(small_motion: Path) -> StudyConfig:
    return StudyConfig(
        clips=DataConfig(name=str(small_motion), size=16, max_frames=10, train=20, val=6, test=6),
        standard=FitConfig(epochs=1, batch=10),
        adversarial=FitConfig(epochs=1, batch=10),
        policies=("AT(ε=8,α=8,i=1)",),
        sensitivity=Sensitivity((8.0,), 1, 2),
        step_sizes=StepSizeSearch((8.0,), (1,), 2),
        robustness=Robustness((8.0,), (1,), 4),
        gap=Gap(policy="AT(ε=8,α=8,i=1)", epochs=1, train=10, eps=(8.0,), steps=1, clips=2),
        examples=2,
    )


def test_a_mended_configuration_finds_what_the_failed_one_has_trained(
    config: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(config: StudyConfig, engine: Here) -> None:
        monkeypatch.setattr(plan, "open_engine", lambda where, run: engine)
        plan.study(config, tmp_path / "run", console=Console(quiet=True))

    with pytest.raises(InputError, match="sensitivity"):
        run(config, Here(refused=MeasureSensitivity))
    trained = {folder.parent.name for folder in (tmp_path / "run").glob("jobs/*/model.safetensors")}
    assert trained
    mended = replace(config, sensitivity=replace(config.sensitivity, eps=(4.0,)))
    engine = Here()
    run(mended, engine)
    assert not trained & {plan.job_key(job) for job in engine.begun}
    found = Run.open(tmp_path / "run")
    assert found.config["sensitivity"]["eps"] == [4.0]
    assert {row["eps"] for row in found.rows("trajectory") if row["surface"]} == {4.0}
    assert len(found.rows("accuracy")) == len({(row["model"], row["split"]) for row in found.rows("accuracy")}) == 9
    assert not list(found.path.glob("jobs/*/checkpoints"))
    run(replace(mended), Here(refused=Job))  # nothing is left to be done


def test_a_studys_model_is_that_on_all_clips_not_the_one_that_was_watched(
    config: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Here(refused=MeasureSensitivity)
    monkeypatch.setattr(plan, "open_engine", lambda where, run: engine)
    plan.study(
        replace(config, sensitivity=replace(config.sensitivity, eps=())), tmp_path / "run", console=Console(quiet=True)
    )
    models = list(plan.trained_models(Run.open(tmp_path / "run")))
    assert [job.name for job, _ in models] == ["standard", "single frame", "AT(ε=8,α=8,i=1)", "AT(ε=8,α=8,i=1)"]
    assert [job.gap is None for job, _ in models] == [True, True, True, False]
    assert all((folder / "model.safetensors").exists() for _, folder in models)
    assert all(isinstance(job, TrainModel) for job, _ in models)
