"""Training as one call: begin, epoch after epoch with checkpoints, finish; and going on after a kill.

A run that was killed goes on from its last checkpoint and ends with the same weights, bit for bit, as one that was not.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrobust.errors import InputError, StoppedError
from vidrobust.models.multibn import MultiBN
from vidrobust.notation.policies import AlphaStar, Policy
from vidrobust.runs.keys import content_key
from vidrobust.runs.rows import Row
from vidrobust.training.adaptive import held_out
from vidrobust.training.checkpoints import collect, latest, restore, save_checkpoint
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World
from vidrobust.training.learner import Learner, frozen_before
from vidrobust.training.loop import Progress, Training
from vidrobust.training.methods.making import method_of
from vidrobust.training.methods.weights import Average
from vidrobust.training.parallel import parallel
from vidrobust.training.precision import training_dtype

if TYPE_CHECKING:
    from vidrobust.data.clips import Clips


LONG = 5.0
"""Seconds of a look at the model that a kill should not cost the epoch before it."""


def no_alpha_star(eps: float, steps: int) -> float:
    """Stands in where a policy does not use α*."""
    raise InputError("the policy uses α*, but no table of optimal step sizes was given (alpha_star=…).")


AfterEpoch = Callable[["nn.Module", Row, "Sequence[Row]"], list[Row]]
"""Called with the model, the epoch's row and all rows before it; gives rows to be kept with the run's."""


def train(
    model: nn.Module,
    clips: Clips,
    policy: Policy,
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
            classifier, :func:`vidrobust.training.methods.making.fitted` adds.
        clips: the training split.
        policy: as :func:`vidrobust.notation.parse_policy` gives it.
        config: epochs, batch, learning rate and the rest.
        seed: of the order of clips and their augmentation.
        alpha_star: α*(ε, i) for policies that use it, in units of 1/255.
        checkpoints: a folder written to after each epoch; if it holds a checkpoint, training goes on from it.
        after_epoch: called with the model, the epoch's row and all rows before it; the rows it returns are kept with
            the run's. A row with ``"stop": true`` ends training; one of kind ``fallback`` changes its policy.
        progress: called with the clip-gradients spent since the last call.
        world: the processes that train together; each must call this.
        stopping: asked after each step; when it says so, a checkpoint is written and training ends. Where
            ``after_epoch`` takes long, one is written before it, so that a kill then loses nothing.

    Returns:
        The ``epoch`` rows and those of ``after_epoch``, in order.

    Raises:
        InputError: there are fewer than 2 clips, or the batch cannot be cut as configured.
        RunError: the loss or a weight is no longer finite, or the checkpoint is damaged or of another training.
        StoppedError: ``stopping`` said so.
    """
    world = world or World()
    if len(clips) < 2:
        raise InputError(f"there are {len(clips)} training clips; at least 2 are needed.")
    known = content_key([str(policy), config.outcome, seed, len(clips), fingerprint(model)])
    training = begin(model, clips, policy, config, seed, alpha_star, world)
    found = None if checkpoints is None else latest(checkpoints)
    if found is not None:
        about = restore(found, training.learner, training.optimisers, training.average, training.generator, known)
        training.at = Progress(**about["progress"])

    def save() -> None:
        training.check()
        tensors = collect(training.learner, training.optimisers, training.average, training.generator)
        if world.first and checkpoints is not None:
            about = {"training": known, "progress": asdict(training.at)}
            name = f"epoch-{training.at.epoch:05d}-{training.at.step:06d}"
            save_checkpoint(checkpoints, name, tensors, about, config.keep)

    def after_step() -> None:
        if world.sums(float(stopping()))[0]:
            if checkpoints is not None:
                save()
            raise StoppedError(f"training was stopped in epoch {training.at.epoch + 1}, after step {training.at.step}.")
        due = config.save_every and training.at.step % config.save_every == 0
        if checkpoints is not None and (due or (training.at.step == training.steps and looked > LONG)):
            save()

    looked = 0.0
    try:
        while training.at.epoch < config.epochs and not any(row.get("stop") for row in training.at.rows):
            training.fall_back()
            row = training.epoch(progress, after_step)
            training.check()
            training.average.after_epoch(model, training.at.epoch / config.epochs)
            stepped = training.average.exchange(model)  # what is looked at, and maybe kept as the best, is what is kept
            started = time.monotonic()
            found = world.agreed([row, *after_epoch(model, row, training.at.rows)])
            looked = world.agreed(time.monotonic() - started)
            if stepped is not None and not any(row["kind"] == "fallback" for row in found):
                model.load_state_dict(stepped)
            training.at.rows += json.loads(json.dumps(found))
            if checkpoints is not None:
                save()
    finally:
        training.learner.wrapped.clear()  # what reduces gradients must go before the processes part
    finish(training)
    return training.at.rows


def begin(
    model: nn.Module, clips: Clips, policy: Policy, config: FitConfig, seed: int, alpha_star: AlphaStar, world: World
) -> Training:
    """A training at its start: the model laid out, wrapped for its processes, with its optimisers."""
    sharded = config.parallel == "fsdp" and world.size > 1  # FSDP2 takes contiguous parameters alone
    lay_out(model, torch.contiguous_format if sharded else torch.channels_last_3d)
    trained, held = held_out(clips, policy, seed)
    world.check(min(config.batch, len(trained)), config.accumulate)
    if config.checkpointing and isinstance(model, MultiBN):
        raise InputError("checkpointing cannot tell BatchNorm branches apart: train MultiBN without it.")
    if sharded and (policy.modifier("EMA") is not None or policy.modifier("SWA") is not None):
        raise InputError("a sharded model (parallel=fsdp) cannot be averaged: use ddp, or no EMA and SWA.")
    if next(model.parameters(), None) is None:
        raise InputError("the model has no weights to train.")
    frozen = frozen_before(model, config.freeze)
    example = clips.centre([0]).to(next(model.parameters()).device)
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(config.precision)
    exact = "exact" if config.precision == "float32" else "auto"
    learner = Learner(model, world, dtype or training_dtype(model, example), exact, config.checkpointing, frozen)
    method = method_of(policy)
    method.prepare(learner)
    parallel(learner, config.parallel, method.whole)
    optimisers = dict(method.optimisers(learner, config))
    average = Average(model, policy)
    return Training(learner, method, trained, held, config, seed, alpha_star, optimisers, average, torch.Generator())


def fingerprint(model: nn.Module) -> str:
    """A name for the weights that a training starts from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def lay_out(model: nn.Module, layout: torch.memory_format) -> None:
    """The weights of 3D convolutions in one memory format; two-dimensional ones, as patch embeddings have, stay."""
    for part in model.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=layout)  # type: ignore[call-overload]


def finish(training: Training) -> None:
    """Leave the model in evaluation mode, unfrozen, with the averaged weights if the policy keeps those."""
    model = training.learner.model
    for module in training.learner.frozen:
        module.requires_grad_(True)
    if training.average.started:
        model.load_state_dict(training.average.weights())
    model.eval()
