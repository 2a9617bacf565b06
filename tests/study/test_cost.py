"""What a study will cost is counted from its jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vidrobust.data.dataset import DataConfig
from vidrobust.study import cost
from vidrobust.study.adding_seeds import AddedSeed
from vidrobust.study.config import UNTIL_DECIDED, Robustness, StudyConfig
from vidrobust.study.cost import StudyCost, study_cost
from vidrobust.study.measurements import MeasureRobustness, MeasureWorstCase
from vidrobust.study.plan import StudyPlan
from vidrobust.study.recipes import full, quick
from vidrobust.study.trainings import TrainModel

measured = cost.seconds_per_gradient


@pytest.fixture(autouse=True)
def _known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "seconds_per_gradient", lambda config: 0.002)


def test_one_slow_measurement_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([0.001, 0.9, 0.002, 0.003, 0.002])
    monkeypatch.setattr(cost, "seconds", lambda work, clip: next(taken))
    monkeypatch.setattr(cost, "_training", lambda model, config, batch: (lambda: None, 1))
    assert measured(quick()) == 0.002


@pytest.mark.parametrize(("size", "gradients"), [(24, 32 * (4 + 2)), (112, 4)])
def test_trainings_are_timed_or_of_large_clips_an_attack_on_one(
    size: int, gradients: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    monkeypatch.setattr(cost, "seconds", lambda work, clip: done.append(work()) or 6.0)
    config = quick()
    clips, short = replace(config.clips, size=size, frames=8), replace(config.adversarial, epochs=1)
    assert measured(replace(config, clips=clips, adversarial=short)) == 6.0 / gradients
    assert len(done) == cost.REPEATS


def test_the_single_frame_control_counts_by_its_frames() -> None:
    config = quick()
    jobs = StudyPlan(config).all()
    (control,) = [job for job in jobs if isinstance(job, TrainModel) and job.data.frames == 1]
    apart = sum(job.gradients for job in jobs) - study_cost(config, 2).gradients
    assert apart == control.gradients * (1 - 1 / config.clips.frames)


def test_masking_is_counted_and_difficulty_has_none() -> None:
    job = MeasureRobustness(DataConfig(), "model", "standard", 0, (), Robustness((0.0, 8.0), (20,), 100))
    assert job.gradients == 20 * 100 // 2 + 15 * 64
    assert replace(job, kind="difficulty").gradients == 20 * 100 // 2


def test_minutes_have_time_for_each_data_set() -> None:
    assert StudyCost(60_000, 0.002, 2, 0, sets=5).minutes == pytest.approx(1 + 1)


def test_gradients_of_evaluations_take_longer() -> None:
    assert StudyCost(60_000, 0.002, 2, 0, sets=5, evaluations=30_000).minutes == pytest.approx(1 + 0.25 + 1)
    config = full()
    found = [job for job in StudyPlan(config).all() if isinstance(job, MeasureRobustness | MeasureWorstCase)]
    assert study_cost(config, 2).evaluations == sum(job.gradients for job in found) > 10**6


def test_evaluations_of_a_further_seed_count_as_slower() -> None:
    plan = StudyPlan(config := replace(quick(), seeds=UNTIL_DECIDED))
    later = StudyPlan(config, AddedSeed(plan.seeds.stop, config.policies, config.gap.seeds > 0))
    jobs = [job for job in later.of_seed(()) if job not in plan.all()]
    slow = [isinstance(job, MeasureRobustness | MeasureWorstCase) for job in jobs]
    work = sum(job.gradients * (cost.SLOWER if late else 1) for job, late in zip(jobs, slow, strict=True))
    minutes = work * 0.002 / 2 / 60
    assert any(slow) and str(study_cost(config, 2)).endswith(f"each one added takes about {minutes:.1f} minutes more")


@pytest.mark.parametrize(("recipe", "minutes"), [(quick, 4.0), (full, 150.0)])
def test_the_profiles_keep_within_their_time_on_two_common_cores(recipe, minutes: float) -> None:
    config: StudyConfig = recipe()
    assert replace(study_cost(config, 2), seconds_per_gradient=0.00245).minutes <= minutes  # float32, AVX2
