"""FAB-T: the smallest perturbation that crosses the decision boundary (Croce & Hein, ICML 2020, "Minimally distorted
adversarial examples with a fast adaptive boundary attack"; the targeted form is in its appendix and in AutoAttack).

Towards one wrong class after another, the boundary is linearised at the iterate; iterate and clip are projected onto
the hyperplane within the box, and the next iterate lies between the two, biased towards the clip. Whatever crosses is
pulled back towards the clip. The budget plays no part in the search: it only decides in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.apgd import likeliest_wrong
from vidrobust.attacks.counts import at_least_one, check_seed
from vidrobust.attacks.nearest import MinimumNorm, exact_steps, exact_view
from vidrobust.attacks.rows import where_rows
from vidrobust.attacks.searching import SearchState, unbounded
from vidrobust.attacks.side_by_side import side_by_side
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.losses import margin, targeted_margin
from vidrobust.threats import L1, L2, Linf, Threat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from vidrobust.attacks.side_by_side import Start
    from vidrobust.threats import Feasible, Norm
    from vidrobust.types import Labels

BIAS = 0.1
"""The most weight the clip's own projection gets (α_max of the paper)."""

OVERSHOOT = 1.05
"""How far beyond the linearised boundary a step goes (η)."""

PULL = 0.9
"""The share of a perturbation that is left after a step back (β)."""

EXACT = 1e-12
"""The relative change below which Newton's method has ended."""

CACHED = 2**16
"""Numbers that a CPU projects at once, so that they stay in its cache."""


@dataclass(frozen=True)
class FAB(MinimumNorm):
    """FAB-T (Croce & Hein, ICML 2020, algorithm 1, targeted).

    Args:
        threat: the norm whose smallest perturbation is looked for, and the budget it is held against.
        steps: gradients per target and restart, at least 1.
        targets: wrong classes to try, the likeliest first (at most K - 1 exist).
        restarts: runs per target; all but the first from random starts within half of the smallest known size, or of ε.
        seed: of the random starts.
        precision: as in :class:`~vidrobust.attacks.apgd.APGD`.

    Raises:
        InputError: a value is out of its range, or the threat shares one perturbation or has a budget per frame.
    """

    restarts: int = 1
    seed: int = 0
    precision: Precision = "auto"

    loss = staticmethod(targeted_margin)
    norms = (Linf, L2, L1)

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, targets=self.targets, restarts=self.restarts)
        check_seed(self.seed)
        self.check_threat(self.threat)

    @property
    def cost(self) -> int:
        return self.targets * self.restarts * self.steps

    def search(self, run: SearchState) -> None:
        """Attack the clips of a search that still stand."""
        if run.feasible.shared:
            raise InputError(
                "FAB looks for the smallest perturbation of each clip, but the threat shares one among all clips. "
                "Take PGD or APGD."
            )
        targets = likeliest_wrong(run, self.targets)
        run.aim(targeted_margin, targets[0])
        side_by_side(run, self._starts(run, targets), self._approach)

    def _starts(self, run: SearchState, targets: Sequence[Labels]) -> Iterator[Start]:
        start, generators = run.feasible.start, run.generators(self.seed)
        for target in targets:
            yield start, (target,)
            for _ in range(1, self.restarts):
                yield start + (run.random(generators) - start) / 2, (target,)

    def _approach(self, run: SearchState, free: Tensor) -> None:
        Box.of(self.threat, run).approach(run, free, self.steps)


