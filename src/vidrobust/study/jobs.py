"""The pieces of a study: pure jobs, each named by the content of what determines it.

A job is a frozen dataclass. It reads only its own fields, the data they name and the folders of the jobs whose keys it
holds; it writes only into its own folder and returns rows. So it may run in any process, at any time, twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from vidrobust.data.dataset import DataConfig, VideoClips, load
from vidrobust.data.parallel import cores
from vidrobust.errors import VidrobustWarning
from vidrobust.evaluation.clips import BATCH, accuracy, masking, pgd, ranks, robustness
from vidrobust.evaluation.examples import examples
from vidrobust.evaluation.sweeps import StepSizes, step_sizes, sweep
from vidrobust.models.building import build
from vidrobust.models.checkpoints import load_model, save_model
from vidrobust.notation import parse_policy
from vidrobust.notation.schedules import Clock
from vidrobust.runs.keys import content_key
from vidrobust.runs.rows import Row
from vidrobust.study.config import Gap, Robustness, Sensitivity
from vidrobust.training.config import FitConfig
from vidrobust.training.fitting import alpha_star_of
from vidrobust.training.methods.table import fitted
from vidrobust.training.trainer import AfterEpoch, train
from vidrobust.training.watch import Watcher, gaps

if TYPE_CHECKING:
    from torch import nn


SizeTable = tuple[tuple[float, int, float], ...]
"""α* as a job holds it: (ε, i, α*) in units of 1/255."""


@dataclass(frozen=True)
class Place:
    """Where a job runs: the run's folder of jobs, its own folder in it, and whom to tell of progress."""

    jobs: Path
    folder: Path
    progress: Callable[[int], None]

    def model(self, key: str) -> nn.Module:
        """The model that another job trained."""
        return load_model(self.jobs / key).to(device())


class Job(Protocol):
    """A piece of work with a name, a cost and rows."""

    @property
    def title(self) -> str:
        """What people read in the progress display."""
        ...

    @property
    def gradients(self) -> int:
        """About how many clip-gradients it costs."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The keys of the jobs whose folders it reads."""
        ...

    def run(self, place: Place) -> list[Row]:
        """Do it."""
        ...


def job_key(job: Job) -> str:
    """The name of a job: the hash of its type and fields."""
    fields: Any = asdict(job)  # type: ignore[call-overload]
    return content_key({"job": type(job).__name__, **fields})


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@lru_cache(maxsize=8)
def videos(data: DataConfig) -> VideoClips:
    """The data set of a configuration, opened once a process."""
    return load(data)


def table(sizes: SizeTable) -> StepSizes:
    """α*(ε, i) from a job's field."""
    return StepSizes([{"eps": eps, "steps": steps, "alpha": alpha} for eps, steps, alpha in sizes])


@dataclass(frozen=True)
class PrepareData:
    """Make the data set if it is the embedded one, and decode its clips into the cache."""

    data: DataConfig

    @property
    def title(self) -> str:
        return f"data {self.data.name}" + (f", contrast {_range(self.data)}" if self.data.name == "motion" else "")

    @property
    def gradients(self) -> int:
        return 0

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def run(self, place: Place) -> list[Row]:
        return [load(self.data, workers=cores()).row]


def _range(data: DataConfig) -> str:
    return f"{data.contrast[0]:g}–{data.contrast[1]:g}"


@dataclass(frozen=True)
class Train:
    """Train one model under one policy; with ``gap``, watch train and validation accuracy on the way."""

    data: DataConfig
    model: str
    name: str
    policy: str
    fit: FitConfig
    seed: int
    start: str | None
    sizes: SizeTable
    clips: int
    gap: Gap | None = None
    weights: str = ""

    @property
    def title(self) -> str:
        return f"train {self.name}, seed {self.seed}" + (", by epoch" if self.gap else "")

    @property
    def gradients(self) -> int:
        policy, epochs = parse_policy(self.policy), self.fit.epochs
        cost = sum(policy.cost(Clock(epoch, epochs)) for epoch in range(epochs)) * self.clips
        if self.gap:
            watched = epochs // self.gap.every + 1
            cost += watched * 2 * self.gap.clips * len(self.gap.eps) * self.gap.steps
        return cost

    @property
    def needs(self) -> tuple[str, ...]:
        return () if self.start is None else (self.start,)

    def run(self, place: Place) -> list[Row]:
        data = videos(self.data)
        if self.start is not None:
            model = place.model(self.start)
        else:
            model = untrained(self.model, self.weights, len(data.classes), self.seed).to(device())
        policy = parse_policy(self.policy)
        model = fitted(model, policy, self.seed)
        rows = train(
            model,
            data.train.spread(self.clips),
            policy,
            self.fit,
            seed=self.seed,
            alpha_star=alpha_star_of(policy, table(self.sizes) if self.sizes else _no_sizes, model, data.train),
            checkpoints=place.folder / "checkpoints",
            after_epoch=self._watch(data, place),
            progress=place.progress,
        )
        about = {"classes": list(data.classes), "data": asdict(self.data), "policy": self.policy}
        save_model(place.folder / "model.safetensors", model, about)
        if not self.gap:
            splits = {"train": data.train, "val": data.val, "test": data.test}
            rows += [{**accuracy(model, clips), "split": split} for split, clips in splits.items()]
        watched = f"{self.name}, watched" if self.gap else self.name
        names = {"epoch": watched}  # the same policy may also be trained unwatched, on other clips
        return [{**row, "model": names.get(row["kind"], self.name), "seed": self.seed} for row in rows]

    def _watch(self, data: VideoClips, place: Place) -> AfterEpoch:
        if (gap := self.gap) is None:
            return lambda model, row, earlier: []
        splits = {"train": data.train.spread(self.clips).spread(gap.clips), "val": data.val.spread(gap.clips)}
        sizes = table(self.sizes)
        look = partial(gaps, eps=gap.eps, steps=gap.steps, alpha_star=sizes, progress=place.progress)
        return Watcher(gap.every, splits, look)


