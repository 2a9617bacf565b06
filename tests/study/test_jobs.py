"""The keys of jobs, by which old runs are continued, stay what they are."""

from __future__ import annotations

import pytest

from vidrobust.data.dataset import DataConfig
from vidrobust.runs.keys import content_key
from vidrobust.study.jobs import PrepareData, job_key
from vidrobust.study.plan import StudyPlan
from vidrobust.study.recipes import PROFILES

SIZES = tuple((float(eps), steps, eps / 4) for eps in range(1, 13) for steps in (5, 10, 20))


@pytest.mark.parametrize(
    ("profile", "jobs", "hashed"), [("quick", 22, "5cabd0942cdbee9d"), ("full", 270, "259de3c30f75b994")]
)
def test_the_keys_of_a_study_stay(profile: str, jobs: int, hashed: str) -> None:
    plan = StudyPlan(PROFILES[profile]())
    phases = plan.data(), plan.standard(), plan.attacks(), plan.defences(SIZES), plan.evaluations(SIZES)
    keys = sorted({job_key(job) for phase in phases for job in phase})
    assert (len(keys), content_key(keys)) == (jobs, hashed)


def test_a_field_that_came_later_does_not_change_the_keys_of_older_runs() -> None:
    assert job_key(PrepareData(DataConfig("videos"))) == "0e7e003007b23423"  # as version 0.1.0 has it
    assert job_key(PrepareData(DataConfig("videos", classes="classes.txt"))) != "0e7e003007b23423"


def test_jobs_on_another_version_of_motion_are_others() -> None:
    assert job_key(PrepareData(DataConfig(version=1))) == "d8b3269aa9670966"  # as version 0.1.0 has it
    assert job_key(PrepareData(DataConfig())) != "d8b3269aa9670966"
