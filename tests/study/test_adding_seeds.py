"""Seeds are added to what is undecided, until it is decided or the time is up."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import synthetic_run as synthetic
from rich.console import Console

from vidrobust.errors import InputError
from vidrobust.notation.slides import FALLING, RISING, STRONG, WEAK
from vidrobust.runs.directory import Run
from vidrobust.study import adding_seeds, plan
from vidrobust.study.adding_seeds import AddedSeed, TimeLeft, added_seed, check_hours, ending, open_claims
from vidrobust.study.config import Gap, StudyConfig, from_json
from vidrobust.study.jobs import job_key
from vidrobust.study.plan import StudyPlan, add_seeds
from vidrobust.study.recipes import quick
from vidrobust.study.trainings import TrainModel

CONFIG = replace(quick(), seeds="until-decided")


def rows(models: dict[str, tuple[float, float]], seeds: int, sources: int = 12) -> list[dict[str, Any]]:
    kinds = ("robustness", "step_size")
    found = [row for row in synthetic.rows(models, seeds) if row["kind"] in kinds and row.get("steps") != 5]
    return synthetic.with_manifests(found, sources)


CLOSE = {**synthetic.QUICK, FALLING: synthetic.QUICK[RISING]}
"""Rising and falling are equally good, which a few seeds do not show."""


def test_the_next_seed_is_of_the_models_that_undecided_claims_are_about() -> None:
    found = added_seed(CONFIG, rows(CLOSE, 14, sources=120), 14)
    assert found == AddedSeed(14, (RISING, FALLING), gap=False)


def test_with_few_seeds_all_that_is_undecided_gets_another() -> None:
    found = added_seed(CONFIG, rows(synthetic.QUICK, 3), 3)
    assert found is not None
    assert set(found.policies) == {WEAK, STRONG, RISING, FALLING}


def test_few_sources_are_not_made_up_for_by_seeds() -> None:
    assert added_seed(CONFIG, rows(CLOSE, 6, sources=4), 6) is None
    assert added_seed(CONFIG, [], 3) is None  # what was not measured at all needs no seeds either


def test_an_added_seed_is_trained_and_evaluated_as_the_first_ones_are() -> None:
    """Its jobs are those that a study of so many seeds has, and no others."""
    whole = StudyPlan(replace(CONFIG, seeds=5))
    added = replace(StudyPlan(CONFIG), added=AddedSeed(4, (RISING, FALLING), gap=True))
    sizes = ((8.0, 5, 2.0),)
    known = {job_key(job) for job in whole.of_seed(sizes)}
    found = added.of_seed(sizes)
    watched = [job for job in found if isinstance(job, TrainModel) and job.gap is not None]
    assert {job_key(job) for job in found if job not in watched} <= known
    (first, *_) = (job for job in whole.defences(sizes) if isinstance(job, TrainModel) and job.gap is not None)
    assert [replace(job, seed=0, start=first.start) for job in watched] == [first]
    trained = [(job.name, job.seed, job.gap is not None) for job in found if isinstance(job, TrainModel)]
    assert [one for one in trained if one[1] == 4] == [
        ("standard", 4, False), (RISING, 4, False), (FALLING, 4, False), (CONFIG.gap.policy, 4, True),
    ]  # fmt: skip
    assert [one for one in trained if one[1] != 4] == [("single frame", 0, False)]


class Pool:
    """Instead of workers: a seed's rows are there already."""

    def __init__(self, run: Run, known: list[dict[str, Any]]) -> None:
        self.run, self.known, self.asked, self.lines = run, known, [], []
        self.display = SimpleNamespace(more=lambda gradients: None, log=self.lines.append)

    def more(self, jobs: Any) -> tuple[int, int]:
        return 1000, 1000

    def carry_out(self, plan: StudyPlan, pool: Any) -> None:
        assert plan.added is not None and plan.added.seed < 20, "there are no more"
        self.asked.append(plan.added)
        self.run.append([row for row in self.known if self._of(row, plan.added)])

    def _of(self, row: dict[str, Any], added: AddedSeed) -> bool:
        return row.get("seed") == added.seed and row["kind"] == "robustness" and row["model"] in added.policies


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    run = Run.start(tmp_path / "run", "study", {}, 0)
    known = rows(synthetic.QUICK, 20)
    run.append([row for row in known if row.get("seed", 0) < 3])
    found = Pool(run, known)
    monkeypatch.setattr(plan, "carry_out", found.carry_out)
    return found


