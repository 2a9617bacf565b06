"""Adversarial training with the cross-entropy of attacked clips, under several attacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.losses import smoothed
from vidrobust.training.crafting import friendly_clips, from_random, one_step_from_noise, training_clips
from vidrobust.training.methods.base import OneModel, both
from vidrobust.training.methods.objectives import Batch, Objective, Outcome

if TYPE_CHECKING:
    from vidrobust.training.learner import Learner
    from vidrobust.types import ClipTensor


@dataclass(frozen=True)
class Adversarial(OneModel):
    """Cross-entropy of attacked clips (Madry et al., ICLR 2018, section 2), and of clean ones where ``mix`` says so.

    ``AT``, ``fAT``, ``CAL`` and ``AAT`` differ in their schedules alone; in ``standard``, ε is 0.
    """

    def attacked(self, learner: Learner, batch: Batch) -> ClipTensor:
        """The clips that are trained on at this batch: after PGD from the clean clip."""
        setting = self.setting(batch)
        threat = self.threat_at(setting.eps)
        return training_clips(learner.model, batch.clips, batch.labels, setting, threat, learner.precision)

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """One loss."""
        attacked = self.attacked(learner, batch)
        mix, smooth = self.number("mix"), self.number("smooth")

        def outcome() -> Outcome:
            if not mix:
                logits = learner.logits(attacked)
                return Outcome(smoothed(logits, batch.labels, smooth).mean(), logits)
            clean, logits = both(learner, batch.clips, attacked)
            losses = torch.stack([smoothed(side, batch.labels, smooth).mean() for side in (clean, logits)])
            return Outcome(mix * losses[0] + (1 - mix) * losses[1], logits)

        yield Objective(outcome)


@dataclass(frozen=True)
class Friendly(Adversarial):
    """Attacks that stop τ steps after the clip is misclassified (Zhang et al., ICML 2020, algorithm 1)."""

    def attacked(self, learner: Learner, batch: Batch) -> ClipTensor:
        """The clips after the stopped attack."""
        setting = self.setting(batch)
        threat, tau = self.threat_at(setting.eps), int(self.number("τ"))
        return friendly_clips(learner.model, batch.clips, batch.labels, setting, threat, tau, learner.precision)


@dataclass(frozen=True)
class RandomStart(Adversarial):
    """FGSM-RS: one step from a random start (Wong, Rice and Kolter, ICLR 2020)."""

    def attacked(self, learner: Learner, batch: Batch) -> ClipTensor:
        """The clips after the step, within the budget."""
        setting = self.setting(batch)
        threat, how = self.threat_at(setting.eps), learner.precision
        return from_random(learner.model, batch.clips, batch.labels, setting, threat, batch.seeds, precision=how)


@dataclass(frozen=True)
class NoisyStart(Adversarial):
    """N-FGSM: one step from noise that the clip keeps (de Jorge et al., NeurIPS 2022, algorithm 1)."""

    def attacked(self, learner: Learner, batch: Batch) -> ClipTensor:
        """The clips after noise of k·ε and a step of α."""
        setting = self.setting(batch)
        noise, step = self.threat_at(self.number("k") * setting.eps), self.threat_at(setting.alpha)
        return one_step_from_noise(learner.model, batch, setting, noise, step, learner.precision)
