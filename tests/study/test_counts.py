"""What a study can use of its data: it says where that is less than it was asked for, and counts that."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import vidrobust.cli.study as verb
from vidrobust.data.dataset import DataConfig
from vidrobust.study.config import Difficulty, Gap, Robustness, StepSizeSearch, StudyConfig, WorstCaseSearch
from vidrobust.study.counts import count_classes, count_clips, cut
from vidrobust.study.plan import StudyPlan
from vidrobust.study.recipes import full, quick

LARGE = StudyConfig(
    clips=DataConfig(val=500, test=1000),
    step_sizes=StepSizeSearch(clips=201),
    robustness=Robustness(clips=1000),
    worst_case=WorstCaseSearch(clips=600, seeds=1),
    gap=Gap(clips=300, seeds=0),
    difficulty=Difficulty(clips=600, contrasts=((0.25, 0.7),)),
)
FITTING = replace(
    LARGE,
    clips=DataConfig(val=200, test=560),
    step_sizes=StepSizeSearch(clips=200),
    robustness=Robustness(clips=560),
    worst_case=WorstCaseSearch(clips=560, seeds=1),
    gap=Gap(clips=200, seeds=0),
    difficulty=Difficulty(clips=560, contrasts=((0.25, 0.7),)),
)


def test_clips_are_counted_as_they_will_be_there(small_motion: Path) -> None:
    folder = DataConfig(str(small_motion))
    assert count_clips(folder) == {"train": 100, "val": 20, "test": 40}
    assert count_clips(replace(folder, train=5000, val=7)) == {"train": 100, "val": 7, "test": 40}
    assert count_clips(DataConfig(train=5000)) == {"train": 5000, "val": 200, "test": 560}  # rendered as asked
    assert count_classes(folder) == count_classes(DataConfig()) == 10


def test_clips_that_are_not_there_cost_nothing() -> None:
    gradients, fitting = ([job.gradients for job in StudyPlan(config).all()] for config in (LARGE, FITTING))
    assert gradients == fitting


def test_what_is_cut_is_told() -> None:
    assert cut(LARGE) == [
        f"--{name} is {asked}, but there are {found}: all of them are used."
        for name, asked, found in (
            ("clips.test", 1000, 560),
            ("clips.val", 500, 200),
            ("difficulty.clips", 600, 560),
            ("robustness.clips", 1000, 560),
            ("step_sizes.clips", 201, 200),
            ("worst_case.clips", 600, 560),
        )
    ]
    assert cut(FITTING) == cut(full()) == cut(quick()) == []


def test_the_verb_tells_it_before_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "seconds_per_gradient", lambda config: 0.001)
    monkeypatch.setattr(verb, "check_plan", lambda config, where: None)
    text = StringIO()
    verb.Study(config=LARGE, dry_run=True).run(Console(file=text))
    told = text.getvalue().splitlines()
    assert told[0] == "--clips.test is 1000, but there are 560: all of them are used."
    assert "clip-gradients" in told[-1]
