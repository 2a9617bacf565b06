"""Training against several threats at once: the mean, the worst, or BatchNorm branches of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from vidrobust.errors import InputError
from vidrobust.losses import smoothed
from vidrobust.models.multibn import MultiBN
from vidrobust.training.learner import Learner
from vidrobust.training.methods.adversarial import OneModel, attacked_clips
from vidrobust.training.methods.objectives import Batch, Objective, Outcome


@dataclass(frozen=True)
class Mixture(OneModel):
    """The mean (``AVG``) or for each clip the largest (``MAX``) of its losses under several threats.

    Source: Tramèr and Boneh, *Adversarial Training and Robustness for Multiple Perturbations*, NeurIPS 2019, section 3.
    """

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """One loss, over as many attacked copies of the batch as there are threats."""
        sides = [attacked_clips(part, learner, batch) for part in self.policy.parts]

        def outcome() -> Outcome:
            logits = learner.logits(torch.cat(sides))
            parts = zip(logits.chunk(len(sides)), self.policy.parts, strict=True)
            each = torch.stack([smoothed(side, batch.labels, float(part.option("smooth"))) for side, part in parts])
            worst = each.argmax(0)
            shown = logits.view(len(sides), len(batch.labels), -1)[worst, torch.arange(len(batch.labels))]
            return Outcome((each.amax(0) if self.policy.family == "MAX" else each).mean(), shown)

        yield Objective(outcome)


@dataclass(frozen=True)
class Branches(OneModel):
    """MultiBN: clean clips and those of each threat through BatchNorm branches of their own.

    The detector that weighs the branches is trained beside them, on the same clips, to tell which branch each belongs
    to. Source: Lo and Patel, *Defending Against Multiple and Unforeseen Adversarial Videos*, IEEE TIP 2021.
    """

    @property
    def whole(self) -> bool:
        """Its losses go through parts of the model."""
        return False

    def prepare(self, learner: Learner) -> None:
        """The model must have the branches already (:func:`vidrobust.models.multibn.branched`).

        Raises:
            InputError: it has not, or not as many.
        """
        wanted = len(self.policy.parts) + 1
        if not isinstance(learner.model, MultiBN) or learner.model.branches != wanted:
            raise InputError(f"{self.policy} needs a model with {wanted} BatchNorm branches (vr.models.branched).")

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """The losses of each branch and of the detector, as one."""
        sides = [batch.clips, *(attacked_clips(part, learner, batch) for part in self.policy.parts)]
        smooth = [0.0, *(float(part.option("smooth")) for part in self.policy.parts)]
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
