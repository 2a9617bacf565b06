"""Training with a denoising GAN before the classifier: the GAN alone (APE) or both together (GAT)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn import functional as F
from torch.optim import Adam

from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.losses import smoothed
from vidrobust.models.purifier import Critic, Purified, Purifier, purified
from vidrobust.training.crafting import training_clips
from vidrobust.training.learner import statistics_frozen
from vidrobust.training.methods.base import OneModel
from vidrobust.training.methods.objectives import Batch, Objective, Outcome
from vidrobust.training.rates import default_optimiser

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from vidrobust.training.config import FitConfig
    from vidrobust.training.learner import Learner
    from vidrobust.types import ClipTensor

BETAS = (0.5, 0.999)
"""Of the GAN's optimisers."""

ROUNDS = 2
"""Generator steps for each critic step."""


@dataclass(frozen=True)
class Purifying(OneModel):
    """APE: the denoising GAN alone, before a classifier that stays as it is (APE-GAN, Jin et al. 2019).

    The attack is on the classifier, as published (Kinfu and Vidal 2022, section 5): what it does not know of, the
    purifier, is then trained to undo it. For each batch the critic steps once and the generator twice (``fool`` of the
    critic's loss, as published 0.3, and the rest of the squared distance from the clean clip).
    """

    together: ClassVar[bool] = False
    """Is the classifier trained too?"""

    @property
    def whole(self) -> bool:
        """Its losses go through parts of the model."""
        return False

    def around(self, model: nn.Module, seed: int) -> nn.Module:
        """The model behind a purifier.

        Raises:
            InputError: it has a purifier of another width already than the policy says.
        """
        width = int(self.number("width"))
        channels = (width, 2 * width, 4 * width)
        if not isinstance(model, Purified):
            return purified(model, channels, seed).to(next(model.parameters()).device)
        found = tuple(getattr(model.purifier, "channels", channels))
        if "width" in dict(self.policy.options) and found != channels:
            raise InputError(f"the model's purifier has channels {found}, not width={width}: leave the width out.")
        return model

    def prepare(self, learner: Learner) -> None:
        """The model must be a classifier behind a purifier; the critic is made here.

        Raises:
            InputError: it is not.
        """
        model = learner.model
        if not isinstance(model, Purified) or not isinstance(model.purifier, Purifier):
            raise InputError(f"{self.policy} trains a classifier behind a purifier: make it by vr.models.purified.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            learner.extras["critic"] = Critic(model.purifier.channels).to(learner.device)
        if not self.together:
            model.classifier.requires_grad_(False)
            learner.frozen = (*learner.frozen, *model.classifier.modules())

    def optimisers(self, learner: Learner, config: FitConfig) -> Mapping[str, Optimizer]:
        """Adam for the GAN's two halves, the configured one for the classifier."""
        model = learner.model
        assert isinstance(model, Purified)
        halves = {"generator": model.purifier, "critic": learner.extras["critic"]}
        rate = self.number("rate")
        purified_clips: dict[str, Optimizer] = {
            name: Adam(half.parameters(), rate, BETAS) for name, half in halves.items()
        }
        if self.together:
            purified_clips["model"] = default_optimiser(model.classifier, config)
        return purified_clips

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """The critic's loss, the generator's twice, and the classifier's."""
        model, critic = learner.model, learner.extras["critic"]
        assert isinstance(model, Purified)
        setting = self.setting(batch)
        threat = self.threat_at(setting.eps)
        attacked = training_clips(model.classifier, batch.clips, batch.labels, setting, threat, learner.precision)
        smooth, fool = self.number("smooth"), self.number("fool")

        def criticised() -> Outcome:
            purified_clips = _purified(learner, model, attacked)
            verdicts = learner.run(critic, torch.cat([batch.clips, purified_clips]))
            return Outcome(F.binary_cross_entropy_with_logits(verdicts, _kinds(batch.clips, purified_clips)), None)

        def restored() -> Outcome:
            purified_clips = learner.run(model.purifier, attacked)
            passing = learner.run(critic, purified_clips)
            fooled = F.binary_cross_entropy_with_logits(passing, torch.ones_like(passing))
            loss = (1 - fool) * F.mse_loss(purified_clips, batch.clips) + fool * fooled
            return Outcome(loss, None if self.together else _answers(model, purified_clips))

        def classified() -> Outcome:
            purified_clips = _purified(learner, model, attacked)
            logits = learner.logits(purified_clips, model.classifier)
            return Outcome(smoothed(logits, batch.labels, smooth).mean(), logits)

        yield Objective(criticised, "critic")
        for _ in range(ROUNDS):
            yield Objective(restored, "generator")
        if self.together:
            yield Objective(classified)


@dataclass(frozen=True)
class PurifyingTogether(Purifying):
    """GAT: the GAN, and after it in each batch the classifier on purified clips (Kinfu and Vidal 2022, section 5)."""

    together: ClassVar[bool] = True


def _purified(learner: Learner, model: Purified, attacked: ClipTensor) -> ClipTensor:
    """Purified clips as inputs of critic and classifier; the purifier's running statistics are not updated."""
    with torch.no_grad(), statistics_frozen(model.purifier):
        return learner.run(model.purifier, attacked)


def _answers(model: Purified, purified_clips: ClipTensor) -> torch.Tensor:
    """The logits of the frozen classifier for purified clips; they are only reported."""
    with undisturbed(model.classifier), torch.no_grad():
        return model.classifier(purified_clips.detach()).float()


def _kinds(clean: ClipTensor, purified_clips: ClipTensor) -> torch.Tensor:
    """1 for clean clips, 0 for purified ones."""
    return torch.cat([clean.new_ones(len(clean)), purified_clips.new_zeros(len(purified_clips))])