@dataclass(frozen=True)
class Box:
    """All the support allows without a budget, and how far things are in it.

    Attributes:
        threat: what is asked for.
        eps: ``B`` float64, its budgets.
        feasible: the support around the clips, with no budget but the pixel box.
        low, high: ends of the intervals of the free variables.
    """

    threat: Threat
    eps: Tensor
    feasible: Feasible
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, threat: Threat, run: SearchState) -> Box:
        """The box around the clips of a search."""
        feasible = run.subject.around(unbounded(threat))
        return cls(threat, run.subject.budgets(threat)[:, 0], feasible, *ends(feasible))

    def approach(self, run: SearchState, point: Tensor, steps: int) -> None:
        """One run of FAB from ``point`` towards the targets of ``run``; the nearest crossing, projected, is offered."""
        box, norm = unbounded(self.threat), self.threat.norm
        towards, judge = run.elsewhere(box, targeted_margin, *run.extras), run.elsewhere(box, margin)
        start = self.feasible.start
        nearest, least = start, torch.full_like(self.eps, torch.inf)
        for step in range(steps):
            if steps - step == exact_steps(run, steps):
                towards.view = judge.view = exact_view(run)
                crossed = judge.value(nearest) > 0
                point, least = where_rows(crossed, nearest, point), torch.where(crossed, least, torch.inf)
            value, gradient = towards.gradient(point)
            here = self.onto_boundary(point, value, gradient, point)
            there = self.onto_boundary(start, value, gradient, point)
            length, whole = (norm.size(move.flatten(1)) for move in (here - point, there - start))
            weight = _over(length / (length + whole).clamp(min=1e-12), point).clamp(max=BIAS)
            forward = point + OVERSHOOT * (here - point)
            point = forward.lerp(start + OVERSHOOT * (there - start), weight).clamp(self.low, self.high)
            crossed = judge.value(point) > 0
            size = run.feasible.size(self.feasible.clips(point))
            closer = crossed & (size < least)
            nearest, least = where_rows(closer, point, nearest), torch.where(closer, size, least)
            inside = (closer & (size <= self.eps)).nonzero().flatten()
            if len(inside):
                run.offer(inside, run.feasible.project(point)[inside])
            point = where_rows(crossed, start + PULL * (point - start), point)
        run.pay(towards, judge)
        run.value(run.feasible.project(nearest))

    def onto_boundary(self, origin: Tensor, value: Tensor, gradient: Tensor, point: Tensor) -> Tensor:
        """The nearest point to ``origin`` where ``value + gradient · (z - point) = 0`` within the box."""
        wanted = -value.double() - (gradient.double() * (origin - point)).flatten(1).sum(1)
        flat = [tensor.flatten(1) for tensor in (origin, gradient, self.low, self.high)]
        rows = max(1, CACHED // flat[0].shape[1]) if origin.device.type == "cpu" else len(origin)
        parts = zip(*(tensor.split(rows) for tensor in (wanted, *flat)), strict=True)
        return origin + torch.cat([shortest(self.threat.norm, *part) for part in parts]).view_as(origin)


def ends(feasible: Feasible) -> tuple[Tensor, Tensor]:
    """The ends of the intervals of the free variables of an L∞ ball: where far points are projected to."""
    far = torch.full_like(feasible.start, 1e6)
    return feasible.project(-far), feasible.project(far)


def _over(row: Tensor, free: Tensor) -> Tensor:
    return row.view(-1, *[1] * (free.ndim - 1)).to(free.dtype)


def shortest(norm: Norm, wanted: Tensor, origin: Tensor, slope: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The shortest move within the box that changes a linear function by ``wanted`` (Croce & Hein 2020, section 3).

    Each coordinate has room to move and a gain for moving. Under L∞ all move by the same t, or as far as they have
    room; under L2 by t times their gain; the change is then concave and piecewise linear in t. Under L1 the
    coordinates of the largest gain move first, each as far as it has room.

    Args:
        norm: how moves are measured.
        wanted: ``B`` float64, by how much the function shall change.
        origin, slope, low, high: ``B N``, the point, the function's gradient and the ends of the intervals.

    Returns:
        ``B N``; where the box is too small, the move of the largest change.

    >>> origin, slope = torch.zeros(1, 3), torch.tensor([[1.0, 2.0, 2.0]])
    >>> room = torch.tensor([[1.0, 1.0, 0.1]])
    >>> for norm in (Linf(), L2(), L1()):
    ...     print(shortest(norm, torch.tensor([2.1], dtype=torch.float64), origin, slope, -room, room))
    tensor([[0.6333, 0.6333, 0.1000]])
    tensor([[0.3800, 0.7600, 0.1000]])
    tensor([[0.0000, 1.0000, 0.0500]])
    """
    way = slope.sign() * wanted.sign()[:, None].to(slope.dtype)
    room = torch.where(way > 0, high - origin, origin - low).double().masked_fill(way == 0, 0)
    gain, needed = slope.double().abs(), wanted.abs()[:, None]
    if isinstance(norm, L1):
        move = _greedy(needed, gain, room)
    else:
        if isinstance(norm, Linf):
            move = torch.minimum(_level(needed, gain, room), room)
        else:
            move = torch.minimum(gain * _level(needed, gain * gain, room / gain.clamp(min=1e-30)), room)
    return (move * way).to(origin.dtype)


def _level(needed: Tensor, weight: Tensor, room: Tensor) -> Tensor:
    """The t, ``B 1``, with ``Σ weight · min(t, room) = needed``; the largest room where there is none.

    The sum is concave and piecewise linear in t, so that Newton's method rises from 0 to t in a few steps.
    """
    largest, level = room.amax(1, keepdim=True), torch.zeros_like(needed)
    while True:
        missing = needed - torch.linalg.vecdot(weight, torch.minimum(level, room))[:, None]
        slope = torch.linalg.vecdot(weight, (room > level).to(weight.dtype))[:, None]
        risen = torch.where(slope > 0, level + missing / slope, largest).minimum(largest)
        if not (risen > level * (1 + EXACT)).any():
            return level
        level = torch.maximum(level, risen)


def _greedy(needed: Tensor, gain: Tensor, room: Tensor) -> Tensor:
    """Moves ``B N`` with ``Σ gain · move = needed`` that use the coordinates of the largest gain up, one by one."""
    gain, order = gain.sort(dim=1, descending=True)
    room = room.gather(1, order)
    offered = gain * room
    before = offered.cumsum(1) - offered
    move = torch.minimum((needed - before).clamp(min=0) / gain.clamp(min=1e-300), room)
    return torch.zeros_like(move).scatter(1, order, move)
