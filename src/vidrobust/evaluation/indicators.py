"""Signs that attacks fail although the model is not robust.

The six indicators of attack failure (Pintor, Demontis, Sotgiu, Demetrio, Pineau, Biggio and Roli, NeurIPS 2022), each
as a count of clips; and whether steps along the gradient raise the loss as predicted. The meaning and threshold of each
count are in :data:`vidrobust.results.numbers.rules.RULES`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.base import counting
from vidrobust.attacks.gradients import uphill
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.attacks.wrappers import seeded_by_clips
from vidrobust.evaluation.worst_case import WorstCase, single_eps
from vidrobust.losses import margin
from vidrobust.results.numbers.rules import Measured
from vidrobust.threats import Linf, WholeClip

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.threats import Threat

PROMISED = 0.05
"""The least share of what the gradient promises that a small step along it must keep."""

SMALL = 1 / 16
"""Of ε: a small step."""

RISING = 0.05
"""By what share of its whole rise the loss must rise in the last tenth of the steps to be called incomplete."""

UNSTABLE = 0.1
"""By what share of itself the loss may move from one mean over draws to the next."""


def indicators(case: WorstCase, alpha: float, steps: int, count: int) -> list[Measured]:
    """The indicators on the first ``count`` clips that the model gets right, at the largest budget.

    Args:
        case: after all attacks.
        alpha: of plain PGD, in the units of ε.
        steps: of plain PGD.
        count: clips, at most.
    """
    rows = case.right.nonzero().flatten()[:count]
    if not len(rows):
        return []
    threat = case.threats[-1]
    found = _path(case, threat, rows, alpha, steps) if case.attacked.gradients else []
    if case.attacked.random:
        found.append(_unstable(case, rows))
    return found


def gradient_indicators(case: WorstCase, count: int) -> list[Measured]:
    """Unavailable and misleading gradients, on the first ``count`` clips that the model gets right."""
    rows, threat = case.right.nonzero().flatten()[:count], case.threats[-1]
    if not len(rows) or not case.attacked.gradients:
        return []
    clips, labels = case.clips[rows], case.labels[rows]
    call, generator = case.attacked.mean, torch.Generator().manual_seed(0)
    with undisturbed(case.attacked.model), seeded_by_clips(0, clips):
        feasible = threat.around(clips)
        points = [feasible.start, feasible.random(generator), feasible.random(generator)]
        seen = [uphill(call, feasible, point, labels, margin, feasible.movable) for point in points]
        usable = torch.stack([ascent.usable for ascent in seen])
        unavailable = usable.sum(0) < 2  # of three points: a flat spot is no plateau
        step = single_eps(threat) * SMALL
        losses, gradient = seen[0].losses, seen[0].gradient
        start = feasible.start

        def rise(direction: Tensor) -> tuple[Tensor, Tensor]:
            moved = feasible.step(start, direction, step)
            with torch.no_grad():
                after = margin(call(feasible.clips(moved)), labels)
            return after - losses, (gradient * (moved - start)).flatten(1).sum(1)

        along, promised = rise(gradient)
        shape = start.shape
        drawn = [torch.randn(shape, generator=generator).to(start.device) for _ in range(4)]
        at_random = torch.stack([rise(noise)[0] for noise in drawn]).amax(0)
    misleading = ~((along > PROMISED * promised) & (along > at_random)) & usable[0]
    if case.attacked.random:  # the slope of a mean over few draws is lost in their noise: instability tells
        misleading = torch.zeros_like(misleading)
    return [
        Measured("unavailable gradients", int(unavailable.sum()), len(rows)),
        Measured("misleading gradients", int(misleading.sum()), len(rows)),
    ]


def _path(case: WorstCase, threat: Threat, rows: Tensor, alpha: float, steps: int) -> list[Measured]:
    """What the way of plain PGD shows: silent success, incomplete optimisation, transfer failure."""
    clips, labels = case.clips[rows], case.labels[rows]
    attack = PGD(threat, alpha, steps, keep="last", loss=margin)
    follow = case.attacked.mean if case.attacked.random else case.attacked.follow
    broken, losses, end = [], [], clips
    with seeded_by_clips(0, clips), counting():
        for iterate in attack.trajectory(follow, clips, labels):
            broken.append((iterate.predicted != labels).cpu())
            losses.append(torch.nan_to_num(iterate.loss, -1e30).cpu())
            end = iterate.clips
    wrong = case.attacked.wrong(end, labels)
    ever, last = torch.stack(broken).any(0), broken[-1]
    best = torch.stack(losses).cummax(0).values
    late = max(1, steps // 10)
    rising = (best[-1] - best[-1 - late] > RISING * (best[-1] - best[0]).clamp(min=1e-12)) & ~ever
    found = [
        Measured("silent success", int((ever & ~last).sum()), len(rows)),
        Measured("incomplete optimisation", int(rising.sum()), int((~ever).sum())),
    ]
    if not case.attacked.random:  # there, the last word is the mean over other draws
        found.append(Measured("transfer failure", int((last & ~wrong).sum()), int(last.sum())))
    return found


def unconstrained(case: WorstCase, steps: int) -> Measured:
    """How many clips withstand attacks whose only bound is the pixels' range.

    The minimum-norm search has tried all clips; PGD tries those that it left.
    """
    rows = case.right.nonzero().flatten()
    left = (case.distance == torch.inf).nonzero().flatten()
    whole = replace(case.threats[-1], norm=Linf(), eps=1.0, support=WholeClip())
    for alpha in (1 / 16, 1 / 4):
        attack = PGD(whole, alpha, steps, random_start=alpha > 0.1, loss=margin)
        if len(left) and case.attacked.gradients:
            left = left[~_breaks(case, attack, left)]
    return Measured("unconstrained failure", len(left), len(rows))


def _breaks(case: WorstCase, attack: PGD, rows: Tensor) -> Tensor:
    """Which of the clips an attack of another threat breaks; nothing is kept of it."""
    clips, labels = case.clips[rows], case.labels[rows]
    try:
        return case.attacked.wrong(case.attacked.attack(attack, clips, labels).clips, labels)
    except Exception:  # noqa: BLE001 - whatever stops the attack, it has not broken them
        return torch.zeros(len(rows), dtype=torch.bool)


def _unstable(case: WorstCase, rows: Tensor) -> Measured:
    """Clips whose loss moves from one mean over draws to the next, as the attack sees them."""
    clips, labels = case.clips[rows], case.labels[rows]
    with undisturbed(case.attacked.model), torch.no_grad(), seeded_by_clips(1, clips):
        seen = torch.stack([margin(case.attacked.mean(clips), labels) for _ in range(4)])
    moves = seen.amax(0) - seen.amin(0) > UNSTABLE * seen.mean(0).abs().clamp(min=1e-12)
    return Measured("unstable predictions", int(moves.sum()), len(rows))
