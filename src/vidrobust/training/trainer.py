"""The trainer: sets a training up, runs its epochs, writes checkpoints and resumes from them.

A training that was killed resumes from its last checkpoint and ends with the same weights, bit for bit, as one that was
not interrupted, on the same device.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrobust.errors import InputError, StoppedError
from vidrobust.models.fingerprint import fingerprint
from vidrobust.models.multibn import MultiBN
from vidrobust.notation.policies import AlphaStar, Policy
from vidrobust.runs.keys import content_key
from vidrobust.runs.rows import Row
from vidrobust.training.adaptive import held_out
from vidrobust.training.checkpoints import collect, latest, restore_checkpoint, save_checkpoint
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World
from vidrobust.training.learner import Learner, frozen_before
from vidrobust.training.loop import Training, TrainingState
from vidrobust.training.methods.table import method_of, name_of
from vidrobust.training.methods.weights import WeightAverage
from vidrobust.training.parallel import parallel
from vidrobust.training.precision import training_dtype
from vidrobust.training.requirements import check_model, check_trained

if TYPE_CHECKING:
    from vidrobust.data.clips import Clips
    from vidrobust.training.methods.objectives import Method


LONG = 5.0
"""If the evaluation after an epoch takes more seconds than this, a checkpoint is written before it."""


def no_alpha_star(eps: float, steps: int) -> float:
    """The ``alpha_star`` of policies that do not use α*; raises if it is called."""
    raise InputError("the policy uses α*, but no table of optimal step sizes was given (alpha_star=…).")


AfterEpoch = Callable[["nn.Module", Row, "Sequence[Row]"], list[Row]]
"""Called with the model, the epoch's row and all rows before it; gives rows to be kept with the run's."""


def train(
    model: nn.Module,
    clips: Clips,
    policy: Policy | Method,
    config: FitConfig,
    *,
    seed: int = 0,
    alpha_star: AlphaStar = no_alpha_star,
    checkpoints: Path | None = None,
    after_epoch: AfterEpoch = lambda model, row, earlier: [],
    progress: Callable[[int], None] = lambda gradients: None,
    world: World | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> list[Row]:
    """Train a model in place under a policy.

    Args:
        model: from clips to logits; trained in place, left in evaluation mode. What a policy needs besides a
            classifier, :func:`vidrobust.training.methods.table.fitted` adds.
        clips: the training split.
        policy: as :func:`vidrobust.notation.parse_policy` gives it, or a method of your own
            (:class:`vidrobust.training.methods.objectives.Method`).
        config: epochs, batch, learning rate and the rest.
        seed: of the order of clips and their augmentation.
        alpha_star: α*(ε, i) for policies that use it, in units of 1/255.
        checkpoints: a folder written to after each epoch; if it holds a checkpoint, training goes on from it.
        after_epoch: called with the model, the epoch's row and all rows before it; the rows it returns are kept with
            the run's. A row with ``"stop": true`` ends training; one of kind ``fallback`` changes its policy.
        progress: called with the clip-gradients spent since the last call.
        world: the processes that train together; each must call this.
        stopping: called after each step; if it returns True, a checkpoint is written and training ends. If
            ``after_epoch`` takes long, a checkpoint is written before it.

    Returns:
        The ``epoch`` rows and those of ``after_epoch``, in order.

    Raises:
        InputError: there are fewer than 2 clips, the batch cannot be cut as configured, or the model cannot be trained
            on them (:func:`vidrobust.training.requirements.check_model`).
        RunError: the loss or a weight is no longer finite, or the checkpoint is damaged or of another training.
        StoppedError: ``stopping`` said so.
    """
    world = world or World()
    if len(clips) < 2:
        raise InputError(f"there are {len(clips)} training clips; at least 2 are needed.")
    classes = check_model(model, clips, seed)
    check_trained(model)
    method = method_of(policy)
    key = content_key([name_of(method), config.outcome, seed, len(clips), fingerprint(model)])
    with flags_restored(model):
        training = new_training(model, clips, method, config, seed, alpha_star, world)
        training.learner.classes = classes
        saver = Checkpoints(training, checkpoints, key, stopping)
        saver.resume()
        try:
            while not training.done:
                _epoch(training, saver, after_epoch, progress)
        finally:
            training.learner.wrapped.clear()  # what reduces gradients must go before the processes part
        if training.average.started:
            model.load_state_dict(training.average.weights())
    return training.at.rows


def _epoch(training: Training, saver: Checkpoints, after_epoch: AfterEpoch, progress: Callable[[int], None]) -> None:
    """One epoch, the look at the model after it, and a checkpoint."""
    model, world = training.learner.model, training.learner.world
    training.fall_back()
    row = training.epoch(progress, saver.after_step)
    training.check()
    training.average.after_epoch(model, training.at.epoch / training.config.epochs)
    stepped = training.average.exchange(model)  # what is looked at, and maybe kept as the best, is what is kept
    started = time.monotonic()
    rows = world.agreed([row, *after_epoch(model, row, training.at.rows)])
    saver.looked = world.agreed(time.monotonic() - started)
    if stepped is not None and not any(row["kind"] == "fallback" for row in rows):
        model.load_state_dict(stepped)
    training.at.rows += json.loads(json.dumps(rows))
    saver.save()


@dataclass
class Checkpoints:
    """Writes the checkpoints of a training after steps and epochs, and resumes from the last one.

    Attributes:
        training: what is saved.
        folder: where; None saves nothing.
        key: the name of the training, so that no other goes on from its checkpoints.
        stopping: is the training to stop?
        looked: seconds that the last look at the model took.
    """

    training: Training
    folder: Path | None
    key: str
    stopping: Callable[[], bool]
    looked: float = 0.0

    def resume(self) -> None:
        """Restore the last checkpoint, if there is one."""
        found = None if self.folder is None else latest(self.folder)
        if found is not None:
            to = self.training
            about = restore_checkpoint(found, to.learner, to.optimisers, to.average, to.generator, self.key)
            to.at = TrainingState(**about["progress"])

    def save(self) -> None:
        """Write a checkpoint. A collective operation: every process must call it."""
        if self.folder is None:
            return
        of = self.training
        of.check()
        tensors = collect(of.learner, of.optimisers, of.average, of.generator)
        if of.learner.world.first:
            about = {"training": self.key, "progress": asdict(of.at)}
            name = f"epoch-{of.at.epoch:05d}-{of.at.step:06d}"
            save_checkpoint(self.folder, name, tensors, about, of.config.keep)

    def after_step(self) -> None:
        """Write a checkpoint if one is due, or if the evaluation that follows the epoch takes long.

        Raises:
            StoppedError: the training is to stop; it is saved.
        """
        at, every = self.training.at, self.training.config.save_every
        if self.training.learner.world.sums(float(self.stopping()))[0]:
            self.save()
            raise StoppedError(f"training was stopped in epoch {at.epoch + 1}, after step {at.step}.")
        if (every and at.step % every == 0) or (at.step == self.training.steps and self.looked > LONG):
            self.save()


@contextlib.contextmanager
def flags_restored(model: nn.Module) -> Iterator[None]:
    """On exit, the model is in evaluation mode and ``requires_grad`` of each parameter is what it was on entry."""
    flags = {name: weight.requires_grad for name, weight in model.named_parameters()}
    try:
        yield
    finally:
        for name, weight in model.named_parameters():
            weight.requires_grad_(flags[name])
        model.eval()


def new_training(
    model: nn.Module,
    clips: Clips,
    policy: Policy | Method,
    config: FitConfig,
    seed: int,
    alpha_star: AlphaStar,
    world: World,
) -> Training:
    """Set up a training: memory format, frozen modules, precision, method, processes, optimisers and averages."""
    sharded = config.parallel == "fsdp" and world.size > 1  # FSDP2 takes contiguous parameters alone
    lay_out(model, torch.contiguous_format if sharded else torch.channels_last_3d)
    method = method_of(policy)
    policy = method.policy
    trained, held = held_out(clips, policy, seed)
    world.check(min(config.batch, len(trained)), config.accumulate)
    if config.checkpointing and isinstance(model, MultiBN):
        raise InputError("checkpointing cannot tell BatchNorm branches apart: train MultiBN without it.")
    if sharded and (policy.modifier("EMA") is not None or policy.modifier("SWA") is not None):
        raise InputError("a sharded model (parallel=fsdp) cannot be averaged: use ddp, or no EMA and SWA.")
    frozen = frozen_before(model, config.freeze)
    example = clips.centre([0]).to(next(model.parameters()).device)
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(config.precision)
    exact = "exact" if config.precision == "float32" else "auto"
    learner = Learner(model, world, dtype or training_dtype(model, example), exact, config.checkpointing, frozen)
    method.prepare(learner)
    parallel(learner, config.parallel, method.whole)
    optimisers = dict(method.optimisers(learner, config))
    average = WeightAverage(model, policy)
    return Training(learner, method, trained, held, config, seed, alpha_star, optimisers, average, torch.Generator())


def lay_out(model: nn.Module, layout: torch.memory_format) -> None:
    """The weights of 3D convolutions in one memory format; two-dimensional ones, as patch embeddings have, stay."""
    for part in model.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=layout)  # type: ignore[call-overload]
