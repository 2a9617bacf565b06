"""The configuration of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidrobust.errors import InputError
from vidrobust.evaluation.corruptions import corruptions

CHOICES = {
    "optimiser": ("adamw", "sgd"),
    "precision": ("auto", "float32", "bfloat16"),
    "parallel": ("ddp", "fsdp"),
}
"""The words that some fields take."""

LARGEST = 1000
"""Of rates and their factors: together they must stay within float32."""


@dataclass(frozen=True)
class FitConfig:
    """How long and how fast to train.

    Attributes:
        epochs: passes over the training clips, at least 1.
        batch: clips per step, over all processes and micro-batches together.
        lr: the highest learning rate; it rises over the first tenth of the steps and falls along a cosine.
        weight_decay: of the optimiser.
        optimiser: ``adamw``, or ``sgd`` with momentum.
        momentum: of SGD.
        freeze: train only from the module of this name on (``layer4``); what comes before it is frozen, its
            BatchNorm statistics too. Empty trains all.
        layer_decay: factor of the learning rate from each top-level module to the one before it.
        head_lr: factor of the learning rate of the last module alone, for a head that is new.
        accumulate: micro-batches per step: each holds ``batch / accumulate`` clips, and so does BatchNorm's statistics.
        checkpointing: keep no activations within the blocks of the network; they are computed again in the backward
            pass.
        precision: ``auto`` is bfloat16 where the hardware has it and its weight gradients can be trusted; ``float32``
            goes for the attacks as well, which are then on the model itself.
        parallel: over several processes, whole copies of the model (``ddp``) or shards of it (``fsdp``).
        augment: corruptions of the training clips besides crops and flips, such as "ucf101-p(kinds=(jumble,jpeg),
            severity=1-3)": each clip of a batch gets one of them, drawn anew in each epoch. Empty corrupts none.
        save_every: steps between two checkpoints within an epoch; 0 saves at the end of each epoch alone.
        keep: how many of the last checkpoints are kept, at least 1.

    Raises:
        InputError: a value is out of range.
        NotationError: ``augment`` names no corruption.
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
    parallel: Literal["ddp", "fsdp"] = "ddp"
    augment: str = ""
    save_every: int = 0
    keep: int = 2

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise InputError(f"epochs must be at least 1 and batch at least 2, not {self.epochs} and {self.batch}.")
        for name in ("lr", "layer_decay", "head_lr"):
            if not 0 < getattr(self, name) <= LARGEST:
                raise InputError(f"{name} must lie above 0 and not above {LARGEST}, but is {getattr(self, name)}.")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, but is {getattr(self, name)!r}.")
        if not 0 <= self.weight_decay <= LARGEST:
            raise InputError(f"weight_decay must lie in [0, {LARGEST}], but is {self.weight_decay}.")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must lie in [0, 1), but is {self.momentum}.")
        if self.accumulate < 1 or self.batch % self.accumulate or self.batch // self.accumulate < 2:
            raise InputError(
                f"accumulate must divide the batch of {self.batch} into parts of at least 2 clips, but is "
                f"{self.accumulate}."
            )
        if self.augment:
            corruptions(self.augment)
        if self.save_every < 0 or self.keep < 1:
            raise InputError(f"save_every must be at least 0 and keep at least 1, not {self.save_every}, {self.keep}.")

    @property
    def fields(self) -> dict[str, object]:
        """All fields but those that came later and are at their defaults: older runs lack them, and go on."""
        return {name: value for name, value in vars(self).items() if name != "augment" or value}

    @property
    def outcome(self) -> dict[str, object]:
        """The fields that the trained weights depend on, for naming a training."""
        aside = ("save_every", "keep", "checkpointing", "parallel")
        return {name: value for name, value in self.fields.items() if name not in aside}
