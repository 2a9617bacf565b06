"""The whole study of the slides, from data to page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from rich.console import Console

from vidrobust.data.dataset import DataConfig
from vidrobust.notation import parse_policy
from vidrobust.results.pages.report import PAGE
from vidrobust.runs.code import reading_files
from vidrobust.runs.directory import Run, config_differences
from vidrobust.runs.jobs import stored_job
from vidrobust.runs.keys import dumps
from vidrobust.runs.mending import failures_noted
from vidrobust.runs.rows import Row
from vidrobust.study.adding_seeds import AddedSeed, TimeLeft, added_seed, check_hours, ending
from vidrobust.study.checks import check_study
from vidrobust.study.config import UNTIL_DECIDED, Robustness, StudyConfig, from_json
from vidrobust.study.counts import count_clips, within
from vidrobust.study.engines import Engine, Where, open_engine
from vidrobust.study.jobs import Job, PrepareData, SizeTable, job_key, single_frame
from vidrobust.study.live_page import LivePage
from vidrobust.study.measurements import (
    FindStepSize,
    MakeExamples,
    MeasureRobustness,
    MeasureSensitivity,
    MeasureWorstCase,
)
from vidrobust.study.progress import Display
from vidrobust.study.trainings import TrainModel
from vidrobust.study.workers import Workers

STANDARD_MODEL = "standard"
SINGLE_FRAME = "single frame"


@dataclass(frozen=True)
class StudyPlan:
    """The jobs of a study, phase by phase: the rows of phase 3 determine what the later ones do.

    Args:
        config: the study.
        added: a further seed, which alone the trainings and evaluations are then of.
    """

    config: StudyConfig
    added: AddedSeed | None = None

    @cached_property
    def have(self) -> dict[str, int]:
        """Clips of each split, of all data sets of the study alike: lists are read once, not for each job."""
        return count_clips(self.config.clips)

    @cached_property
    def _steps(self) -> StudyConfig:
        """The steps with as many clips as there are."""
        return within(self.config, self.have)

    @property
    def seeds(self) -> range:
        """One seed for each repetition of a training."""
        if self.added is not None:
            return range(self.added.seed, self.added.seed + 1)
        return range(self.config.seed, self.config.seed + self.config.first_seeds)

    @property
    def policies(self) -> tuple[str, ...]:
        """What is trained besides the standard model."""
        return self.config.policies if self.added is None else self.added.policies

    @property
    def gap_seeds(self) -> range:
        """Seeds of the training that is watched by epoch."""
        if self.added is not None:
            return self.seeds if self.added.gap else range(0)
        return range(self.config.seed, self.config.seed + self.config.gap_seeds)

    @property
    def worst_case_seeds(self) -> range:
        """Seeds whose models are attacked by all attacks of a judgement."""
        count = self.config.worst_case.seeds
        if self.added is not None:
            return self.seeds if count else range(0)
        return range(self.config.seed, self.config.seed + count)

    @property
    def variants(self) -> list[DataConfig]:
        """The data at each contrast of the difficulty step (of the embedded data set alone)."""
        if self.config.clips.name != "motion" or self.added is not None:
            return []
        return [replace(self.config.clips, contrast=contrast) for contrast in self.config.difficulty.contrasts]

    def data(self) -> list[Job]:
        """Phase 1: videos and decoded clips."""
        used = dict.fromkeys([self.config.clips, *self.variants])
        return [PrepareData(data) for data in used]

    def standard(self) -> list[Job]:
        """Phase 2: the standard models, and the control that sees one frame."""
        config = self.config
        jobs: list[Job] = [self._standard(config.clips, seed) for seed in self.seeds]
        jobs.append(replace(self._standard(single_frame(config.clips), config.seed), name=SINGLE_FRAME))
        jobs += [self._standard(data, seed) for data in self.variants for seed in self.difficulty_seeds]
        return jobs

    def _standard(self, data: DataConfig, seed: int) -> TrainModel:
        config, clips, name = self.config, self.have["train"], self._named(STANDARD_MODEL, data)
        return TrainModel(
            data, config.model, name, STANDARD_MODEL, config.standard, seed, None, (), clips, None, config.weights
        )

    @property
    def difficulty_seeds(self) -> range:
        """Seeds of the difficulty step."""
        return range(self.config.seed, self.config.seed + self.config.difficulty.seeds)

    def _named(self, name: str, data: DataConfig) -> str:
        """A model's name, with the contrast where it is not that of the study."""
        if data.contrast == self.config.clips.contrast:
            return name
        return f"{name}, contrast {data.contrast[0]:g}–{data.contrast[1]:g}"

    def attacks(self) -> list[Job]:
        """Phase 3: how PGD's strength depends on α and i, on the standard model."""
        config, model = self.config, job_key(self._standard(self.config.clips, self.config.seed))
        search, surface = self._steps.step_sizes, self._steps.sensitivity
        jobs: list[Job] = [MeasureSensitivity(config.clips, model, config.seed, eps, surface) for eps in surface.eps]
        jobs += [FindStepSize(config.clips, model, config.seed, eps, search.steps, search.clips) for eps in search.eps]
        return jobs

    def defences(self, sizes: SizeTable) -> list[Job]:
        """Phase 4: adversarial training."""
        config, gap = self.config, replace(self._steps.gap, seeds=1)  # of one training: more seeds are other jobs
        jobs: list[Job] = [
            self._defence(config.clips, text, seed, sizes) for text in self.policies for seed in self.seeds
        ]
        fit = replace(config.adversarial, epochs=gap.epochs)
        for seed in self.gap_seeds:
            watched = self._defence(config.clips, gap.policy, seed, sizes)
            jobs.append(replace(watched, fit=fit, sizes=sizes, clips=gap.train, gap=gap))
        jobs += [
            self._defence(data, text, seed, sizes)
            for data in self.variants
            for text in config.difficulty.policies
            for seed in self.difficulty_seeds
        ]
        return jobs

    def early(self) -> list[Job]:
        """Those of phase 4 that need no step sizes, so that no worker is idle while these are looked for."""
        jobs = [job for job in self.defences(()) if isinstance(job, TrainModel) and job.gap is None]
        return [job for job in jobs if not parse_policy(job.policy).needs_alpha_star]

    def _defence(self, data: DataConfig, text: str, seed: int, sizes: SizeTable) -> TrainModel:
        policy = parse_policy(text)
        warm = self.config.start == "warm" or policy.warm
        return TrainModel(
            data=data,
            model=self.config.model,
            name=self._named(str(policy), data),
            policy=str(policy),
            fit=self.config.adversarial,
            seed=seed,
            start=job_key(self._standard(data, seed)) if warm else None,
            sizes=sizes if policy.needs_alpha_star else (),
            clips=self.have["train"],
        )

    def evaluations(self, sizes: SizeTable) -> list[Job]:
        """Phase 5: accuracy against ε for every model, and clips for the gallery."""
        config = self.config
        trained = [
            (STANDARD_MODEL, seed, self._standard(config.clips, seed)) for seed in self.seeds if self.added is None
        ]
        trained += [
            (str(parse_policy(text)), seed, self._defence(config.clips, text, seed, sizes))
            for text in self.policies
            for seed in self.seeds
        ]
        jobs: list[Job] = [
            MeasureRobustness(config.clips, job_key(job), name, seed, sizes, self._steps.robustness)
            for name, seed, job in trained
        ]
        worst_case, among = replace(self._steps.worst_case, seeds=1), self._steps.robustness.clips  # as above
        jobs += [
            MeasureWorstCase(config.clips, job_key(job), name, seed, worst_case, among)
            for name, seed, job in trained
            if seed in self.worst_case_seeds
        ]
        if self.added is not None:
            return jobs
        jobs += self._difficulties(sizes)
        defended = next((item for item in trained if "CAL" in item[0]), trained[-1])
        for (name, _, job), eps in ((trained[0], 4.0), (defended, 8.0)):
            count = config.examples // 2
            jobs.append(MakeExamples(config.clips, job_key(job), name, sizes, eps, 20, count))
        return jobs

    def _difficulties(self, sizes: SizeTable) -> list[Job]:
        step = self._steps.difficulty
        settings = Robustness(step.eps, (step.steps,), step.clips)
        jobs: list[Job] = []
        for data in self.variants:
            for seed in self.difficulty_seeds:
                trained = [(STANDARD_MODEL, self._standard(data, seed))]
                trained += [(str(parse_policy(t)), self._defence(data, t, seed, sizes)) for t in step.policies]
                jobs += [
                    MeasureRobustness(data, job_key(job), name, seed, sizes, settings, step.split, "difficulty")
                    for name, job in trained
                ]
        return jobs

    def trainings(self, sizes: SizeTable) -> list[TrainModel]:
        """Every training; of those of the same name, those on all clips come before those that are watched."""
        jobs = [job for job in (*self.standard(), *self.defences(sizes)) if isinstance(job, TrainModel)]
        return sorted(jobs, key=lambda job: job.gap is not None)

    def of_seed(self, sizes: SizeTable) -> list[Job]:
        """The trainings and evaluations of an added seed."""
        return [*self.standard(), *self.defences(sizes), *self.evaluations(sizes)]

    def all(self) -> list[Job]:
        """Every job, as far as it can be known beforehand; for the cost."""
        phases = (self.data(), self.standard(), self.attacks(), self.defences(()), self.evaluations(()))
        return [job for phase in phases for job in {job_key(job): job for job in phase}.values()]


