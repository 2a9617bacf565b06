"""The training loop: the epochs and steps of one training, and its state.

All randomness of an epoch is derived from (seed, epoch).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.parallel import DistributedDataParallel

from vidrobust.errors import InputError, RunError
from vidrobust.evaluation.corruptions import corruptions
from vidrobust.losses import predicted
from vidrobust.notation import parse_policy
from vidrobust.notation.policies import AlphaStar, Policy
from vidrobust.notation.schedules import Adaptive, Clock
from vidrobust.runs.code import reading_files
from vidrobust.runs.rows import Row
from vidrobust.training.adaptive import adaptive_now, loss_at
from vidrobust.training.augmenting import corrupted
from vidrobust.training.config import FitConfig
from vidrobust.training.crafting import policy_threat
from vidrobust.training.learner import Learner
from vidrobust.training.methods.objectives import Batch, Method, Objective, Outcome
from vidrobust.training.methods.table import method_of
from vidrobust.training.methods.weights import WeightAverage
from vidrobust.training.randomness import clip_seed, content_seed, epoch_seed, seeded
from vidrobust.training.rates import gradient_norm, set_rate
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from vidrobust.data.clips import Clips


@dataclass
class TrainingState:
    """The state of a training as plain values; with the tensors of a checkpoint, all that the next step depends on.

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
        """The accuracy on attacked clips in each finished epoch."""
        return tuple(row["correct"] / row["clips"] for row in self.rows if row["kind"] == "epoch")

    def next_epoch(self) -> None:
        """Go to the next epoch, with the sums reset."""
        self.epoch, self.step, self.alphas = self.epoch + 1, 0, {}
        self.loss = self.correct = self.norm = self.seen = 0.0


class Loaded(NamedTuple):
    """This process's share of a batch, as the loader made it.

    Attributes:
        size: clips of the whole batch.
        clips: ``B C T H W`` in [0, 1], augmented.
        labels: ``B``.
        seeds: one per clip.
        state: of the generator of the augmentation, after this batch.
    """

    size: int
    clips: Tensor
    labels: Tensor
    seeds: tuple[int, ...]
    state: Tensor


