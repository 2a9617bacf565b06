"""Auto-PGD: projected gradient ascent that halves its own step size (Croce & Hein, ICML 2020, sections 3 and 4).

The only parameter is the number of steps. The step size starts at 2ε and is halved at checkpoints where the loss has not
risen often enough, and the search goes on from the best point so far. For L1 the steps are sparse, and the sparsity is
what is adapted (Croce & Hein, ICML 2021, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.chase import Chase, chase
from vidrobust.attacks.inference import Precision
from vidrobust.errors import InputError
from vidrobust.losses import cross_entropy, targeted_dlr
from vidrobust.threats import L1, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.attacks.engine import AttackResult
    from vidrobust.losses import Loss, TargetedLoss
    from vidrobust.types import Clips, Labels, Logits

RHO = 0.75
"""The share of steps since the last checkpoint in which the loss must have risen."""

MOMENTUM = 0.25
"""How much of the last move goes into the next (1 - 0.75 of the paper)."""


@dataclass(frozen=True)
class APGD:
    """Auto-PGD on one loss (Croce & Hein, ICML 2020, algorithm 1; L1: ICML 2021, algorithm 1).

    Args:
        threat: where the perturbed clips may lie.
        steps: gradients a restart, at least 1.
        loss: what is maximised, one number a clip: :func:`~vidrobust.losses.cross_entropy`,
            :func:`~vidrobust.losses.dlr`, :func:`~vidrobust.losses.margin` or one's own.
        restarts: runs from random starts, on the clips that still stand.
        seed: of the starts, which depend on the clip and not on the batch it is in.
        precision: ``exact`` switches off the fast copy of the model; the verdict is float32 in both.

    Raises:
        InputError: a value is out of its range.

    >>> from vidrobust.threats import Linf
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> clips, labels = torch.rand(5, 3, 2, 4, 4), torch.zeros(5, dtype=torch.int64)
    >>> result = APGD(Threat(Linf(), eps=8 / 255), steps=10)(model, clips, labels)
    >>> bool((result.clips - clips).abs().max() <= 8 / 255)
    True
    """

    threat: Threat
    steps: int = 100
    loss: Loss = cross_entropy
    restarts: int = 1
    seed: int = 0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, restarts=self.restarts)

    def __call__(self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was."""
        with chase(model, self.threat, clips, labels, self.loss, self.precision) as run:
            generators = run.generators(self.seed)
            for _ in range(self.restarts):
                if not run.over:
                    climb(run, run.random(generators), self.threat, self.steps)
            return run.result()


@dataclass(frozen=True)
class TargetedAPGD:
    """Auto-PGD towards one wrong class after another, the likeliest first (APGD-T; Croce & Hein, ICML 2020, section 5).

    Success is any wrong class, as in :class:`APGD`; the targets only give each run another loss.

    Args:
        threat: where the perturbed clips may lie.
        steps: gradients a target, at least 1.
        targets: wrong classes to try (at most K - 1 exist).
        loss: from logits, labels and targets to one number a clip.
        seed, precision: as in :class:`APGD`.

    Raises:
        InputError: a value is out of its range, or the loss needs more classes than the model has.
    """

    threat: Threat
    steps: int = 100
    targets: int = 9
    loss: TargetedLoss = targeted_dlr
    seed: int = 0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, targets=self.targets)

    def __call__(self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was."""
        with chase(model, self.threat, clips, labels, self.loss, self.precision) as run:
            generators = run.generators(self.seed)
            for target in likeliest_wrong(run, self.targets):
                if run.over and run.best_loss.isfinite().all():
                    break
                run.extras = (target,)
                run.renew()
                climb(run, run.random(generators), self.threat, self.steps)
            return run.result()


def at_least_one(**counts: int) -> None:
    """Refuse counts that are not whole numbers of at least 1.

    >>> at_least_one(steps=0)
    Traceback (most recent call last):
    ...
    vidrobust.errors.InputError: steps must be a whole number of at least 1, but is 0.
    """
    for name, count in counts.items():
        if count < 1 or int(count) != count:
            raise InputError(f"{name} must be a whole number of at least 1, but is {count}.")


def likeliest_wrong(run: Chase, count: int) -> list[Labels]:
    """The wrong classes of each clip by falling logit on the clean clip, at most ``count`` tensors ``B``."""
    logits = run.view(run.feasible.clips(run.feasible.start))
    run.spent[0] += 1
    ranked = logits.scatter(1, run.labels[:, None], -torch.inf).argsort(1, descending=True, stable=True)
    return list(ranked[:, : min(count, logits.shape[1] - 1)].T)


def climb(run: Chase, free: Tensor, threat: Threat, steps: int) -> None:
    """One run of APGD from ``free``; what it finds is in ``run``."""
    if isinstance(threat.norm, L1):
        _climb_sparse(run, free, threat, steps)
    else:
        _climb(run, free, threat, steps)
