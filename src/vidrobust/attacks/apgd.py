"""Auto-PGD: projected gradient ascent that halves its own step size (Croce & Hein, ICML 2020, sections 3 and 4).

The only parameter is the number of steps. The step size starts at 2ε and is halved at checkpoints where the loss has
not risen often enough, and the search goes on from the best point so far. For L1 the steps are sparse, and the sparsity
is what is adapted (Croce & Hein, ICML 2021, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.counts import at_least_one, check_seed
from vidrobust.attacks.rows import where_rows
from vidrobust.attacks.searching import SearchState, radii
from vidrobust.attacks.side_by_side import side_by_side
from vidrobust.attacks.stage import StageSearch
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.losses import cross_entropy, predicted, targeted_dlr
from vidrobust.threats import L1, Threat

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from vidrobust.losses import Loss, TargetedLoss
    from vidrobust.types import Labels

RHO = 0.75
"""The share of steps since the last checkpoint in which the loss must have risen."""

MOMENTUM = 0.25
"""How much of the last move goes into the next (1 - 0.75 of the paper)."""


@dataclass(frozen=True)
class APGD(StageSearch):
    """Auto-PGD on one loss (Croce & Hein, ICML 2020, algorithm 1; L1: ICML 2021, algorithm 1).

    Args:
        threat: where the perturbed clips may lie.
        steps: gradients per restart, at least 1.
        loss: what is maximised, one number per clip: :func:`~vidrobust.losses.cross_entropy`,
            :func:`~vidrobust.losses.dlr`, :func:`~vidrobust.losses.margin` or one's own.
        restarts: runs from random starts, on the clips that are not broken yet.
        seed: of the starts, which depend on the clip and not on the batch it is in.
        precision: ``exact`` switches off the fast copy of the model; the verdict is float32 in both.
        targeted: the labels are the classes to reach, and the loss is minimised. (:class:`TargetedAPGD` leaves the
            labels, by way of several classes.)

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
    targeted: bool = False

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, restarts=self.restarts)
        check_seed(self.seed)

    @property
    def cost(self) -> int:
        return self.restarts * self.steps

    def search(self, run: SearchState) -> None:
        """Attack the clips of a search that still stand."""
        run.aim(self.loss)
        generators = run.generators(self.seed)
        starts = ((starting_point(run, generators, self.threat), ()) for _ in range(self.restarts))
        side_by_side(run, starts, lambda run, free: climb(run, free, self.threat, self.steps))


