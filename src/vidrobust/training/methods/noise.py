"""Training for randomised smoothing: Gaussian noise, and a denoiser before a fixed classifier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F
from torch.optim import Adam

from vidrobust.errors import InputError
from vidrobust.losses import smoothed
from vidrobust.models.purifier import Purified
from vidrobust.training.methods.base import OneModel
from vidrobust.training.methods.generative import BETAS, Purifying
from vidrobust.training.methods.objectives import Batch, Objective, Outcome
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from vidrobust.training.config import FitConfig
    from vidrobust.training.learner import Learner
    from vidrobust.types import ClipTensor


def noisy(clips: ClipTensor, sigma: float, seeds: Sequence[int]) -> ClipTensor:
    """Clips with Gaussian noise, each from its own seed; ``sigma`` in units of 1/255. Pixels may leave [0, 1]."""
    generators = (torch.Generator().manual_seed(seed) for seed in seeds)
    drawn = [torch.randn(clips.shape[1:], generator=generator) for generator in generators]
    return clips + sigma * PIXEL * torch.stack(drawn).to(clips)


@dataclass(frozen=True)
class Noisy(OneModel):
    """Noise: cross-entropy of clips with Gaussian noise (Cohen, Rosenfeld and Kolter, ICML 2019, section 3.3)."""

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """One loss."""
        noised = noisy(batch.clips, self.number("σ"), batch.seeds)

        def outcome() -> Outcome:
            logits = learner.logits(noised)
            return Outcome(smoothed(logits, batch.labels, self.number("smooth")).mean(), logits)

        yield Objective(outcome)


@dataclass(frozen=True)
class Denoising(Purifying):
    """Denoise: a purifier alone, before a classifier that stays as it is, trained to undo Gaussian noise.

    Source: Salman, Sun, Yang, Kapoor and Kolter, *Denoised Smoothing*, NeurIPS 2020, section 3: the squared distance to
    the clean clip, and the cross-entropy of what the classifier makes of the denoised one ("stability").
    """

    def prepare(self, learner: Learner) -> None:
        """The model must be a classifier behind a purifier.

        Raises:
            InputError: it is not.
        """
        if not isinstance(learner.model, Purified):
            raise InputError(f"{self.policy} trains a purifier before a classifier: make it by vr.models.purified.")
        learner.model.classifier.requires_grad_(False)
        learner.frozen = (*learner.frozen, *learner.model.classifier.modules())

    def optimisers(self, learner: Learner, config: FitConfig) -> Mapping[str, Optimizer]:
        """Adam for the purifier."""
        assert isinstance(learner.model, Purified)
        return {"purifier": Adam(learner.model.purifier.parameters(), self.number("rate"), BETAS)}

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """One loss."""
        model, noised = learner.model, noisy(batch.clips, self.number("σ"), batch.seeds)
        assert isinstance(model, Purified)

        def outcome() -> Outcome:
            clean = learner.run(model.purifier, noised)
            logits = learner.logits(clean, model.classifier)
            distance = F.mse_loss(clean, batch.clips)
            return Outcome(distance + F.cross_entropy(logits, batch.labels), logits)

        yield Objective(outcome, "purifier")
