"""Training for certificates by bounds: interval bound propagation (IBP)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrobust.errors import InputError
from vidrobust.evaluation.certificates.backward import lower_bounds
from vidrobust.evaluation.certificates.bounds import others
from vidrobust.evaluation.certificates.interval import around, intervals
from vidrobust.evaluation.certificates.network import network_of
from vidrobust.losses import smoothed
from vidrobust.notation.schedules import EqualsEps
from vidrobust.training.methods.base import OneModel
from vidrobust.training.methods.objectives import Batch, Objective, Outcome
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.training.learner import Learner
    from vidrobust.types import ClipTensor, Labels, Logits


@dataclass(frozen=True)
class Intervals(OneModel):
    """IBP: κ·clean cross-entropy + (1 - κ)·that of the worst logits (Gowal et al. 2018, equation 13).

    With a schedule of ε, κ falls from 1 to its value in proportion as ε rises to its largest value, so that one
    schedule moves both (section 4 there moves both over the same steps). A fixed ε is warmed up
    (:func:`vidrobust.notation.schedules.warm_up`) at a κ that stays: in its first, geometric part the bounds tighten,
    for which their loss must count. BatchNorm normalises the bounds by the statistics of the clean batch.
    """

    @property
    def whole(self) -> bool:
        """The bounds go through the layers one by one."""
        return False

    def prepare(self, learner: Learner) -> None:
        """The model must be one that bounds can be propagated through.

        Raises:
            InputError: it is not, or several processes train it: BatchNorm's statistics would differ between them.
        """
        if learner.world.size > 1:
            raise InputError("IBP trains in one process: BatchNorm's statistics of the bounds are those of its batch.")
        network_of(learner.model, _as_it_is)

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """One loss, whose logits are the worst ones: what is counted as right is certified."""
        eps, smooth = self.setting(batch).eps, self.number("smooth")
        assert not isinstance(self.policy.eps, EqualsEps)
        risen = 1.0 if self.policy.warms_up else eps / max(*astuple(self.policy.eps), 1e-9)
        share = 1 - (1 - self.number("κ")) * risen

        def outcome() -> Outcome:
            with batch_statistics(learner.model) as seen:
                clean = learner.logits(batch.clips)
            natural = smoothed(clean, batch.labels, smooth).mean()
            if eps <= 0:
                return Outcome(natural, clean)
            worst = worst_logits(learner.model, batch.clips, batch.labels, eps * PIXEL, seen)
            return Outcome(share * natural + (1 - share) * smoothed(worst, batch.labels, smooth).mean(), worst)

        yield Objective(outcome)


def _as_it_is(numbers: Tensor) -> Tensor:
    return numbers


def worst_logits(
    model: nn.Module, clips: ClipTensor, labels: Labels, eps: float, statistics: dict[nn.Module, tuple[Tensor, Tensor]]
) -> Logits:
    """``B K``: 0 for the true class, and for each other one the most by which its logit can exceed the class's."""
    network = network_of(model, _as_it_is, statistics)
    found = intervals(network, around(clips, eps, rounding=False), rounding=False)
    margins = lower_bounds(network, found, others(labels, found[-1].lower), network.output, relax=False)
    rest = torch.arange(len(margins), device=labels.device)[:, None]
    return torch.zeros_like(found[-1].lower).scatter(1, (rest + (rest >= labels)).T, -margins.T)


@contextlib.contextmanager
def batch_statistics(model: nn.Module) -> Iterator[dict[nn.Module, tuple[Tensor, Tensor]]]:
    """Collects the mean and variance of what each BatchNorm layer in training mode is shown inside."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def see(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features = inputs[0].float()
        seen[module] = (features.mean((0, 2, 3, 4)), features.var((0, 2, 3, 4), correction=0))

    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm3d) and part.training]
    handles = [norm.register_forward_pre_hook(see) for norm in norms]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
