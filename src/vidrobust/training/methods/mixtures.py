"""Training against several threats at once: the mean of their losses, the largest, or BatchNorm branches for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from vidrobust.errors import InputError
from vidrobust.losses import smoothed
from vidrobust.models.multibn import MultiBN, branched
from vidrobust.training.methods.base import OneModel
from vidrobust.training.methods.objectives import Batch, Objective, Outcome

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.training.learner import Learner
    from vidrobust.training.methods.adversarial import Adversarial


@dataclass(frozen=True)
class Mean(OneModel):
    """``AVG``: the mean of a clip's losses under several threats.

    Source: Tramèr and Boneh, *Adversarial Training and Robustness for Multiple Perturbations*, NeurIPS 2019, section 3.
    """

    parts: tuple[Adversarial, ...] = ()

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """One loss, over as many attacked copies of the batch as there are threats."""
        sides = [part.attacked(learner, batch) for part in self.parts]

        def outcome() -> Outcome:
            logits = learner.logits(torch.cat(sides))
            parts = zip(logits.chunk(len(sides)), self.parts, strict=True)
            each = torch.stack([smoothed(side, batch.labels, part.number("smooth")) for side, part in parts])
            worst = each.argmax(0)
            rows = torch.arange(len(batch.labels), device=logits.device)
            answers = logits.view(len(sides), len(batch.labels), -1)[worst, rows]
            return Outcome(self.of_threats(each).mean(), answers)

        yield Objective(outcome)

    def of_threats(self, losses: Tensor) -> Tensor:
        """What is trained on of the losses of each threat and clip, ``threats B``."""
        return losses


@dataclass(frozen=True)
class Worst(Mean):
    """``MAX``: for each clip the largest of its losses (the same source)."""

    def of_threats(self, losses: Tensor) -> Tensor:
        """``B``: the largest of each clip."""
        return losses.amax(0)


@dataclass(frozen=True)
class Branches(OneModel):
    """MultiBN: clean clips and those of each threat through BatchNorm branches of their own.

    The detector that weighs the branches is trained beside them, on the same clips, to tell which branch each belongs
    to. Source: Lo and Patel, *Defending Against Multiple and Unforeseen Adversarial Videos*, IEEE TIP 2021.
    """

    parts: tuple[Adversarial, ...] = ()

    @property
    def whole(self) -> bool:
        """Its losses go through parts of the model."""
        return False

    def around(self, model: nn.Module, seed: int) -> nn.Module:
        """The model with a branch for clean clips and one for each threat.

        Raises:
            InputError: it has another number of branches already.
        """
        wanted = len(self.parts) + 1
        if not isinstance(model, MultiBN):
            return branched(model, wanted, seed).to(next(model.parameters()).device)
        if model.branches != wanted:
            raise InputError(f"the model has {model.branches} BatchNorm branches, and this policy needs {wanted}.")
        return model

    def prepare(self, learner: Learner) -> None:
        """The model must have the branches already (:func:`vidrobust.models.multibn.branched`).

        Raises:
            InputError: it has not, or not as many.
        """
        wanted = len(self.parts) + 1
        if not isinstance(learner.model, MultiBN) or learner.model.branches != wanted:
            raise InputError(f"{self.policy} needs a model with {wanted} BatchNorm branches (vr.models.branched).")

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """The losses of each branch and of the detector, as one."""
        sides = [batch.clips, *(part.attacked(learner, batch) for part in self.parts)]
        smooth = [0.0, *(part.number("smooth") for part in self.parts)]
        model = learner.model
        assert isinstance(model, MultiBN)

        def outcome() -> Outcome:
            losses: list[torch.Tensor] = []
            logits = torch.zeros(0)
            for branch, clips in enumerate(sides):
                logits = learner.logits(clips, model.use(branch))
                losses.append(smoothed(logits, batch.labels, smooth[branch]).mean())
            detected = learner.run(model.detector, torch.cat(sides))
            kinds = torch.arange(len(sides), device=detected.device).repeat_interleave(len(batch.labels))
            return Outcome(torch.stack(losses).mean() + F.cross_entropy(detected, kinds), logits)

        yield Objective(outcome)
