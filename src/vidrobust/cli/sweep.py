"""``vidrobust sweep``: how strong PGD is over step sizes × iterations, at one ε or, on many workers, at several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table

from vidrobust.cli.model_under_test import ModelUnderTest
from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, flat
from vidrobust.cli.options import run as run_verb
from vidrobust.cli.terminal import rate
from vidrobust.data.parallel import in_order
from vidrobust.errors import InputError, RunError
from vidrobust.evaluation.clips import silent
from vidrobust.evaluation.manifest import manifest_rows
from vidrobust.evaluation.sweeps import step_sizes, sweep
from vidrobust.models.fingerprint import fingerprint
from vidrobust.notation.units import Levels, too_small, too_small_text
from vidrobust.results.numbers.accuracy import intervals_of, trajectory_point
from vidrobust.results.numbers.selection import of_kind
from vidrobust.runs.code import typed_code
from vidrobust.runs.directory import Run
from vidrobust.runs.files import check_writable
from vidrobust.runs.rows import Row
from vidrobust.runs.wording import counted
from vidrobust.study.config import LARGEST_EPS, check_budgets, check_count, check_distinct, check_steps
from vidrobust.study.engines import Where, open_engine
from vidrobust.study.jobs import AsTyped, Job, Place
from vidrobust.study.progress import Display
from vidrobust.study.workers import Workers

if TYPE_CHECKING:
    from vidrobust.evaluation.clips import GradientProgress
    from vidrobust.study.trained import Trained


@dataclass(frozen=True)
class SweepAt(Job):
    """The sweep of one ε, as a job that finds its model by itself.

    Attributes:
        of: the fields of :class:`vidrobust.cli.model_under_test.ModelUnderTest`, paths as text.
        eps: in units of 1/255.
        steps, alpha, clips: as in :class:`Sweep`.
    """

    of: tuple[tuple[str, Any], ...]
    eps: float
    steps: tuple[int, ...]
    alpha: tuple[float, ...]
    clips: int

    @property
    def title(self) -> str:
        """The job in a few words, for the progress display."""
        return f"sweep at ε={self.eps:g}"

    @property
    def gradients(self) -> int:
        """About how many clip-gradients it costs, if there are so many clips."""
        return (len(self.alpha) or 8) * max(self.steps) * (self.clips or 1000)

    def run(self, place: Place) -> list[Row]:
        """Do it, in whatever process."""
        return self.measured(self.found(), place.progress)

    def found(self) -> Trained:
        """Its model and data, wherever it runs."""
        paths = ("run_dir", "classes")
        given: dict[str, Any] = {name: Path(value) if name in paths and value else value for name, value in self.of}
        return ModelUnderTest(**given).found(Console(quiet=True))

    def measured(self, found: Trained, progress: GradientProgress) -> list[Row]:
        """The rows of a model that is loaded."""
        split = dict(self.of)["split"]
        clips = found.clips(split, self.clips)
        if self.alpha:
            rows = sweep(found.model, clips, self.eps, self.alpha, max(self.steps), self.steps, progress)
        else:
            rows = step_sizes(found.model, clips, self.eps, self.steps, progress)
        about = {"model": found.name, "seed": found.seed, "surface": bool(self.alpha), "split": split}
        about["weights"] = fingerprint(found.model)
        return [*manifest_rows(rows), *({**row, **about} for row in rows)]


@dataclass(frozen=True, kw_only=True)
class Sweep(Verb):
    """Loss and accuracy over step sizes × iterations, and α*; the rows are added to the run.

    Attributes:
        subject: the model and its clips.
        eps: ε in units of 1/255; of several, such as "[4,8,12]", each is a job of its own.
        steps: iteration counts for α*; the longest bounds the trajectories.
        alpha: step sizes in units of 1/255; none looks for α* on a widening grid instead.
        clips: the most clips to attack; 0 attacks all.
        out: a run directory of its own for the rows, with a page; a killed sweep goes on from there.
        where: where the jobs of several ε run.
    """

    NEXT = (
        Step("vidrobust sweep runs/at --eps 8", "the best step size at ε = 8/255"),
        Step('vidrobust evaluate runs/at --attack "PGD(ε=8,α=α*,i=20)" --alpha-star runs/at', "attack with it"),
    )

    subject: ModelUnderTest = flat(ModelUnderTest(split="val"))
    eps: Levels | tuple[Levels, ...] = 8.0
    steps: tuple[int, ...] = (5, 10, 20)
    alpha: tuple[Levels, ...] = ()
    clips: int = 100
    out: Path | None = None
    where: Where = flat(Where())

    def __post_init__(self) -> None:
        check_budgets("--eps", self._budgets)
        check_steps("--steps", self.steps)
        check_count("--clips", self.clips, 0)
        check_distinct("--alpha", self.alpha)
        for alpha in self.alpha:
            if not 0 < alpha <= LARGEST_EPS:
                raise InputError(f"--alpha: α must lie above 0 to {LARGEST_EPS}, in units of 1/255, but is {alpha:g}.")
            if too_small(alpha):
                raise InputError(f"--alpha: {too_small_text('α', alpha)}")
        if self.where.engine != "local" and self.out is None:
            raise InputError(f"--engine {self.where.engine} needs --out DIR, on a disk that all workers see.")
        if self.where.gpus and self.out is None:
            raise InputError(f"--gpus {self.where.gpus:g} needs --out DIR.")

    @property
    def _budgets(self) -> tuple[float, ...]:
        return self.eps if isinstance(self.eps, tuple) else (self.eps,)

    def run(self, console: Console) -> None:
        """Sweep, and print what was found."""
        self.where.check()
        if self.out is not None:
            check_writable(self.out)
        found = self.subject.found(console)
        jobs = [SweepAt(self._of(), eps, self.steps, self.alpha, self.clips) for eps in self._budgets]
        if self.out is not None:
            rows = self._by_engine(found, jobs, self.out, console)
        else:
            rows = self._here(found, jobs, console)
            if found.run is not None:
                found.run.append(rows)
        print_trajectory(found.name, rows, self.steps, console)

    def _of(self) -> tuple[tuple[str, Any], ...]:
        """The model and its data, so that a process anywhere finds them."""
        given = {field.name: getattr(self.subject, field.name) for field in fields(ModelUnderTest)}
        if given["classes"] is None:
            del given["classes"]  # a later field: jobs without it keep their keys
        for name in ("run_dir", "model", "weights", "data", "classes"):
            if given.get(name) is not None and Path(given[name]).exists():
                given[name] = str(Path(given[name]).resolve())
        return tuple(given.items())

    def _asked(self, found: Trained, jobs: Sequence[SweepAt]) -> dict[str, Any]:
        """What determines the rows."""
        return {
            "of": found.origin,
            "weights": fingerprint(found.model),
            "split": self.subject.split,
            "jobs": [[job.eps, job.steps, job.alpha, job.clips] for job in jobs],
        }

    def _by_engine(self, found: Trained, jobs: Sequence[SweepAt], out: Path, console: Console) -> list[Row]:
        """Into a run directory of its own."""
        from vidrobust.results.pages.report import report

        run = Run.start(out, "sweep", self._asked(found, jobs), found.seed)
        engine = open_engine(self.where, run.path)
        with Display(sum(job.gradients for job in jobs), console) as display, Workers(run, engine, display) as pool:
            rows = pool.do(jobs)
        run.append(found.rows())
        print(report([run.path]))
        return rows

    def _here(self, found: Trained, jobs: Sequence[SweepAt], console: Console) -> list[Row]:
        """In processes of this machine that leave nothing on the disk; one ε alone, or one worker, in this one."""
        workers, rows = min(len(jobs), self.where.processes), []
        with Display(sum(job.gradients for job in jobs), console) as display:
            if workers == 1:
                return [row for job in jobs for row in job.measured(found, display.add)]
            typed = [AsTyped(job, typed_code()) for job in jobs]
            for job, more in zip(jobs, in_order(_measured, typed, workers, _lost), strict=True):
                display.add(job.gradients)
                rows += more
        return rows


def _measured(job: AsTyped) -> list[Row]:
    """In another process: with one thread, as all workers, and without a folder."""
    torch.set_num_threads(1)
    return job.run(Place(Path(), Path(), silent))


def _lost(job: AsTyped) -> list[Row]:
    raise RunError(f"the process of the {job.title} died, perhaps for want of memory: try fewer --workers.")


def print_trajectory(name: str, rows: Sequence[Row], counts: Sequence[int], console: Console) -> None:
    """A table for each ε, and α*."""
    swept = of_kind(rows, "trajectory")
    for eps in dict.fromkeys(row["eps"] for row in swept):
        here = [row for row in swept if row["eps"] == eps]
        title = f"{name} at ε={eps:g}, {counted(here[0]['clips'], 'clip')}"
        points = [trajectory_point([row], steps) for row in here for steps in counts]
        table = Table("α", "i", "mean loss", "accuracy", title=title, caption=intervals_of(points))
        for (row, steps), point in zip(product(here, counts), points, strict=True):
            table.add_row(f"{row['alpha']:g}", str(steps), f"{row['loss'][steps]:.3f}", rate(point))
        console.print(table)
    for row in (row for row in rows if row["kind"] == "step_size"):
        edge = "" if row["interior"] else ", at the edge of the grid"
        found = f"{row['alpha']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
        console.print(f"α*(ε={row['eps']:g}, i={row['steps']}) = {found}{edge}", markup=False)


def main(arguments: list[str]) -> None:
    """``vidrobust sweep [RUN]``."""
    run_verb(Sweep, "sweep", arguments)
