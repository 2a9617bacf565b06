"""The pieces of a study: pure jobs, each named by the content of what determines it.

A job is a frozen dataclass. It reads only its own fields, the data they name and the folders of the jobs whose keys it
holds; it writes only into its own folder and returns rows. So it may run in any process, at any time, twice. Trainings
are in :mod:`vidrobust.study.trainings`, what is measured on their models in :mod:`vidrobust.study.measurements`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from vidrobust.data.dataset import DataConfig, VideoClips, load
from vidrobust.data.parallel import cores
from vidrobust.errors import RunError
from vidrobust.evaluation.sweeps import StepSizes
from vidrobust.models.checkpoints import load_model
from vidrobust.runs.code import only_code_in
from vidrobust.runs.keys import content_key
from vidrobust.runs.rows import Row

if TYPE_CHECKING:
    from torch import nn

SizeTable = tuple[tuple[float, int, float], ...]
"""α* as a job holds it: (ε, i, α*) in units of 1/255."""


@dataclass(frozen=True)
class Place:
    """What a job is given when it runs.

    Attributes:
        jobs: the run's folder of jobs.
        folder: the job's own folder in it, the only one it writes to.
        progress: called with the clip-gradients spent since the last call.
    """

    jobs: Path
    folder: Path
    progress: Callable[[int], None]

    def model(self, key: str) -> nn.Module:
        """The model that another job trained.

        Raises:
            RunError: its weights are missing or damaged.
        """
        try:
            return load_model(self.jobs / key).to(device())
        except RunError as error:
            folder = self.jobs / key
            raise RunError(f"{error} Here: delete {folder}, and run the same command again.") from error


class Job(ABC):
    """The base of all jobs, which are frozen dataclasses.

    Attributes:
        CALLED: the type of job that enters its key, if not the name of the class: keys must outlive renamed classes.
    """

    CALLED: ClassVar[str] = ""

    @property
    @abstractmethod
    def title(self) -> str:
        """The job in a few words, for the progress display."""

    @property
    def gradients(self) -> int:
        """About how many clip-gradients it costs."""
        return 0

    @property
    def needs(self) -> tuple[str, ...]:
        """The keys of the jobs whose folders it reads."""
        return ()

    def ended(self, rows: Sequence[Row]) -> str:
        """What people read when it has ended with these rows."""
        return self.title

    @abstractmethod
    def run(self, place: Place) -> list[Row]:
        """Do it."""


@dataclass(frozen=True)
class AsTyped(Job):
    """A job as a worker runs it: with the code that was named where the work began, and no other.

    Attributes:
        job: what to do.
        texts: in which code may be named, see :mod:`vidrobust.runs.code`.
    """

    job: Job
    texts: tuple[str, ...] | None

    @property
    def title(self) -> str:
        return self.job.title

    @property
    def gradients(self) -> int:
        return self.job.gradients

    @property
    def needs(self) -> tuple[str, ...]:
        return self.job.needs

    def run(self, place: Place) -> list[Row]:
        if self.texts is None:
            return self.job.run(place)
        with only_code_in(self.texts):
            return self.job.run(place)


def job_key(job: Job) -> str:
    """The name of a job: the hash of what it is and of its fields."""
    fields: Any = asdict(job)  # type: ignore[call-overload]
    data, fit = fields.get("data"), fields.get("fit")
    if isinstance(fit, dict) and not fit["augment"]:  # what came later must not change the keys of older runs
        del fit["augment"]
    if isinstance(data, dict):
        later = {"classes": None, "version": 1 if data["name"] == "motion" else None}
        for name, earlier in later.items():
            if data[name] == earlier:
                del data[name]
    return content_key({"job": job.CALLED or type(job).__name__, **fields})


@dataclass(frozen=True)
class ModelJob(Job):
    """A job about a model that another one trained.

    Attributes:
        data: the clips.
        model: the key of the training.
    """

    data: DataConfig
    model: str

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.model,)


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@lru_cache(maxsize=8)
def open_data(data: DataConfig) -> VideoClips:
    """The data set of a configuration, opened once per process."""
    return load(data)


def step_size_table(sizes: SizeTable) -> StepSizes:
    """α*(ε, i) from a job's field."""
    return StepSizes([{"eps": eps, "steps": steps, "alpha": alpha} for eps, steps, alpha in sizes])


def single_frame(data: DataConfig) -> DataConfig:
    """The same data seen one frame at a time, for the control that shows whether motion is needed."""
    return replace(data, frames=1)


@dataclass(frozen=True)
class PrepareData(Job):
    """Make the data set if it is the embedded one, and decode its clips into the cache."""

    data: DataConfig

    @property
    def title(self) -> str:
        return f"data {self.data.name}" + (f", contrast {_range(self.data)}" if self.data.name == "motion" else "")

    def run(self, place: Place) -> list[Row]:
        return [load(self.data, workers=cores()).row]


def _range(data: DataConfig) -> str:
    return f"{data.contrast[0]:g}–{data.contrast[1]:g}"
