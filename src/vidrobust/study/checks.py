"""Checks of a whole study before its first job: what would fail after hours is refused in seconds.

Values out of range are refused where they are made (:mod:`vidrobust.study.config`). Here every training of the plan is
begun, on blank clips of the length, size and number that it will have, and left before its first step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from vidrobust.data.clips import Clips
from vidrobust.data.dataset import DataConfig, check_version
from vidrobust.data.decoding.decoders import decoder
from vidrobust.errors import InputError, VidrobustError
from vidrobust.notation import parse_policy
from vidrobust.study.counts import count_classes
from vidrobust.study.trainings import TrainModel, untrained
from vidrobust.training.crafting import policy_threat, random_points
from vidrobust.training.distributed import World
from vidrobust.training.methods.table import fitted
from vidrobust.training.requirements import check_model
from vidrobust.training.trainer import new_training

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from vidrobust.data.clips import FrameStore
    from vidrobust.notation.policies import Policy
    from vidrobust.study.config import StudyConfig
    from vidrobust.training.config import FitConfig

SOURCES = 10
"""Of the blank clips: some methods hold whole sources out."""


@dataclass(frozen=True)
class BlankFrames:
    """The frames of a split before there are any: grey, one video per clip."""

    count: int
    classes: int
    frames: int
    size: int
    skipped: tuple[tuple[str, str], ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()

    @property
    def labels(self) -> np.ndarray:
        """``N``: each class in turn."""
        return np.arange(self.count, dtype=np.int64) % self.classes

    @property
    def videos(self) -> tuple[str, ...]:
        """Made-up names."""
        return tuple(f"blank {index}" for index in range(self.count))

    @property
    def sources(self) -> tuple[str, ...]:
        """Made-up sources."""
        return tuple(f"source {index % SOURCES}" for index in range(self.count))

    @property
    def shapes(self) -> np.ndarray:
        """``N 3``: frames, height and width of each video."""
        return np.tile([self.frames, self.size, self.size], (self.count, 1))

    def windows(self, index: list[int], times: np.ndarray) -> list[np.ndarray]:
        """``T H W 3`` of each video asked for."""
        return [np.full((self.frames, self.size, self.size, 3), 128, dtype=np.uint8) for _ in index]


def blank_clips(data: DataConfig, count: int, classes: int) -> Clips:
    """Clips of the length and size of a data set, without its videos."""
    store = cast("FrameStore", BlankFrames(count, classes, data.frames, data.size))
    return Clips(store, tuple(map(str, range(classes))), frames=data.frames, size_out=data.size)


def check_study(config: StudyConfig, trainings: Iterable[TrainModel]) -> None:
    """Refuse a study that could not be carried through.

    Args:
        config: the study.
        trainings: all of its plan.

    Raises:
        VidrobustError: its data, its model or one of its trainings cannot be as configured; the message says which.
    """
    decoder(config.clips.decoder)
    if config.clips.version != 1:  # a run of `motion` 1 that has its data needs none made
        check_version(config.clips)
    classes, plain = count_classes(config.clips), DataConfig()
    alike = {}
    for job in trainings:
        data = replace(job.data, contrast=plain.contrast)
        alike.setdefault(replace(job, data=data, seed=0, name="", start=None, sizes=(), gap=None), job)
    asked: set[object] = set()
    for job in alike.values():
        clips = (job.model, job.weights, job.data.frames, job.data.size)
        _check_training(job, classes, ask=clips not in asked)
        asked.add(clips)


def _check_training(job: TrainModel, classes: int, ask: bool) -> None:
    """Begin a training and leave it; ``ask`` its model for the logits of one clip.

    Raises:
        InputError: it cannot be begun.
    """
    try:
        _begin(job, classes, ask)
    except (VidrobustError, RuntimeError, ValueError) as error:
        clips = f"{job.clips} clips of {job.data.frames}×{job.data.size}×{job.data.size}"
        raise InputError(f"{job.title} with {job.model} on {clips} cannot be done: {error}") from error


def _begin(job: TrainModel, classes: int, ask: bool) -> None:
    model = untrained(job.model, job.weights, classes, seed=0)
    rehearse(model, blank_clips(job.data, job.clips, classes), parse_policy(job.policy), job.fit, ask)


def rehearse(model: nn.Module, clips: Clips, policy: Policy, fit: FitConfig, ask: bool = True) -> None:
    """Set up a training and stop before its first step.

    Args:
        model: a classifier; what begins a training (its memory format, frozen parts) is done to it.
        clips: as many as there will be.
        policy: how it would be trained.
        fit: the rest.
        ask: the model for the logits of a clip, too.

    Raises:
        InputError: it cannot be begun.
    """
    if len(clips) < 2:
        raise InputError(f"there are {len(clips)} training clips; at least 2 are needed.")
    if ask:
        check_model(model, clips)
    for part in policy.parts or (policy,):
        random_points(policy_threat(part), clips.centre([0]), [0])  # a support may not fit into the clip
    fit = replace(fit, precision="float32")  # no look at what the hardware can do
    new_training(fitted(model, policy), clips, policy, fit, 0, lambda eps, steps: 1.0, World())