def trained_models(run: Run) -> Iterator[tuple[TrainModel, Path]]:
    """The trainings of a study that are finished, with their folders; of several seeds the first comes first."""
    plan = StudyPlan(from_json(StudyConfig, run.config))
    found = [row for job in plan.attacks() for row in stored_job(run.job_path(job_key(job))) or ()]
    further = []
    if plan.config.seeds == UNTIL_DECIDED:
        seeds = sorted({row["seed"] for row in run.rows("epoch")} - set(plan.seeds))
        further = [replace(plan, added=AddedSeed(seed, plan.policies, gap=True)) for seed in seeds]
    for job in (job for one in (plan, *further) for job in one.trainings(size_table(found))):
        folder = run.job_path(job_key(job))
        if stored_job(folder) is not None:
            yield job, folder


def size_table(rows: Sequence[Row]) -> SizeTable:
    """α* as jobs hold it, from ``step_size`` rows."""
    return tuple((row["eps"], row["steps"], row["alpha"]) for row in rows if row["kind"] == "step_size")


def check_plan(config: StudyConfig, where: Where) -> None:
    """Refuse a study that could not be carried through, before its first job and before anything is written.

    Raises:
        VidrobustError: see :func:`vidrobust.study.checks.check_study`.
        InputError: the engine is not here.
    """
    where.check()
    check_study(config, [job for job in StudyPlan(config).all() if isinstance(job, TrainModel)])