@dataclass(frozen=True)
class TargetedAPGD(StageSearch):
    """Auto-PGD towards one wrong class after another, the likeliest first (APGD-T; Croce & Hein, ICML 2020, section 5).

    Success is any wrong class, as in :class:`APGD`; the targets only give each run another loss.

    Args:
        threat: where the perturbed clips may lie.
        steps: gradients per target, at least 1.
        targets: wrong classes to try (at most K - 1 exist).
        loss: from logits, labels and targets to one number per clip.
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
        check_seed(self.seed)

    @property
    def cost(self) -> int:
        return self.targets * self.steps

    def search(self, run: SearchState) -> None:
        """Attack the clips of a search that still stand."""
        generators, targets = run.generators(self.seed), likeliest_wrong(run, self.targets)
        run.aim(self.loss, targets[0])
        starts = ((starting_point(run, generators, self.threat), (target,)) for target in targets)
        side_by_side(run, starts, lambda run, free: climb(run, free, self.threat, self.steps))


def likeliest_wrong(run: SearchState, count: int) -> list[Labels]:
    """The wrong classes of each clip by descending logit on the clean clip, at most ``count`` tensors ``B``.

    Clips that are misclassified as they are need no search, and leave the batch.
    """
    start = run.feasible.start
    logits = run.view(run.feasible.clips(start))
    run.forwards += 1
    if logits.shape[1] < 2:
        raise InputError("the model has 1 class: there is no wrong one to mistake it for.")
    if not run.exploring:
        wrong = ((predicted(logits) != run.labels) & ~run.broken).nonzero().flatten()
        run.offer(wrong, start[wrong])
    ranked = logits.scatter(1, run.labels[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    return list(ranked[:, : min(count, logits.shape[1] - 1)].T)


def starting_point(run: SearchState, generators: list[Generator], threat: Threat) -> Tensor:
    """A random start: in the ball; under L1 normal noise, whose projection is sparse as a point of the ball is not."""
    if not isinstance(threat.norm, L1):
        return run.random(generators)
    return run.feasible.start + run.normal(generators)


def climb(run: SearchState, free: Tensor, threat: Threat, steps: int) -> None:
    """One run of APGD from ``free``; what it finds is in ``run``."""
    if not isinstance(threat.norm, L1):
        return _climb(run, free, threat, steps)
    # L1 balls are thin: the search starts in larger ones (Croce & Hein, ICML 2021, section 4.2)
    if steps < 10:
        return _climb_sparse(run, run.feasible.project(free), threat, steps)
    for factor in (3, 2):  # the start may lie anywhere: each set projects it
        free = _explore(run, free, _larger(threat, factor, free), int(0.3 * steps))
    return _climb_sparse(run, run.feasible.project(free), threat, steps - 2 * int(0.3 * steps))


def checkpoints(steps: int) -> set[int]:
    """The steps after which the step size may be halved (Croce & Hein, ICML 2020, section 3).

    They lie at the shares p of the steps with p₁ = 0.22 and gaps that shrink by 0.03 to 0.06.

    >>> sorted(checkpoints(100))
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    found, at, gap = set(), 0, max(int(0.22 * steps), 1)
    while at + gap <= steps:
        at += gap
        found.add(at)
        gap = max(gap - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
    return found


def _climb(run: SearchState, free: Tensor, threat: Threat, steps: int) -> None:
    """Algorithm 1 of Croce & Hein, ICML 2020."""
    feasible, halving = run.feasible, checkpoints(steps)
    step_size = (2 * radii(threat, run.subject)).clone()
    loss, gradient = run.gradient(free)
    top, top_loss, top_gradient, before = free, loss, gradient, free
    rises, last_check, last_top, reduced = torch.zeros_like(loss), 0, loss, torch.ones_like(run.broken)
    for step in range(1, steps + 1):
        if run.over:
            return
        moved = feasible.step(free, gradient, step_size)
        if step > 1:
            moved = feasible.project(free + (1 - MOMENTUM) * (moved - free) + MOMENTUM * (free - before))
        before, free = free, moved
        if step == steps:
            run.value(free)
            return
        risen, gradient = run.gradient(free)
        rises, loss = rises + (risen > loss), risen
        higher = loss > top_loss
        top, top_gradient = where_rows(higher, free, top), where_rows(higher, gradient, top_gradient)
        top_loss = torch.where(higher, loss, top_loss)
        if step in halving:
            stuck = ~reduced & (last_top >= top_loss)
            reduced = (rises < RHO * (step - last_check)) | stuck
            step_size = where_rows(reduced, step_size / 2, step_size)
            free, gradient = where_rows(reduced, top, free), where_rows(reduced, top_gradient, gradient)
            rises, last_check, last_top = torch.zeros_like(loss), step, top_loss


# ------------------------------------------------------------------------------------------------------------------ L1

SHARPER, SLOWEST = 1.5, 10.0
"""Factor by which sparsity and step size are adapted, and how far the step size may fall below ε."""


def _climb_sparse(run: SearchState, free: Tensor, threat: Threat, steps: int) -> None:
    """Algorithm 1 of Croce & Hein, ICML 2021: signs of the k largest gradients, k following the best's sparsity."""
    feasible, every = run.feasible, max(int(0.04 * steps), 1)
    count, radius = free[0].numel(), radii(threat, run.subject)
    changed = _changed(free, feasible.start)
    share = torch.where(changed < count, changed.float() / count / SHARPER, 0.2)  # a start of no sparsity says nothing
    step_size, sparsity = radius.clone(), changed
    loss, gradient = run.gradient(free)
    top, top_loss, top_gradient = free, loss, gradient
    for step in range(1, steps + 1):
        if run.over:
            return
        free = feasible.project(free + step_size * _sparse_signs(gradient, share))
        if step == steps:
            run.value(free)
            return
        loss, gradient = run.gradient(free)
        higher = loss > top_loss
        top, top_gradient = where_rows(higher, free, top), where_rows(higher, gradient, top_gradient)
        top_loss = torch.where(higher, loss, top_loss)
        if step % every == 0:
            now = _changed(top, feasible.start)
            sparser = now < 0.95 * sparsity
            share, sparsity = now.float() / count / SHARPER, now
            slower = torch.maximum(step_size / SHARPER, radius / SLOWEST)
            step_size = where_rows(sparser, radius.expand_as(step_size), slower)
            free, gradient = where_rows(sparser, top, free), where_rows(sparser, top_gradient, gradient)


def _changed(free: Tensor, start: Tensor) -> Tensor:
    """How many coordinates of each row differ from the start."""
    return (free != start).flatten(1).sum(1)


def _sparse_signs(gradient: Tensor, share: Tensor) -> Tensor:
    """The signs of the largest coordinates, a ``share`` of each row (at least one), each 1/k."""
    flat = gradient.flatten(1)
    wanted = (share * flat.shape[1]).round().long().clamp(1, flat.shape[1])
    largest = flat.abs().topk(int(wanted.max()), dim=1).values
    chosen = (flat.abs() >= largest.gather(1, wanted[:, None] - 1)) & (flat != 0)
    return (flat.sign() * chosen / chosen.sum(1, keepdim=True).clamp(min=1)).view_as(gradient)


def _larger(threat: Threat, factor: int, free: Tensor) -> Threat:
    """The threat with ``factor`` times the budget, as far as the box allows."""
    most = threat.norm.largest(free[0].numel())
    eps = (torch.tensor(threat.eps, dtype=torch.float64) * factor).clamp(max=most)
    return replace(threat, eps=eps.tolist())


def _explore(run: SearchState, free: Tensor, threat: Threat, steps: int) -> Tensor:
    """The point of the greatest loss found in another feasible set; what breaks there does not count."""
    wide = run.elsewhere(threat, run.loss, *run.extras)
    _climb_sparse(wide, wide.feasible.project(free), threat, steps)
    run.pay(wide)
    return wide.best