def untrained(model: str, weights: str, classes: int, seed: int) -> nn.Module:
    """What standard training starts from: new weights, or another data set's with a last layer of its own.

    Raises:
        InputError: there is no such model, or the weights are not its.
    """
    if not weights:
        return build(model, classes, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VidrobustWarning)  # a study asks for a new head
        return load_model(model, weights, classes, new_head=True, seed=seed)


def _no_sizes(eps: float, steps: int) -> float:
    raise AssertionError("a policy that uses α* was planned without step sizes")


@dataclass(frozen=True)
class MeasureSensitivity:
    """One surface: loss and accuracy over α × i at one ε, on test clips."""

    data: DataConfig
    model: str
    seed: int
    eps: float
    settings: Sensitivity

    @property
    def title(self) -> str:
        return f"sensitivity at ε={self.eps:g}"

    @property
    def gradients(self) -> int:
        return len(self.settings.alphas(self.eps)) * self.settings.steps * self.settings.clips

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.model,)

    def run(self, place: Place) -> list[Row]:
        clips = videos(self.data).test.spread(self.settings.clips)
        alphas, last = self.settings.alphas(self.eps), self.settings.steps
        rows = sweep(place.model(self.model), clips, self.eps, alphas, last, (last,), place.progress)
        return [{**row, "model": "standard", "seed": self.seed, "surface": True} for row in rows]


@dataclass(frozen=True)
class FindStepSize:
    """α*(ε, i) at one ε, on validation clips: it is used in training, so test clips must not set it."""

    data: DataConfig
    model: str
    seed: int
    eps: float
    steps: tuple[int, ...]
    clips: int

    @property
    def title(self) -> str:
        return f"α* at ε={self.eps:g}"

    @property
    def gradients(self) -> int:
        return 8 * max(self.steps) * self.clips

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.model,)

    def run(self, place: Place) -> list[Row]:
        clips = videos(self.data).val.spread(self.clips)
        rows = step_sizes(place.model(self.model), clips, self.eps, self.steps, place.progress)
        return [{**row, "model": "standard", "seed": self.seed, "surface": False} for row in rows]


@dataclass(frozen=True)
class Evaluate:
    """Accuracy against ε of one trained model, with its masking checks."""

    data: DataConfig
    model: str
    name: str
    seed: int
    sizes: SizeTable
    settings: Robustness
    split: str = "test"
    kind: str = "robustness"

    @property
    def title(self) -> str:
        return f"evaluate {self.name}, seed {self.seed}"

    @property
    def gradients(self) -> int:
        budgets = sum(eps > 0 for eps in self.settings.eps)
        return budgets * sum(self.settings.steps) * self.settings.clips // 2  # broken clips leave early

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.model,)

    def run(self, place: Place) -> list[Row]:
        data, model, sizes = videos(self.data), place.model(self.model), table(self.sizes)
        clips = getattr(data, self.split).spread(self.settings.clips)
        rows = robustness(model, clips, self.settings.eps, self.settings.steps, sizes, place.progress)
        about: Row = {"model": self.name, "seed": self.seed, "kind": self.kind, "split": self.split}
        if self.kind == "difficulty":
            about["contrast"] = round(sum(self.data.contrast) / 2, 4)
            return [{**row, **about} for row in rows]
        check = masking(model, clips.spread(BATCH), sizes(8.0, 20), 20, self.seed)
        return [{**row, **about} for row in rows] + [{**check, "model": self.name, "seed": self.seed}]


@dataclass(frozen=True)
class MakeExamples:
    """Clips for the gallery: clean, perturbation, adversarial, with the model's answers."""

    data: DataConfig
    model: str
    name: str
    sizes: SizeTable
    eps: float
    steps: int
    count: int

    @property
    def title(self) -> str:
        return f"examples of {self.name}"

    @property
    def gradients(self) -> int:
        return self.count * self.steps

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.model,)

    def run(self, place: Place) -> list[Row]:
        data, model = videos(self.data), place.model(self.model)
        right = data.test.spread(BATCH * 2)
        right = right.subset((ranks(model, right) == 0).nonzero().flatten())
        alpha = table(self.sizes)(self.eps, self.steps)
        attack = pgd(self.eps, alpha, self.steps)
        setting = {"model": self.name, "eps": self.eps, "alpha": alpha, "steps": self.steps}
        return examples(model, right.spread(self.count), attack, place.folder, setting)


def single_frame(data: DataConfig) -> DataConfig:
    """The same data seen one frame at a time, for the control that shows whether motion is needed."""
    return replace(data, frames=1)