def test_seeds_are_added_until_every_claim_is_decided(pool: Pool) -> None:
    add_seeds(StudyPlan(CONFIG), pool, TimeLeft(1.0, lambda: 0))  # type: ignore[arg-type]
    assert [one.seed for one in pool.asked] == list(range(3, 3 + len(pool.asked)))
    assert 2 <= len(pool.asked) <= 20
    assert len(pool.asked[-1].policies) <= len(pool.asked[0].policies)  # what is decided gets no more
    assert pool.lines[0].startswith("every claim that more seeds can decide is decided; ")
    assert "step 7 (generalisation gap) is missing" in pool.lines[0]
    assert pool.lines[0].endswith(", which seeds cannot decide.")
    asked = list(pool.asked)
    add_seeds(StudyPlan(CONFIG), pool, TimeLeft(1.0, lambda: 0))  # type: ignore[arg-type]
    assert pool.asked == asked  # going on does nothing more


def test_no_seed_is_begun_that_would_not_end_in_time(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 1800))
    monkeypatch.setattr(adding_seeds.time, "monotonic", lambda: next(clock))
    spent = chain([0], repeat(4000))
    add_seeds(StudyPlan(CONFIG), pool, TimeLeft(1.2, lambda: next(spent)))  # type: ignore[arg-type]
    assert len(pool.asked) == 1  # after 30 minutes 4000 gradients: 1000 more fit into 72, after 60 they do not
    assert "no further seed fits into 1.2 hours" in pool.lines[0] and "undecided" in pool.lines[0]


def test_the_hours_are_those_of_the_whole_study_and_so_is_its_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first three seeds take an hour for 3000 gradients, so that each further seed of 1000 takes 20 minutes."""
    known, now, spent = rows(CLOSE, 20), [0.0], [0]
    pool = Pool(Run.start(tmp_path / "known", "study", {}, 0), known)
    pool.run.append([row for row in known if row.get("seed", 0) < 3])

    def carry_out(carried: StudyPlan, _: Any) -> None:
        seeds = 3 if carried.added is None else 1
        now[0] += 1200 * seeds
        spent[0] += 1000 * seeds
        if carried.added is not None:
            pool.carry_out(carried, pool)

    monkeypatch.setattr(plan, "carry_out", carry_out)
    monkeypatch.setattr(plan, "check_plan", lambda config, where: None)
    monkeypatch.setattr(plan, "LivePage", nullcontext)
    monkeypatch.setattr(plan, "Workers", lambda *_: nullcontext(pool))
    monkeypatch.setattr(adding_seeds.time, "monotonic", lambda: now[0])
    engine: Any = SimpleNamespace(spent=lambda: spent[0])
    plan.study(CONFIG, tmp_path / "run", console=Console(quiet=True), hours=1.8, engine=engine)
    assert [one.seed for one in pool.asked] == [3, 4]  # at 60, 80 and 100 of 108 minutes
    assert "no further seed fits into 1.8 hours" in pool.lines[0]


def test_what_sources_alone_can_decide_is_no_reason_for_a_seed_and_is_said_at_the_end() -> None:
    """Two models that differ by source, and by seed not at all."""
    found = [row for row in rows(CLOSE, 6) if row["kind"] != "robustness" or row["model"] in (RISING, FALLING)]
    split = {RISING: "01" * 60, FALLING: "10" * 30 + "01" * 30}
    told = [row | {"survived": split[row["model"]], "correct": 60} if "survived" in row else row for row in found]
    left = open_claims(CONFIG, told)
    assert not left.by_seeds and added_seed(CONFIG, told, 6) is None
    said = ending(CONFIG, told, 2.0)
    assert said.startswith("every claim that more seeds can decide is decided; ")
    assert "more sources would decide" in said


def test_what_is_left_undecided_is_said_with_its_reason() -> None:
    told = ending(CONFIG, rows(CLOSE, 6), 2.0)
    assert "1 claim undecided" in told or "claims undecided" in told
    assert RISING in told


@pytest.mark.parametrize(("seeds", "hours"), [("until-decided", None), (3, 2.0), ("until-decided", 0.0)])
def test_an_end_and_seeds_without_one_go_together(seeds: Any, hours: float | None) -> None:
    with pytest.raises(InputError, match="hours"):
        check_hours(replace(quick(), seeds=seeds), hours)


def test_the_configuration_survives_being_written() -> None:
    assert from_json(StudyConfig, {"seeds": "until-decided"}).first_seeds == 3
    assert StudyConfig(seeds="until-decided", gap=Gap(seeds=1)).gap_seeds == 3
    assert StudyConfig(seeds="until-decided", gap=Gap(seeds=0)).gap_seeds == 0
    with pytest.raises(InputError, match="until-decided"):
        StudyConfig(seeds="for ever")  # type: ignore[arg-type]
