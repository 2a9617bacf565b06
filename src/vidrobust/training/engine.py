"""The training loop: epochs, optimiser, precision, checkpoints, resume.

All randomness of an epoch comes from (seed, epoch), so a run that was killed goes on from its last epoch and ends with
the same weights, bit for bit, as one that was not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from vidrobust.errors import InputError, RunError
from vidrobust.losses import cross_entropy
from vidrobust.models.checkpoints import load_tensors, save_tensors
from vidrobust.notation import Policy, Setting
from vidrobust.runs import Row, content_key
from vidrobust.schedules import Clock
from vidrobust.training.fine_tuning import channels_last, checkpointed, optimiser_of
from vidrobust.training.methods import training_clips
from vidrobust.training.precision import training_dtype

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.data.clips import Clips


@dataclass(frozen=True)
class FitConfig:
    """How long and how fast to train.

    Attributes:
        epochs: passes over the training clips, at least 1.
        batch: clips a step.
        lr: the highest learning rate; it rises over the first tenth of the steps and falls along a cosine.
        weight_decay: of the optimiser.
        optimiser: ``adamw``, or ``sgd`` with ``momentum``.
        momentum: of SGD.
        freeze: train from the module of this name on (``layer4``), and leave all before it as it is.
        layer_decay: factor of the learning rate from one top-level module to the one before it, 1 being none.
        head_lr: factor of the last layer's learning rate.
        accumulate: parts in which a batch is run; its gradients are summed before the step.
        checkpointing: keep only the inputs of blocks in memory and run them again in the backward pass.
        precision: ``auto`` takes bfloat16 where the hardware has it and its gradients can be trusted.
    """

    epochs: int = 10
    batch: int = 32
    lr: float = 3e-3
    weight_decay: float = 0.01
    optimiser: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9
    freeze: str = ""
    layer_decay: float = 1.0
    head_lr: float = 1.0
    accumulate: int = 1
    checkpointing: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise InputError(f"epochs must be at least 1 and batch at least 2, not {self.epochs} and {self.batch}.")
        if not self.lr > 0:
            raise InputError(f"lr must be above 0, but is {self.lr}.")
        if not (0 < self.layer_decay <= 1 and self.head_lr > 0 and 1 <= self.accumulate <= self.batch):
            raise InputError(
                f"layer_decay lies in (0, 1], head_lr above 0 and accumulate in 1…batch, not {self.layer_decay}, "
                f"{self.head_lr} and {self.accumulate}."
            )


TRAINING_STEP = 2
"""What training on a clip costs, in input gradients: weight gradients about double the backward pass."""

AlphaStar = Callable[[float, int], float]
"""The optimal step size for (ε, iterations), all in units of 1/255."""


def no_alpha_star(eps: float, steps: int) -> float:
    """Stands in where a policy does not use α*."""
    raise InputError("the policy uses α*, but no table of optimal step sizes was given (alpha_star=…).")


@dataclass
class Fit:
    """One training in progress: what changes from epoch to epoch."""

    model: nn.Module
    clips: Clips
    policy: Policy
    config: FitConfig
    seed: int
    alpha_star: AlphaStar
    dtype: torch.dtype
    optimiser: torch.optim.Optimizer

    def epoch(self, epoch: int, progress: Callable[[int], None]) -> Row:
        """One pass over the clips; returns its ``epoch`` row."""
        clock = Clock(epoch, self.config.epochs)
        setting = self.policy.at(clock, self.alpha_star)
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, epoch))
        loss, correct, seen = 0.0, 0, 0
        self.model.train()
        for step, indices in enumerate(self._batches(generator)):
            self._set_rate(epoch * self.steps_per_epoch + step)
            batch_loss, batch_correct = self._step(indices, setting, generator)
            loss, correct, seen = loss + batch_loss * len(indices), correct + batch_correct, seen + len(indices)
            progress(len(indices) * (TRAINING_STEP + (setting.steps if setting.eps > 0 else 0)))
        self.model.eval()
        if not math.isfinite(loss):
            raise RunError(
                f"the loss became {loss} in epoch {epoch + 1} of {self.policy}. Lower lr ({self.config.lr})."
            )
        return {
            "kind": "epoch",
            "epoch": epoch + 1,
            "epochs": self.config.epochs,
            "loss": round(loss / seen, 6),
            "correct": correct,
            "clips": seen,
            "eps": setting.eps,
            "alpha": setting.alpha,
            "steps": setting.steps,
        }

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.clips) // self.config.batch)

    def _batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffled batches; the last clips of the shuffle that do not fill a batch wait for another epoch."""
        order = torch.randperm(len(self.clips), generator=generator)
        size = min(self.config.batch, len(order))
        for step in range(self.steps_per_epoch):
            yield order[step * size : (step + 1) * size]

    def _set_rate(self, step: int) -> None:
        total = self.config.epochs * self.steps_per_epoch
        warm = max(1, total // 10)
        falling = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
        for group in self.optimiser.param_groups:
            rate = self.config.lr * ((step + 1) / warm if step < warm else falling)
            group["lr"] = rate * group["scale"]

    def _step(self, indices: Tensor, setting: Setting, generator: torch.Generator) -> tuple[float, int]:
        device = next(self.model.parameters()).device
        self.optimiser.zero_grad(set_to_none=True)
        total, correct = 0.0, 0
        for part in indices.chunk(self.config.accumulate):
            labels = self.clips.labels[part].to(device)
            clips = self.clips.augmented(part, generator).to(device)
            clips = training_clips(self.model, clips, labels, setting)
            clips = clips.contiguous(memory_format=torch.channels_last_3d)
            with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
                logits = self.model(clips)
            logits = logits.float()
            loss = cross_entropy(logits, labels).sum() / len(indices)
            loss.backward()
            total, correct = total + loss.item(), correct + int((logits.argmax(1) == labels).sum())
        self.optimiser.step()
        return total, correct

    def state(self) -> dict[str, Tensor]:
        """All tensors that the next epoch depends on."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in slots.items()}
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        slots: dict[int, dict[str, Tensor]] = {}
        weights: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part == "model":
                weights[rest] = tensor
            else:
                index, _, slot = rest.partition(".")
                slots.setdefault(int(index), {})[slot] = tensor
        self.model.load_state_dict(weights)
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": slots, "param_groups": groups})


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for one epoch, unrelated to those of its neighbours."""
    return int(content_key([seed, epoch])[:15], 16)


def train(
    model: nn.Module,
    clips: Clips,
    policy: Policy,
    config: FitConfig,
    *,
    seed: int = 0,
    alpha_star: AlphaStar = no_alpha_star,
    checkpoint: Path | None = None,
    after_epoch: Callable[[nn.Module, Row], list[Row]] = lambda model, row: [],
    progress: Callable[[int], None] = lambda gradients: None,
) -> list[Row]:
    """Train a model in place under a policy.

    Args:
        model: from clips to logits; trained in place, left in evaluation mode.
        clips: the training split.
        policy: ``standard``, ``AT(…)`` or ``CAL(…)``, as :func:`vidrobust.notation.parse_policy` gives it.
        config: epochs, batch, learning rate.
        seed: of the order of clips and their augmentation.
        alpha_star: α*(ε, i) for policies that use it, in units of 1/255.
        checkpoint: a file written after each epoch; if it exists, training goes on from it.
        after_epoch: called with the model and the epoch's row; the rows it returns are kept with the run's.
        progress: called with the clip-gradients spent since the last call.

    Returns:
        The ``epoch`` rows and those of ``after_epoch``, in order.

    Raises:
        InputError: there are fewer than 2 clips.
        RunError: the loss is no longer finite, or the checkpoint is damaged or of another training.
    """
    if len(clips) < 2:
        raise InputError(f"there are {len(clips)} training clips; at least 2 are needed.")
    if not any(True for _ in model.parameters()):
        raise InputError("the model has no weights to train: an ONNX file can be evaluated, not trained.")
    channels_last(model)
    device = next(model.parameters()).device
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    dtype = known.get(config.precision) or training_dtype(model, clips.centre([0]).to(device))
    optimiser = optimiser_of(model, config)
    running = Fit(model, clips, policy, config, seed, alpha_star, dtype, optimiser)
    about = {"training": content_key([str(policy), asdict(config), seed, len(clips)])}
    done, rows = _resume(running, checkpoint, about)
    for epoch in range(done, config.epochs):
        with checkpointed(model, config.checkpointing):
            rows.append(running.epoch(epoch, progress))
        rows += after_epoch(model, rows[-1])
        if checkpoint is not None:
            save_tensors(checkpoint, running.state(), {**about, "epoch": epoch + 1, "rows": rows})
    model.eval()
    return rows


def _resume(running: Fit, checkpoint: Path | None, about: dict[str, Any]) -> tuple[int, list[Row]]:
    if checkpoint is None or not checkpoint.exists():
        return 0, []
    tensors, found = load_tensors(checkpoint)
    if found.get("training") != about["training"]:
        raise RunError(f"{checkpoint} belongs to another training. Choose another --out, or delete it.")
    try:
        running.load(tensors)
    except (RuntimeError, ValueError, KeyError) as error:
        raise RunError(f"{checkpoint} does not fit this model ({error}). Delete it to train from the start.") from error
    return int(found["epoch"]), json.loads(json.dumps(found["rows"]))
