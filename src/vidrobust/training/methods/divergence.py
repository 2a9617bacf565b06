"""Methods whose loss contains a divergence between the outputs for clean and attacked clips: TRADES and MART."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.fast.view import inference_view
from vidrobust.losses import boosted_cross_entropy, divergence, smoothed
from vidrobust.training.crafting import from_random, training_clips
from vidrobust.training.methods.base import OneModel, both
from vidrobust.training.methods.objectives import Batch, Objective, Outcome

if TYPE_CHECKING:
    from vidrobust.notation.policies import Setting
    from vidrobust.training.learner import Learner
    from vidrobust.types import ClipTensor


@dataclass(frozen=True)
class Trades(OneModel):
    """Clean cross-entropy plus β times the divergence under attack (Zhang et al., ICML 2019, equation 5).

    The attack maximises the divergence. Its gradient vanishes at the clean clip, so it starts at random within the
    budget, where the authors start from a little Gaussian noise.
    """

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """One loss."""
        setting, beta, smooth = self.setting(batch), self.number("β"), self.number("smooth")
        attacked = self._attacked(learner, batch, setting)

        def outcome() -> Outcome:
            clean, logits = both(learner, batch.clips, attacked)
            apart = divergence(logits, clean.softmax(1)).mean()
            natural = smoothed(clean, batch.labels, smooth).mean()
            return Outcome(natural + beta * apart, logits)

        yield Objective(outcome)

    def _attacked(self, learner: Learner, batch: Batch, setting: Setting) -> ClipTensor:
        threat = self.threat_at(setting.eps)
        with undisturbed(learner.model), torch.no_grad():
            clean = inference_view(learner.model, batch.clips, learner.precision)(batch.clips).softmax(1)
        return from_random(
            learner.model, batch.clips, clean, setting, threat, batch.seeds, divergence, learner.precision
        )


@dataclass(frozen=True)
class Mart(OneModel):
    """Boosted cross-entropy under attack, and the divergence weighted by how unsure the clean clip is.

    Source: Wang et al., *Improving Adversarial Robustness Requires Revisiting Misclassified Examples*, ICLR 2020,
    equation 11.
    """

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """One loss."""
        setting, beta = self.setting(batch), self.number("β")
        threat = self.threat_at(setting.eps)
        attacked = training_clips(learner.model, batch.clips, batch.labels, setting, threat, learner.precision)

        def outcome() -> Outcome:
            clean, logits = both(learner, batch.clips, attacked)
            sure = clean.softmax(1)
            unsure = 1 - sure.gather(1, batch.labels[:, None]).squeeze(1)
            apart = divergence(logits, sure) * unsure
            return Outcome((boosted_cross_entropy(logits, batch.labels) + beta * apart).mean(), logits)

        yield Objective(outcome)
