"""The jobs that train the models of a study."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from vidrobust.data.dataset import DataConfig, VideoClips
from vidrobust.errors import VidrobustWarning
from vidrobust.evaluation.manifest import manifest_row
from vidrobust.models.building import build
from vidrobust.models.checkpoints import load_model
from vidrobust.notation import parse_policy
from vidrobust.notation.schedules import Clock
from vidrobust.study.config import Gap
from vidrobust.study.jobs import Job, Place, SizeTable, device, open_data, step_size_table
from vidrobust.training.config import FitConfig
from vidrobust.training.methods.table import fitted
from vidrobust.training.stages import accuracies, alpha_star_of, store_weights
from vidrobust.training.trainer import AfterEpoch, train
from vidrobust.training.watch import Watcher, gaps

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class TrainModel(Job):
    """Train one model under one policy; with ``gap``, watch train and validation accuracy on the way."""

    CALLED: ClassVar = "Train"

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
        data = open_data(self.data)
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
            alpha_star=alpha_star_of(
                policy, step_size_table(self.sizes) if self.sizes else _no_sizes, model, data.train
            ),
            checkpoints=place.folder / "checkpoints",
            after_epoch=self._watch(data, place),
            progress=place.progress,
        )
        store_weights(place.folder, model, data, self.policy)
        if not self.gap:
            rows += accuracies(model, data)
        watched = f"{self.name}, watched" if self.gap else self.name
        names = {"epoch": watched}  # the same policy may also be trained unwatched, on other clips
        known = map(manifest_row, self._looked_at(data).values())
        return [*known, *({**row, "model": names.get(row["kind"], self.name), "seed": self.seed} for row in rows)]

    def _looked_at(self, data: VideoClips) -> dict[str, Clips]:
        """The clips of each split that rows are about."""
        if self.gap is None:
            return {"train": data.train, "val": data.val, "test": data.test}
        clips = self.gap.clips
        return {"train": data.train.spread(self.clips).spread(clips), "val": data.val.spread(clips)}

    def _watch(self, data: VideoClips, place: Place) -> AfterEpoch:
        if (gap := self.gap) is None:
            return lambda model, row, earlier: []
        sizes = step_size_table(self.sizes)
        look = partial(gaps, eps=gap.eps, steps=gap.steps, alpha_star=sizes, progress=place.progress)
        return Watcher(gap.every, self._looked_at(data), look)


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
