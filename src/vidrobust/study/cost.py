"""What a study will cost on this machine: the text of ``vidrobust study --dry-run``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import torch

from vidrobust.data.config import DataConfig
from vidrobust.evaluation.clips import pgd, silent
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.notation.schedules import Clock
from vidrobust.runs.wording import counted
from vidrobust.study.adding_seeds import AddedSeed
from vidrobust.study.checks import blank_clips
from vidrobust.study.config import UNTIL_DECIDED, StudyConfig
from vidrobust.study.jobs import Job, PrepareData, device
from vidrobust.study.measurements import MeasureRobustness, MeasureWorstCase
from vidrobust.study.plan import StudyPlan
from vidrobust.study.timing import seconds
from vidrobust.study.trainings import TrainModel
from vidrobust.training.distributed import World
from vidrobust.training.trainer import new_training

if TYPE_CHECKING:
    from torch import nn

REPEATS = 5
"""Measurements of the speed, of which the median counts: single ones differ by a third and more."""

SLOWER = 1.5
"""Time of a gradient in an evaluation over that in a training: clips leave the batch as they are broken, few fill the
processor less, and verdicts are of the model itself. In the full study, where defences keep clips for long, it was 1.6
(2026-11-28), in the quick one 1.1."""


@dataclass(frozen=True)
class StudyCost:
    """What a study will cost on this machine.

    Attributes:
        gradients: clip-gradients, a training step on a clip counting as two, and one on shorter clips as part of one.
        seconds_per_gradient: measured on this machine just now, with one thread.
        workers: processes that share the work.
        disk: bytes written to the run directory and the cache, about.
        sets: data sets that are made and decoded.
    """

    gradients: int
    seconds_per_gradient: float
    workers: int
    disk: int
    sets: int = 1
    evaluations: int = 0
    """Of the clip-gradients those of evaluations."""
    further: float = 0
    """The time of each further seed of all models, in gradients of a training, where seeds are added until claims are
    decided."""

    @property
    def minutes(self) -> float:
        """Estimated wall time, with ten seconds for starting and for making and decoding each data set."""
        work = self.gradients + (SLOWER - 1) * self.evaluations
        return (work * self.seconds_per_gradient / self.workers + 10 * (1 + self.sets)) / 60

    def __str__(self) -> str:
        return (
            f"{self.gradients / 1e6:.2f} million clip-gradients of {1e3 * self.seconds_per_gradient:.2f} ms, "
            f"about {self.minutes:.1f} minutes with {counted(self.workers, 'worker')}, "
            f"about {self.disk / 1e6:.0f} MB of disk" + self._further
        )

    @property
    def _further(self) -> str:
        if not self.further:
            return ""
        minutes = self.further * self.seconds_per_gradient / self.workers / 60
        return f"; that is for the first seeds, and each one added takes about {minutes:.1f} minutes more"


def against_estimate(estimate: StudyCost, minutes: float) -> str:
    """How the estimate of a whole study compares with what it took, for people.

    >>> against_estimate(StudyCost(600_000, 0.001, 2, 0), 6.6)
    'took 6.6 minutes, estimated 5.3 (+24 %)'
    """
    off = minutes / estimate.minutes - 1
    return f"took {minutes:.1f} minutes, estimated {estimate.minutes:.1f} ({100 * off:+.0f} %)"


def study_cost(config: StudyConfig, workers: int, speed: float | None = None) -> StudyCost:
    """What a study will cost: gradients counted from its jobs.

    Args:
        config: the study.
        workers: processes that share the work.
        speed: seconds of a gradient, from :func:`seconds_per_gradient`; by default it is measured now.
    """
    plan = StudyPlan(config)
    jobs = plan.all()
    model = build(config.model, 10)
    weights = sum(parameter.numel() for parameter in model.parameters()) * 4
    trained = sum(isinstance(job, TrainModel) for job in jobs)
    data = config.clips
    pixels = plan.have["train"] * max(data.frames, data.max_frames) * data.size**2 * 3
    sets = sum(isinstance(job, PrepareData) for job in jobs)
    disk = trained * weights * 4 + sets * 2 * pixels + 10_000_000
    gradients = round(sum(job.gradients * _share(job, data) for job in jobs))
    further = 0.0
    if config.seeds == UNTIL_DECIDED:
        added = AddedSeed(plan.seeds.stop, config.policies, config.gap.seeds > 0)
        new = [job for job in replace(plan, added=added).of_seed(()) if job not in jobs]
        further = sum(job.gradients for job in new) + (SLOWER - 1) * _of_evaluations(new)
    speed = seconds_per_gradient(config) if speed is None else speed
    return StudyCost(gradients, speed, workers, disk, sets, _of_evaluations(jobs), further)


def _of_evaluations(jobs: Iterable[Job]) -> int:
    """The clip-gradients of those jobs that are :data:`SLOWER`."""
    return sum(job.gradients for job in jobs if isinstance(job, MeasureRobustness | MeasureWorstCase))


def _share(job: Job, data: DataConfig) -> float:
    """The pixels of a job's clips over those of the study's: the single-frame control is cheap."""
    of = getattr(job, "data", data)
    return of.frames * of.size**2 / (data.frames * data.size**2)


def seconds_per_gradient(config: StudyConfig) -> float:
    """Seconds of one thread for one clip-gradient of the study's model, as most of its trainings have them.

    Clips too large for several at once, of which a training may not fit into this machine's memory, are attacked alone.
    """
    data, where = config.clips, device()
    model = build(config.model, 10).to(where)
    batch = min(config.adversarial.batch, 32 * 24 * 24 * 8 // (data.size**2 * data.frames))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        work, gradients = _training(model, config, batch) if batch > 1 else _attack(model.eval(), data)
        clip = torch.empty(1, device=where)
        work()  # builds the fast copy
        return median(seconds(work, clip) for _ in range(REPEATS)) / gradients
    finally:
        torch.set_num_threads(threads)


def _training(model: nn.Module, config: StudyConfig, batch: int) -> tuple[Callable[[], object], int]:
    """A step of adversarial training on blank clips, and its clip-gradients."""
    policy, clips = parse_policy("AT(ε=8,α=2,i=4)"), blank_clips(config.clips, batch, 10)
    fit = replace(config.adversarial, batch=batch, accumulate=1, freeze="", epochs=REPEATS + 1)  # of one step each
    training = new_training(model, clips, policy, fit, 0, lambda eps, steps: 1.0, World())
    return lambda: training.epoch(silent, lambda: None), batch * policy.cost(Clock(0, fit.epochs))


def _attack(model: nn.Module, data: DataConfig) -> tuple[Callable[[], object], int]:
    """An attack on one clip, and its gradients."""
    attack, clips = pgd(8, 1, 4), torch.rand(1, 3, data.frames, data.size, data.size, device=device())
    return lambda: attack.perturb(model, clips, torch.zeros(1, dtype=torch.int64, device=device())), attack.steps
