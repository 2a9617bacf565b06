"""Free adversarial training: every gradient moves the weights and the clips alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.losses import smoothed
from vidrobust.training.methods.base import OneModel
from vidrobust.training.methods.objectives import Batch, Objective, Outcome

if TYPE_CHECKING:
    from vidrobust.training.learner import Learner
    from vidrobust.types import ClipTensor


@dataclass(frozen=True)
class Free(OneModel):
    """Each batch ``m`` times: one backward pass moves the weights and the perturbation (Shafahi et al., NeurIPS 2019).

    The perturbation goes on from batch to batch, as in the authors' algorithm 1. A run of as many epochs costs m times
    as many training steps: for equal cost, divide the epochs by m.
    """

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """``m`` losses."""
        setting, smooth = self.setting(batch), self.number("smooth")
        feasible = self.threat_at(setting.eps).around(batch.clips)
        moved = learner.carried.get(f"free{batch.part}", torch.zeros(0))
        free = feasible.start
        if moved.shape == free.shape:
            free = feasible.project(free + moved.to(free))
        for _ in range(int(self.number("m"))):
            free = free.detach().requires_grad_(True)
            point = feasible.clips(free)
            leaf = point.detach().requires_grad_(True)

            def outcome(leaf: ClipTensor = leaf) -> Outcome:
                logits = learner.logits(leaf)
                return Outcome(smoothed(logits, batch.labels, smooth).mean(), logits)

            yield Objective(outcome)
            if setting.eps > 0 and leaf.grad is not None:
                gradient = leaf.grad if point is free else torch.autograd.grad(point, free, leaf.grad)[0]
                free = feasible.step(free.detach(), gradient, setting.eps / 255)
        learner.carried[f"free{batch.part}"] = (free.detach() - feasible.start).contiguous()
