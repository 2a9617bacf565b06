"""The training loop: epochs, optimisers, several processes, checkpoints, resume.

All randomness of an epoch comes from (seed, epoch), so a run that was killed goes on from its last checkpoint and ends
with the same weights, bit for bit, as one that was not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vidrobust.errors import InputError, RunError, StoppedError
from vidrobust.notation import parse_policy
from vidrobust.policies import AlphaStar, Policy
from vidrobust.runs import Row, content_key
from vidrobust.schedules import Adaptive, Clock
from vidrobust.training.checkpoints import collect, latest, restore, save_checkpoint
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World, parallel
from vidrobust.training.learner import Learner, frozen_before
from vidrobust.training.making import method_of
from vidrobust.training.methods import loss_at
from vidrobust.training.objectives import Batch, Method, Objective, Outcome
from vidrobust.training.precision import training_dtype
from vidrobust.training.rates import gradient_norm, set_rate
from vidrobust.training.weights import Average

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from vidrobust.data.clips import Clips

HELD_OUT = 64
"""Training clips, at most, on which adaptive methods measure the adversarial loss; they are not trained on."""


def no_alpha_star(eps: float, steps: int) -> float:
    """Stands in where a policy does not use α*."""
    raise InputError("the policy uses α*, but no table of optimal step sizes was given (alpha_star=…).")


@dataclass
class Progress:
    """Where a training stands, as plain values: with the tensors of a checkpoint, all that the next step depends on.

    Attributes:
        epoch, step: what runs next, from 0.
        loss, correct, norm, seen: sums over the epoch's batches so far, over all processes.
        losses: the adversarial losses last measured, as pairs (ε, loss).
        alphas: the step sizes found in this epoch, by "ε i".
        rows: of the finished epochs.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: float = 0.0
    norm: float = 0.0
    seen: float = 0.0
    losses: list[list[float]] = field(default_factory=list)
    alphas: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    @property
    def standing(self) -> tuple[float, ...]:
        """Of each finished epoch, the share of attacked clips that were classified rightly."""
        return tuple(row["correct"] / row["clips"] for row in self.rows if row["kind"] == "epoch")

    def next_epoch(self) -> None:
        """Begin the sums anew."""
        self.epoch, self.step, self.alphas = self.epoch + 1, 0, {}
        self.loss = self.correct = self.norm = self.seen = 0.0


AfterEpoch = Callable[["nn.Module", Row, "Sequence[Row]"], list[Row]]
"""Called with the model, the epoch's row and all rows before it; gives rows to be kept with the run's."""