def study(
    config: StudyConfig,
    out: Path,
    where: Where | None = None,
    console: Console | None = None,
    hours: float | None = None,
    engine: Engine | None = None,
) -> Path:
    """Run the whole study, or go on with one, and make its page.

    Args:
        config: what to study.
        out: the run directory.
        where: where jobs run; by default in a process for each core of this machine.
        console: where progress is shown; the standard error if none is given.
        hours: how long seeds are added, where ``config.seeds`` is ``until-decided``.
        engine: one that runs already, which this ends; by default the one that ``where`` says.

    Returns:
        The path of ``report.html``.

    Raises:
        VidrobustError: a study that cannot be carried through, before anything is written; bad data, a full disk, a
            run of another configuration; what was finished is kept.
    """
    where = where or Where()
    check_hours(config, hours)
    check_plan(config, where)
    plan = StudyPlan(config)
    _say_what_is_mended(Run(out), config, console)
    run = Run.start(out, "study", asdict(config), config.seed)
    total = sum(job.gradients for job in plan.all())
    engine = engine or open_engine(where, run.path)
    with (
        reading_files([dumps(asdict(config))]),
        LivePage(run) as live,
        Display(total, console) as display,
        Workers(run, engine, display, live) as pool,
        failures_noted(run.path),
    ):
        left = None if hours is None else TimeLeft(hours, engine.spent)  # the first seeds count, too
        carry_out(plan, pool)
        if left is not None:
            add_seeds(plan, pool, left)
    return run.path / PAGE


def carry_out(plan: StudyPlan, pool: Workers) -> None:
    """Do the jobs of a plan, phase by phase."""
    pool.do(plan.data())
    for jobs in (plan.standard(), plan.attacks(), plan.early()):
        pool.add(jobs)
    pool.do(plan.standard())
    sizes = size_table(pool.do(plan.attacks()))
    for jobs in (plan.defences(sizes), plan.evaluations(sizes)):
        pool.add(jobs)
    pool.do(plan.defences(sizes))
    pool.do(plan.evaluations(sizes))


def add_seeds(plan: StudyPlan, pool: Workers, left: TimeLeft) -> None:
    """Add one seed after another until every claim that seeds can decide is decided, or the time is up."""
    seed = plan.seeds.stop
    while (added := added_seed(plan.config, pool.run.rows(), seed)) is not None:
        further = replace(plan, added=added)
        all_of_it, undone = pool.more(further.of_seed(size_table(pool.run.rows("step_size"))))
        if not left.enough_for(undone):
            break
        pool.display.more(all_of_it)
        carry_out(further, pool)
        seed += 1
    pool.display.log(ending(plan.config, pool.run.rows(), left.hours))


def _say_what_is_mended(run: Run, config: StudyConfig, console: Console | None) -> None:
    """Tell the user if the run failed under another configuration, whose place this one takes."""
    if not run.failed or not (run.path / "config.json").exists():
        return
    changed = config_differences(run.config, json.loads(dumps(asdict(config))))
    if changed and console is not None:
        listed = "; ".join(f"{name}: {old} → {new}" for name, old, new in changed[:5])
        message = f"{run.path} failed under another configuration ({listed}): jobs that both have are not done again."
        console.print(message, markup=False, highlight=False, soft_wrap=True)
