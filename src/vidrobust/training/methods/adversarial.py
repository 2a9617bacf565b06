"""The methods of training that need no parts of their own: what one batch's losses are.

Each is a few lines over one loop (:mod:`vidrobust.training.loop`): given a batch it yields losses, and the loop steps
them. Where clean and attacked clips are both trained on, they go through the network together, so that BatchNorm has
the statistics of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.base import undisturbed
from vidrobust.fast.view import inference_view
from vidrobust.losses import boosted_cross_entropy, divergence, smoothed
from vidrobust.training.crafting import (
    friendly_clips,
    from_random,
    one_step_from_noise,
    setting_of,
    threat_of,
    training_clips,
)
from vidrobust.training.methods.objectives import Batch, Objective, Outcome
from vidrobust.training.rates import default_optimiser

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from vidrobust.notation.policies import Policy, Setting
    from vidrobust.training.config import FitConfig
    from vidrobust.training.learner import Learner
    from vidrobust.types import Clips, Logits


@dataclass(frozen=True)
class OneModel:
    """What methods have in common that train the model alone with one optimiser."""

    policy: Policy

    @property
    def whole(self) -> bool:
        """Every loss is one forward pass of the model."""
        return True

    def prepare(self, learner: Learner) -> None:
        """Nothing is trained besides the model."""

    def optimisers(self, learner: Learner, config: FitConfig) -> Mapping[str, Optimizer]:
        """One for the model."""
        return {"model": default_optimiser(learner.model, config)}


@dataclass(frozen=True)
class Adversarial(OneModel):
    """Cross-entropy of attacked clips (Madry et al., ICLR 2018, section 2), and of clean ones where ``mix`` says so.

    ``standard``, ``AT``, ``fAT``, ``CAL``, ``AAT``, ``Friendly``, ``FGSM-RS`` and ``N-FGSM`` differ in the clips alone.
    """

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """One loss."""
        attacked = attacked_clips(self.policy, learner, batch)
        mix, smooth = float(self.policy.option("mix")), float(self.policy.option("smooth"))

        def outcome() -> Outcome:
            if not mix:
                logits = learner.logits(attacked)
                return Outcome(smoothed(logits, batch.labels, smooth).mean(), logits)
            clean, logits = both(learner, batch.clips, attacked)
            losses = torch.stack([smoothed(side, batch.labels, smooth).mean() for side in (clean, logits)])
            return Outcome(mix * losses[0] + (1 - mix) * losses[1], logits)

        yield Objective(outcome)


def attacked_clips(policy: Policy, learner: Learner, batch: Batch) -> Clips:
    """The clips that a policy trains on at this batch."""
    setting, model = setting_of(policy, batch), learner.model
    threat = threat_of(policy, setting.eps)
    if policy.family == "Friendly":
        tau = int(policy.option("τ"))
        return friendly_clips(model, batch.clips, batch.labels, setting, threat, tau, learner.precision)
    if policy.family == "FGSM-RS":
        return from_random(model, batch.clips, batch.labels, setting, threat, batch.seeds, precision=learner.precision)
    if policy.family == "N-FGSM":
        return one_step_from_noise(model, batch, setting, policy, learner.precision)
    return training_clips(model, batch.clips, batch.labels, setting, threat, learner.precision)


def both(learner: Learner, clean: Clips, attacked: Clips) -> tuple[Logits, Logits]:
    """The logits of clean and of attacked clips, through the network together."""
    first, second = learner.logits(torch.cat([clean, attacked])).chunk(2)
    return first, second


@dataclass(frozen=True)
class Trades(OneModel):
    """Clean cross-entropy plus β times the divergence under attack (Zhang et al., ICML 2019, equation 5).

    The attack maximises the divergence. Its gradient vanishes at the clean clip, so it starts at random within the
    budget, where the authors start from a little Gaussian noise.
    """

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """One loss."""
        setting, beta = setting_of(self.policy, batch), float(self.policy.option("β"))
        attacked = self._attacked(learner, batch, setting)

        def outcome() -> Outcome:
            clean, logits = both(learner, batch.clips, attacked)
            apart = divergence(logits, clean.softmax(1)).mean()
            natural = smoothed(clean, batch.labels, float(self.policy.option("smooth"))).mean()
            return Outcome(natural + beta * apart, logits)

        yield Objective(outcome)

    def _attacked(self, learner: Learner, batch: Batch, setting: Setting) -> Clips:
        threat = threat_of(self.policy, setting.eps)
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
        setting, beta = setting_of(self.policy, batch), float(self.policy.option("β"))
        threat = threat_of(self.policy, setting.eps)
        attacked = training_clips(learner.model, batch.clips, batch.labels, setting, threat, learner.precision)

        def outcome() -> Outcome:
            clean, logits = both(learner, batch.clips, attacked)
            sure = clean.softmax(1)
            unsure = 1 - sure.gather(1, batch.labels[:, None]).squeeze(1)
            apart = divergence(logits, sure) * unsure
            return Outcome((boosted_cross_entropy(logits, batch.labels) + beta * apart).mean(), logits)

        yield Objective(outcome)


@dataclass(frozen=True)
class Free(OneModel):
    """Each batch ``m`` times: one backward pass moves the weights and the perturbation (Shafahi et al., NeurIPS 2019).

    The perturbation goes on from batch to batch, as in the authors' algorithm 1. A run of as many epochs costs m times
    as many training steps: for equal cost, divide the epochs by m.
    """

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """``m`` losses."""
        setting = setting_of(self.policy, batch)
        feasible = threat_of(self.policy, setting.eps).around(batch.clips)
        moved = learner.carried.get(f"free{batch.part}", torch.zeros(0))
        free = feasible.start
        if moved.shape == free.shape:
            free = feasible.project(free + moved.to(free))
        for _ in range(int(self.policy.option("m"))):
            free = free.detach().requires_grad_(True)
            point = feasible.clips(free)
            leaf = point.detach().requires_grad_(True)

            def outcome(leaf: Clips = leaf) -> Outcome:
                logits = learner.logits(leaf)
                return Outcome(smoothed(logits, batch.labels, float(self.policy.option("smooth"))).mean(), logits)

            yield Objective(outcome)
            if setting.eps > 0 and leaf.grad is not None:
                gradient = leaf.grad if point is free else torch.autograd.grad(point, free, leaf.grad)[0]
                free = feasible.step(free.detach(), gradient, setting.eps / 255)
        learner.carried[f"free{batch.part}"] = (free.detach() - feasible.start).contiguous()