@dataclass
class Training:
    """One training in progress."""

    learner: Learner
    method: Method
    clips: Clips
    held: Clips | None
    config: FitConfig
    seed: int
    alpha_star: AlphaStar
    optimisers: dict[str, Optimizer]
    average: Average
    generator: torch.Generator
    at: Progress = field(default_factory=Progress)

    @property
    def policy(self) -> Policy:
        """What is followed."""
        return self.method.policy

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return max(1, len(self.clips) // self.config.batch)

    def epoch(self, progress: Callable[[int], None], after_step: Callable[[], None]) -> Row:
        """The rest of the epoch that runs; returns its ``epoch`` row."""
        self._measure_losses(progress)
        self.learner.train()
        for indices, clips in self._batches():
            clock = self._clock(self.at.step)
            total = self.config.epochs * self.steps
            set_rate(self.optimisers.values(), self.config, self.at.epoch * self.steps + self.at.step, total)
            self._note(len(indices), *self._step(indices, clips, clock))
            self.at.step += 1
            progress(len(indices) * self.policy.cost(clock))
            after_step()
        self.learner.eval()
        row = self._row()
        self.at.next_epoch()
        return row

    def fall_back(self) -> None:
        """Follow the policy of the last ``fallback`` row from here on."""
        for row in self.at.rows:
            if row["kind"] == "fallback":
                self.method = method_of(parse_policy(row["policy"]))

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled batches from where the epoch stands, the next one being made while this one is trained on.

        The last clips of the shuffle that do not fill a batch wait for another epoch.
        """
        order = torch.Generator().manual_seed(epoch_seed(self.seed, self.at.epoch))
        shuffled = torch.randperm(len(self.clips), generator=order)
        if self.at.step == 0:
            self.generator.set_state(order.get_state())
        size = min(self.config.batch, len(shuffled))
        parts = [shuffled[step * size : (step + 1) * size] for step in range(self.at.step, self.steps)]
        if not parts:  # stopped after the last step, before the epoch's row was written
            return
        ahead = torch.Generator()
        ahead.set_state(self.generator.get_state())
        with ThreadPoolExecutor(1) as loader:
            coming = loader.submit(self._made, parts[0], ahead)
            for indices, following in zip(parts, [*parts[1:], None], strict=True):
                clips, state = coming.result()
                if following is not None:
                    coming = loader.submit(self._made, following, ahead)
                self.generator.set_state(state)  # a checkpoint after this batch must not know of the next one
                yield indices, clips

    def _made(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        clips = self.learner.world.part(self.clips.augmented(indices, generator))
        return clips, generator.get_state()

    def _step(self, indices: Tensor, clips: Tensor, clock: Clock) -> tuple[Tensor, Tensor, float]:
        """All losses of one batch, each with its step; of the last that classifies the value and right answers."""
        batches = self._micro_batches(indices, clips, clock)
        running = [self.method.objectives(self.learner, batch) for batch in batches]
        loss = right = torch.zeros((), dtype=torch.float64)
        norm = 0.0
        while True:
            shown = []
            of = ""
            for number, (objectives, batch) in enumerate(zip(running, batches, strict=True)):
                with self._seeded(clock, number):
                    objective = next(objectives, None)
                    if objective is None:
                        return loss, right, norm
                    if number == 0:
                        of = objective.of
                        self.optimisers[of].zero_grad(set_to_none=True)
                    shown.append((self._backward(objective, number, len(batches)), batch))
            if not self.method.whole:
                self._average_gradients(of)
            norm = gradient_norm(p for group in self.optimisers[of].param_groups for p in group["params"])
            self.optimisers[of].step()
            if of == "model":
                self.average.after_step(self.learner.model)
            for part, (outcome, batch) in enumerate(shown):
                if outcome.logits is not None:
                    loss = outcome.loss.double() + (loss if part else 0)
                    right = (outcome.logits.argmax(1) == batch.labels).sum().double() + (right if part else 0)

    def _micro_batches(self, indices: Tensor, clips: Tensor, clock: Clock) -> list[Batch]:
        device, world = self.learner.device, self.learner.world
        mine = world.part(indices)
        labels = self.clips.labels[mine].to(device)
        seeds = [clip_seed(self.seed, self.at.epoch, index) for index in mine.tolist()]
        each = len(mine) // self.config.accumulate
        return [
            Batch(
                clips[start : start + each].to(device, non_blocking=True),
                labels[start : start + each],
                tuple(seeds[start : start + each]),
                clock,
                self._alpha,
            )
            for start in range(0, each * self.config.accumulate, each)
        ]

    def _backward(self, objective: Objective, number: int, parts: int) -> Outcome:
        """Forward and backward of one micro-batch, with gradients reduced over processes after the last one."""
        wrapped = self.learner.wrapped.get(self.learner.model)
        if isinstance(wrapped, DistributedDataParallel):
            wrapped.require_backward_grad_sync = number == parts - 1
        outcome = objective.outcome()
        loss = outcome.loss if parts == 1 else outcome.loss / parts
        loss.backward()
        objective.settle()
        return Outcome(loss.detach(), None if outcome.logits is None else outcome.logits.detach())

    def _average_gradients(self, of: str) -> None:
        groups = self.optimisers[of].param_groups
        self.learner.world.mean_([p.grad for group in groups for p in group["params"] if p.grad is not None])

    def _seeded(self, clock: Clock, part: int) -> Any:
        """The global random state of one part of one step (dropout's), the caller's own being left as it was."""
        return seeded(content_seed(self.seed, clock.epoch, clock.step, part, self.learner.world.rank), self.learner)

    def _note(self, clips: int, loss: Tensor, right: Tensor, norm: float) -> None:
        world = self.learner.world
        whole_loss, whole_right = world.sums(loss.item(), right.item())
        if not math.isfinite(whole_loss):
            raise RunError(
                f"the loss became {whole_loss} in epoch {self.at.epoch + 1}, step {self.at.step + 1} of {self.policy}. "
                f"Lower lr ({self.config.lr:g}); the last checkpoint is intact."
            )
        self.at.loss += whole_loss / world.size * clips
        self.at.correct += whole_right
        self.at.norm += norm * clips
        self.at.seen += clips

    def _row(self) -> Row:
        eps, alpha, steps = self.policy.at(self._clock(0), self._alpha)
        last = self.policy.at(self._clock(self.steps - 1), self._alpha)
        return {
            "kind": "epoch",
            "epoch": self.at.epoch + 1,
            "epochs": self.config.epochs,
            "loss": round(self.at.loss / self.at.seen, 6),
            "correct": int(self.at.correct),
            "clips": int(self.at.seen),
            "eps": eps,
            "alpha": alpha,
            "steps": steps,
            "gradient_norm": round(self.at.norm / self.at.seen, 6),
            **({"last": list(last)} if self.policy.by_step else {}),
        }

    def _clock(self, step: int) -> Clock:
        """Where training stands at a step of this epoch."""
        draw = content_seed(self.seed, "draw", self.at.epoch, step) / 2**60
        losses = tuple((eps, loss) for eps, loss in self.at.losses)
        return Clock(self.at.epoch, self.config.epochs, step, self.steps, draw, losses, self.at.standing)

    def _alpha(self, eps: float, steps: int) -> float:
        """α* of this epoch, looked for once; where ε moves with every step, for the next whole ε, and scaled."""
        asked = math.ceil(eps) if self.policy.by_step and not isinstance(self.policy.eps, Adaptive) else eps
        key = f"{asked:g} {steps}"
        if key not in self.at.alphas:
            self.at.alphas[key] = self.alpha_star(asked, steps)
        return self.at.alphas[key] * eps / asked

    def _measure_losses(self, progress: Callable[[int], None]) -> None:
        """For a policy that draws ε by the loss: the loss at each ε, on held-out training clips."""
        rule = self.policy.eps
        if not isinstance(rule, Adaptive) or self.at.epoch % rule.every or self.at.step or self.held is None:
            return
        device = self.learner.device
        clips, labels = self.held.centre(range(len(self.held))).to(device), self.held.labels.to(device)
        found = []
        for eps in rule.grid:
            clock = replace(self._clock(0), draw=0.0, losses=((eps, 1.0),))
            setting = self.policy.at(clock, self._alpha)
            found.append([eps, loss_at(self.learner, self.policy, clips, labels, setting)])
            progress(len(labels) * setting.steps)
        self.at.losses = found


class seeded:  # noqa: N801 - a context manager
    """torch's global random state seeded inside and as it was afterwards."""

    def __init__(self, seed: int, learner: Learner) -> None:
        devices = [learner.device.index or 0] if learner.device.type == "cuda" else []
        self._fork, self._seed = torch.random.fork_rng(devices), seed

    def __enter__(self) -> None:
        self._fork.__enter__()
        torch.manual_seed(self._seed)

    def __exit__(self, *error: Any) -> None:
        self._fork.__exit__(*error)


def content_seed(*parts: object) -> int:
    """A number below 2⁶⁰ from what determines it."""
    return int(content_key(list(parts))[:15], 16)


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for one epoch, unrelated to those of its neighbours."""
    return content_seed(seed, epoch)


def clip_seed(seed: int, epoch: int, clip: int) -> int:
    """A seed for one clip in one epoch."""
    return content_seed(seed, epoch, "clip", clip)


def held_out(clips: Clips, policy: Policy, seed: int) -> tuple[Clips, Clips | None]:
    """The clips trained on, and those that an adaptive policy measures its losses on: whole groups of the training set.

    Raises:
        InputError: there is only one group.
    """
    if not isinstance(policy.eps, Adaptive):
        return clips, None
    sources = [(int(label), group) for label, group in zip(clips.labels, clips.groups, strict=True)]
    groups = sorted({group for _, group in sources}, key=lambda group: content_seed(seed, "held", group))
    if len(groups) < 2:
        raise InputError(f"{policy} needs training clips of at least two groups, to hold one out for measuring losses.")
    aside = set(groups[: max(1, len(groups) // 10)])
    held = [index for index, (_, group) in enumerate(sources) if group in aside]
    rest = [index for index, (_, group) in enumerate(sources) if group not in aside]
    spread = held[:: max(1, math.ceil(len(held) / HELD_OUT))]
    return clips.subset(rest), clips.subset(spread)


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
            classifier, :func:`vidrobust.training.making.fitted` adds.
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
        stopping: asked after each step; when it says so, a checkpoint is written and training ends.

    Returns:
        The ``epoch`` rows and those of ``after_epoch``, in order.

    Raises:
        InputError: there are fewer than 2 clips, or the batch cannot be cut as configured.
        RunError: the loss is no longer finite, or the checkpoint is damaged or of another training.
        StoppedError: ``stopping`` said so.
    """
    world = world or World()
    if len(clips) < 2:
        raise InputError(f"there are {len(clips)} training clips; at least 2 are needed.")
    world.check(min(config.batch, len(clips)), config.accumulate)
    training = begin(model, clips, policy, config, seed, alpha_star, world)
    known = content_key([str(policy), config.outcome, seed, len(clips)])
    found = None if checkpoints is None else latest(checkpoints)
    if found is not None:
        about = restore(found, training.learner, training.optimisers, training.average, training.generator, known)
        training.at = Progress(**about["progress"])

    def save() -> None:
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
        if config.save_every and training.at.step % config.save_every == 0 and checkpoints is not None:
            save()

    while training.at.epoch < config.epochs and not any(row.get("stop") for row in training.at.rows):
        training.fall_back()
        row = training.epoch(progress, after_step)
        training.average.after_epoch(model, training.at.epoch / config.epochs)
        found = world.agreed([row, *after_epoch(model, row, training.at.rows)])
        training.at.rows += json.loads(json.dumps(found))
        if checkpoints is not None:
            save()
    finish(training)
    return training.at.rows


def begin(
    model: nn.Module, clips: Clips, policy: Policy, config: FitConfig, seed: int, alpha_star: AlphaStar, world: World
) -> Training:
    """A training at its start: the model laid out, wrapped for its processes, with its optimisers."""
    sharded = config.parallel == "fsdp" and world.size > 1  # FSDP2 takes contiguous parameters alone
    lay_out(model, torch.contiguous_format if sharded else torch.channels_last_3d)
    trained, held = held_out(clips, policy, seed)
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