@dataclass
class Training:
    """One training in progress.

    Attributes:
        learner: the model.
        method: what yields the losses.
        clips: the clips trained on.
        held: clips held out, on which adaptive methods measure losses.
        config: epochs, batch, learning rate and the rest.
        seed: all randomness is derived from it.
        alpha_star: α*(ε, i) in units of 1/255.
        optimisers: by name.
        average: of the weights, over training.
        generator: of the augmentation.
        at: the state.
    """

    learner: Learner
    method: Method
    clips: Clips
    held: Clips | None
    config: FitConfig
    seed: int
    alpha_star: AlphaStar
    optimisers: dict[str, Optimizer]
    average: WeightAverage
    generator: torch.Generator
    at: TrainingState = field(default_factory=TrainingState)

    @property
    def policy(self) -> Policy:
        """The policy of the method."""
        return self.method.policy

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return max(1, len(self.clips) // self.config.batch)

    @property
    def done(self) -> bool:
        """Whether all epochs are trained, or early stopping ended the training."""
        return self.at.epoch >= self.config.epochs or any(row.get("stop") for row in self.at.rows)

    def epoch(self, progress: Callable[[int], None], after_step: Callable[[], None]) -> Row:
        """The rest of the epoch that runs; returns its ``epoch`` row."""
        if self.held is not None and adaptive_now(self.policy, self.at.epoch, self.at.step):
            self.at.losses = self._measured(self.held, progress)
        self.learner.train()
        for loaded in self._batches():
            spent = loaded.size * self.policy.cost(self.step(loaded))
            self.at.step += 1
            progress(spent)
            after_step()
        self.learner.eval()
        row = self._row()
        self.at.next_epoch()
        return row

    def step(self, loaded: Loaded) -> Clock:
        """Train on one batch; returns where training stood."""
        clock, total = self._clock(self.at.step), self.config.epochs * self.steps
        set_rate(self.optimisers.values(), self.config, self.at.epoch * self.steps + self.at.step, total)
        self._note(loaded.size, self._step(loaded, clock))
        return clock

    def fall_back(self) -> None:
        """Follow the policy of the last ``fallback`` row from here on."""
        for row in self.at.rows:
            if row["kind"] == "fallback":
                with reading_files((str(self.policy),)):  # a checkpoint's rows come from a file
                    self.method = method_of(parse_policy(row["policy"]))

    def _batches(self) -> Iterator[Loaded]:
        """Shuffled batches from the current step on; the next one is prepared while the current one is trained on.

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
            coming = loader.submit(self.load, parts[0], ahead)
            for following in [*parts[1:], None]:
                loaded = coming.result()
                if following is not None:
                    coming = loader.submit(self.load, following, ahead)
                self.generator.set_state(loaded.state)  # a checkpoint after this batch must not know of the next one
                yield loaded

    def load(self, indices: Tensor, generator: torch.Generator) -> Loaded:
        """This process's clips of a batch, micro-batch by micro-batch; in pinned memory for a GPU."""
        rows = self.learner.world.rows(len(indices), self.config.accumulate)
        mine = indices[rows]
        clips, labels = self.clips.augmented(indices, generator, rows), self.clips.labels[mine]
        if self.config.augment:
            draws = [content_seed(self.seed, self.at.epoch, "augment", index) for index in mine.tolist()]
            clips = corrupted(clips, corruptions(self.config.augment), draws)
        if self.learner.device.type == "cuda":
            clips, labels = clips.pin_memory(), labels.pin_memory()
        seeds = tuple(clip_seed(self.seed, self.at.epoch, index) for index in mine.tolist())
        return Loaded(len(indices), clips, labels, seeds, generator.get_state())

    def _step(self, loaded: Loaded, clock: Clock) -> Tensor:
        """All losses of one batch, each with its step.

        Returns:
            float64, on the device: of the last objective that classifies the loss and the number of right answers, and
            the norm of the last gradient.
        """
        batches = self._micro_batches(loaded, clock)
        running = [self.method.objectives(self.learner, batch) for batch in batches]
        loss = right = norm = torch.zeros((), dtype=torch.float64, device=self.learner.device)
        while True:
            answered = []
            of = ""
            for number, (objectives, batch) in enumerate(zip(running, batches, strict=True)):
                with self._seeded(clock, number):
                    objective = next(objectives, None)
                    if objective is None:
                        for others in running[number + 1 :]:
                            next(others, None)  # what they carry to the next batch
                        return torch.stack([loss, right, norm])
                    if number == 0:
                        of = objective.of
                        self.optimisers[of].zero_grad(set_to_none=True)
                    answered.append((self._backward(objective, number, len(batches)), batch))
            if not self.method.whole:
                self._average_gradients(of)
            norm = gradient_norm(p for group in self.optimisers[of].param_groups for p in group["params"]).double()
            self.optimisers[of].step()
            if of == "model":
                self.average.after_step(self.learner.model)
            for part, (outcome, batch) in enumerate(answered):
                if outcome.logits is not None:
                    loss = outcome.loss.double() + (loss if part else 0)
                    right = (predicted(outcome.logits) == batch.labels).sum().double() + (right if part else 0)

    def _micro_batches(self, loaded: Loaded, clock: Clock) -> list[Batch]:
        device = self.learner.device
        labels = loaded.labels.to(device, non_blocking=True)
        each = len(loaded.labels) // self.config.accumulate
        return [
            Batch(
                loaded.clips[start : start + each].to(device, non_blocking=True),
                labels[start : start + each],
                loaded.seeds[start : start + each],
                clock,
                self._alpha,
                number,
            )
            for number, start in enumerate(range(0, each * self.config.accumulate, each))
        ]

    def _backward(self, objective: Objective, number: int, parts: int) -> Outcome:
        """Forward and backward of one micro-batch, with gradients reduced over processes after the last one."""
        wrapped = self.learner.wrapped.get(self.learner.model)
        if isinstance(wrapped, DistributedDataParallel):
            wrapped.require_backward_grad_sync = number == parts - 1
        outcome = objective.outcome()
        if not outcome.loss.requires_grad:
            raise InputError(
                "the loss does not depend on any weight that is trained: does the model's forward detach its logits, "
                "or run under torch.no_grad?"
            )
        loss = outcome.loss if parts == 1 else outcome.loss / parts
        loss.backward()
        if isinstance(wrapped, DistributedDataParallel) and number == parts - 1:
            check_reduced(self.learner.model)
        objective.settle()
        return Outcome(loss.detach(), None if outcome.logits is None else outcome.logits.detach())

    def _average_gradients(self, of: str) -> None:
        groups = self.optimisers[of].param_groups
        self.learner.world.mean_([p.grad for group in groups for p in group["params"] if p.grad is not None])

    def _seeded(self, clock: Clock, part: int) -> Any:
        """The global random state of one part of one step, as dropout draws from it; the caller's is restored."""
        return seeded(content_seed(self.seed, clock.epoch, clock.step, part, self.learner.world.rank), self.learner)

    def _note(self, clips: int, numbers: Tensor) -> None:
        """Add the numbers of a step to the epoch's sums: the only time in a step that the host waits for the device."""
        world = self.learner.world
        loss, right, norm = numbers.tolist()
        whole_loss, whole_right = world.sums(loss, right)
        if not math.isfinite(whole_loss):
            raise self._diverged(f"the loss became {whole_loss}", self.at.step + 1)
        if not math.isfinite(norm):
            raise self._diverged(f"the norm of the gradient became {norm}", self.at.step + 1)
        self.at.loss += whole_loss / world.size * clips
        self.at.correct += whole_right
        self.at.norm += norm * clips
        self.at.seen += clips

    def check(self) -> None:
        """Check that trained weights are finite, before they are evaluated or stored. A collective operation.

        Raises:
            RunError: some are not.
        """
        local = [getattr(tensor, "to_local", lambda tensor=tensor: tensor)() for tensor in self.learner.trained]
        sound = torch.stack([tensor.isfinite().all() for tensor in local]).all()
        if self.learner.world.sums(float(not sound))[0]:
            raise self._diverged("weights became NaN or infinite", self.at.step)

    def _diverged(self, what: str, step: int) -> RunError:
        where = f"epoch {self.at.epoch + 1}, step {step}" if step else f"epoch {self.at.epoch}"  # at its end
        return RunError(
            f"{what} in {where} of {self.policy}. "
            f"The last checkpoint is intact; for a lower lr than {self.config.lr:g} choose another --out."
        )

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
        return scaled_alpha(self.policy, self._alpha_of_epoch, eps, steps)

    def _alpha_of_epoch(self, eps: float, steps: int) -> float:
        """α* of this epoch, looked for once."""
        key = f"{eps:g} {steps}"
        if key not in self.at.alphas:
            self.at.alphas[key] = self.alpha_star(eps, steps)
        return self.at.alphas[key]

    def _measured(self, held: Clips, progress: Callable[[int], None]) -> list[list[float]]:
        """The adversarial loss at each ε that an adaptive policy draws from."""
        assert isinstance(self.policy.eps, Adaptive)
        found, threat = [], policy_threat(self.policy)
        for eps in self.policy.eps.grid:
            setting = self.policy.at(replace(self._clock(0), draw=0.0, losses=((eps, 1.0),)), self._alpha)
            found.append([eps, loss_at(self.learner, replace(threat, eps=setting.eps * PIXEL), held, setting)])
            progress(len(held) * setting.steps)
        return found


def scaled_alpha(policy: Policy, alpha_star: AlphaStar, eps: float, steps: int) -> float:
    """α*(ε, i); where ε moves with every step, that of the next whole ε, scaled."""
    asked = math.ceil(eps) if policy.by_step and not isinstance(policy.eps, Adaptive) else eps
    return alpha_star(asked, steps) * eps / asked


def check_reduced(model: nn.Module) -> None:
    """Refuse a weight without a gradient, for which the processes of DDP would wait at the next step.

    Raises:
        InputError: the loss does not depend on a weight that is trained.
    """
    names = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    if names:
        raise InputError(
            f"the loss does not depend on {', '.join(names[:3])}{' …' if len(names) > 3 else ''}, as on an auxiliary "
            "head: several processes cannot train it. Freeze it (requires_grad_(False)), or train in one process."
        )
