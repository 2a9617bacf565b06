"""Watching a training: clean and robust accuracy by epoch, measured alike on training and validation clips.

Both splits are evaluated in evaluation mode, on centre clips, under the same attack. Test clips are never used. The
consequences of an evaluation are in :mod:`vidrobust.training.stopping`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch

from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import digits, robustness_rows
from vidrobust.evaluation.manifest import clips_of
from vidrobust.losses import cross_entropy, predicted
from vidrobust.notation.units import Levels, check_eps
from vidrobust.threats import Linf, Threat
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.notation.policies import AlphaStar
    from vidrobust.runs.rows import Row

AT_ONCE = 8
"""Clips looked at together: large clips would not fit into memory all at once."""


@dataclass(frozen=True)
class Watch:
    """What is evaluated during training, and what follows from it.

    Attributes:
        every: epochs between evaluations; 0 means never.
        clips: clips of each split that are evaluated, spread evenly over it.
        eps: the budget of the attack, in units of 1/255.
        steps: its iterations, of α = ε/4.
        patience: epochs without a better robust accuracy on validation after which training ends, and the best weights
            are kept; 0 goes on to the last epoch.
        collapse: what catastrophic overfitting leads to: training stops with the best weights, or falls back on them
            and goes on with an attack of several steps, or nothing.

    Raises:
        InputError: a value is out of range.
    """

    every: int = 0
    clips: int = 32
    eps: Levels = 8.0
    steps: int = 10
    patience: int = 0
    collapse: Literal["stop", "fall back", "ignore"] = "stop"

    def __post_init__(self) -> None:
        if self.patience and not self.every:
            raise InputError("patience needs something to look at: every must be at least 1.")
        if self.collapse not in ("stop", "fall back", "ignore"):
            raise InputError(f'collapse must be "stop", "fall back" or "ignore", but is {self.collapse!r}.')
        if self.every < 0 or self.clips < 1 or self.steps < 1 or self.patience < 0 or not 0 < self.eps <= 255:
            raise InputError(f"a watch needs every ≥ 0, clips ≥ 1, steps ≥ 1, patience ≥ 0 and 0 < eps ≤ 255: {self}.")
        check_eps("watch.eps", self.eps)


WatchFunction: TypeAlias = "Callable[[nn.Module, Clips, str, int], list[Row]]"
"""Evaluates a model on the clips of a split after an epoch and returns its rows."""


@dataclass(frozen=True)
class Watcher:
    """Evaluates a model after the first epoch, after every few, and after the last.

    Attributes:
        every: epochs between evaluations; 0 means never.
        splits: the clips, by name: ``train`` and ``val``.
        look: gives the rows of one split.
    """

    every: int
    splits: Mapping[str, Clips]
    look: WatchFunction

    def __call__(self, model: nn.Module, row: Row, earlier: Sequence[Row]) -> list[Row]:
        """The rows of all splits; none in epochs without an evaluation.

        Args:
            model: in evaluation mode.
            row: the ``epoch`` row.
            earlier: all rows before it.
        """
        epoch = row["epoch"]
        if not self.every or (epoch % self.every and epoch not in (1, row["epochs"])):
            return []
        return [found for split, clips in self.splits.items() for found in self.look(model, clips, split, epoch)]


def watch_rows(model: nn.Module, clips: Clips, split: str, epoch: int, watch: Watch) -> list[Row]:
    """The ``watch`` row of one split: clean, after one step of ε, and after several of ε/4."""
    device, threat = next(model.parameters()).device, Threat(Linf(), watch.eps * PIXEL)
    several, found = PGD(threat, watch.eps * PIXEL / 4, watch.steps, keep="last"), []
    for part in torch.arange(len(clips)).split(AT_ONCE):
        x, y = clips.centre(part).to(device), clips.labels[part].to(device)
        many, single = several(model, x, y), FGSM(threat)(model, x, y)
        with undisturbed(model), torch.no_grad():
            logits = model(x).float()
        clean, loss = predicted(logits) == y, cross_entropy(logits, y)
        found.append(torch.stack([clean, clean & ~single.success, clean & ~many.success, loss, many.loss], 1).cpu())
    values = torch.cat(found).double()
    loss, robust_loss = values[:, 3:].sum(0).tolist()
    right = {name: values[:, place].bool() for place, name in enumerate(("clean", "single", "robust"))}
    row = {
        "kind": "watch",
        "epoch": epoch,
        "split": split,
        **{name: int(mask.sum()) for name, mask in right.items()},
        "survived": {name: digits(mask) for name, mask in right.items()},
        "clips": len(clips),
        "loss": round(loss / len(clips), 6),
        "robust_loss": round(robust_loss / len(clips), 6),
        "eps": watch.eps,
        "alpha": watch.eps / 4,
        "steps": watch.steps,
        "clips_of": clips_of(clips),
    }
    return [row]


def gaps(
    model: nn.Module,
    clips: Clips,
    split: str,
    epoch: int,
    *,
    eps: Sequence[float],
    steps: int,
    alpha_star: AlphaStar,
    progress: Callable[[int], None],
) -> list[Row]:
    """The ``gap`` rows of one split: accuracy against ε, for how far training and validation lie apart.

    Args:
        model, clips, split, epoch: as :data:`WatchFunction` has them.
        eps: budgets in units of 1/255; 0 is the clean accuracy.
        steps: iterations of PGD.
        alpha_star: its step size, α*(ε, i) in units of 1/255.
        progress: called with the gradients spent.
    """
    rows = robustness_rows(model, clips, eps, (steps,), alpha_star, progress)
    return [{**row, "kind": "gap", "split": split, "epoch": epoch} for row in rows]
