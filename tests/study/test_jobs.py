"""The keys of jobs, by which old runs are continued, stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from vidrobust.data.dataset import DataConfig
from vidrobust.runs.keys import content_key
from vidrobust.study.config import StudyConfig
from vidrobust.study.jobs import Job, PrepareData, job_key
from vidrobust.study.measurements import MeasureWorstCase
from vidrobust.study.plan import StudyPlan
from vidrobust.study.recipes import PROFILES

SIZES = tuple((float(eps), steps, eps / 4) for eps in range(1, 13) for steps in (5, 10, 20))


@pytest.mark.parametrize(
    ("profile", "worst_case", "jobs", "hashed"),
    [
        ("quick", False, 22, "5cabd0942cdbee9d"),
        ("full", False, 228, "c166d833eab598ef"),
        ("full", True, 42, "1665dc55814a7d6f"),
    ],
)
def test_the_keys_of_a_study_stay(profile: str, worst_case: bool, jobs: int, hashed: str) -> None:
    keys = keys_of(PROFILES[profile](), lambda job: isinstance(job, MeasureWorstCase) == worst_case)
    assert (len(keys), content_key(keys)) == (jobs, hashed)


@pytest.mark.parametrize("step", ["gap", "worst_case", "difficulty"])
def test_more_seeds_are_more_jobs_and_no_other_ones(step: str) -> None:
    config = PROFILES["full"]()
    asked = getattr(config, step)
    before, after = keys_of(config), keys_of(replace(config, **{step: replace(asked, seeds=asked.seeds + 1)}))
    assert set(before) < set(after)


def keys_of(config: StudyConfig, wanted: Callable[[Job], bool] = lambda job: True) -> list[str]:
    plan = StudyPlan(config)
    phases = plan.data(), plan.standard(), plan.attacks(), plan.defences(SIZES), plan.evaluations(SIZES)
    return sorted({job_key(job) for phase in phases for job in phase if wanted(job)})


def test_a_field_that_came_later_does_not_change_the_keys_of_older_runs() -> None:
    assert job_key(PrepareData(DataConfig("videos"))) == "0e7e003007b23423"  # as version 0.1.0 has it
    assert job_key(PrepareData(DataConfig("videos", classes="classes.txt"))) != "0e7e003007b23423"


def test_jobs_on_another_version_of_motion_are_others() -> None:
    assert job_key(PrepareData(DataConfig(version=1))) == "d8b3269aa9670966"  # as version 0.1.0 has it
    assert job_key(PrepareData(DataConfig())) != "d8b3269aa9670966"
