"""A black-box attack that uses only the predicted class, with a limited number of queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from vidrobust.attacks.fab import ends
from vidrobust.attacks.rows import where_rows
from vidrobust.attacks.searching import SearchState, radii, unbounded
from vidrobust.attacks.stage import QuerySearch
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.losses import margin
from vidrobust.threats import Threat

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RayS(QuerySearch):
    """RayS on clips (Chen & Gu, KDD 2020, algorithms 1 to 3): the direction of the nearest misclassification.

    A direction is a sign per coordinate. Signs are flipped block by block, in blocks that are halved again and again; a
    flip is kept if the model errs at a smaller radius along the new direction, which one query tells and a bisection
    measures. L2 and L1 only change how that radius is measured.

    Args:
        threat: where the perturbed clips may lie.
        queries: predictions a clip may cost, at least 2.
        tolerance: at which the bisection of a radius ends, as a share of ε.
        precision: as in :class:`~vidrobust.attacks.apgd.APGD`; ``exact`` asks the model itself.
        blocks: which way blocks are halved first: ``time`` begins with stretches of frames, ``space`` with regions that
            span all frames, a prior for perturbations that stand still.

    Raises:
        InputError: a value is out of its range, or the threat shares one perturbation or has a budget per frame.

    >>> from vidrobust.threats import Linf
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> clips, labels = torch.rand(5, 3, 2, 4, 4), torch.zeros(5, dtype=torch.int64)
    >>> result = RayS(Threat(Linf(), eps=8 / 255), queries=100)(model, clips, labels)
    >>> bool((result.queries <= 100).all())
    True
    """

    threat: Threat
    queries: int = 5000
    tolerance: float = 0.02
    precision: Precision = "auto"
    blocks: Literal["time", "space"] = "time"

    budgets_a_frame, one_for_all = False, False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blocks not in ("time", "space"):
            raise InputError(f'blocks must be halved in "time" or in "space" first, but is {self.blocks!r}.')
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance, a share of ε, must lie in (0, 1), but is {self.tolerance}.")
        self.check_threat(self.threat)

    def search(self, run: SearchState) -> None:
        """Attack the clips of a search that still stand."""
        if run.feasible.shared:
            raise InputError(
                "a ray leads to the boundary of one clip, but the threat shares one perturbation among all clips. "
                "Take PGD, APGD or Square."
            )
        Rays(run, self.threat, self.tolerance, self.blocks).search(self.queries)


class Rays:
    """The state of the search: for each clip its best ray, the one on trial and what is known of its radius.

    Attributes:
        signs, radius: the best direction, and the smallest radius that is misclassified along it (at first: the box's).
        trial: the direction on trial.
        sure: the lower end of the bisection, rightly classified; the upper end is ``radius``.
        bisecting: ``B`` bool, is the trial's radius being measured?
        level, block: how often blocks have been halved, and the block whose signs the trial flips.
    """

    def __init__(self, run: SearchState, threat: Threat, tolerance: float, blocks: str) -> None:
        self.run, self.judge = run, run.elsewhere(unbounded(threat), margin)
        self.feasible = box = self.judge.feasible
        self.low, self.high = ends(box)
        start, self.budget = box.start, threat.budgets(run.subject.pixels)[:, 0]
        movable = (self.high > self.low).flatten(1).sum(1).tolist()
        size = self.budget.new_tensor([threat.norm.largest(max(count, 1)) for count in movable])
        self.tolerance = (tolerance * radii(threat, run.subject).flatten() / size).to(start.dtype)
        self.signs = self.trial = torch.ones_like(start)
        self.radius = torch.maximum(self.high - start, start - self.low).flatten(1).amax(1)
        self.sure = torch.zeros_like(self.radius)
        self.bisecting = torch.zeros_like(run.broken)
        self.level, self.block = torch.zeros_like(run.labels), torch.full_like(run.labels, -1)
        self.order = block_order(start, blocks)

    def search(self, queries: int) -> None:
        """Spend at most ``queries`` a clip."""
        budget = self.run.forwards + queries
        for _ in range(queries):
            self.judge.limit = budget - self.run.forwards
            if self.judge.over:
                break
            self._query()
        self.run.pay(self.judge)
        nearest = self.run.feasible.project(self._along(self.signs, self.radius))
        self.run.best = where_rows(self.run.broken, self.run.best, nearest)

    def _query(self) -> None:
        """Ask once for each clip: does the trial err at the best radius, or at the middle of its bisection?"""
        asked = torch.where(self.bisecting, (self.sure + self.radius) / 2, self.radius)
        point = self._along(self.trial, asked)
        errs = self.judge.value(point) > 0
        self._offer(point, errs)
        accepted = errs & ~self.bisecting
        self.signs = where_rows(accepted, self.trial, self.signs)
        self.radius = torch.where(errs, asked, self.radius)
        self.sure = torch.where(self.bisecting & ~errs, asked, torch.where(accepted, 0, self.sure))
        measured = self.bisecting & (self.radius - self.sure <= self.tolerance)
        rejected = ~errs & ~self.bisecting
        self.bisecting = (self.bisecting | accepted) & ~measured
        self._next(measured | rejected)

    def _offer(self, point: Tensor, errs: Tensor) -> None:
        size = self.run.feasible.size(self.feasible.clips(point))
        inside = (errs & (size <= self.budget)).nonzero().flatten()
        if len(inside):
            self.run.offer(inside, self.run.feasible.project(point)[inside])

    def _next(self, done: Tensor) -> None:
        """Where a trial is decided, flip the next block of the best direction."""
        self.block = torch.where(done, self.block + 1, self.block)
        count = self.order.numel()
        over = done & (self.block >= (2**self.level).clamp(max=count))
        level = torch.where(2**self.level < count, self.level + 1, 0)
        self.level, self.block = torch.where(over, level, self.level), torch.where(over, 0, self.block)
        long = (count / 2.0 ** self.level.float()).clamp(min=1).view(-1, *[1] * self.order.ndim)
        flip = (self.order / long).floor() == self.block.view(long.shape)
        self.trial = where_rows(done, torch.where(flip, -self.signs, self.signs), self.trial)

    def _along(self, signs: Tensor, radius: Tensor) -> Tensor:
        """The point a radius along a direction, as far as the box lets each coordinate go."""
        moved = self.feasible.start + signs * radius.view(-1, *[1] * (signs.ndim - 1))
        return torch.clamp(moved, self.low, self.high)


def block_order(free: Tensor, blocks: str = "time") -> Tensor:
    """The place of each coordinate in the order in which blocks are cut: by time, then channel, height and width.

    With ``blocks="space"`` time is last.

    >>> block_order(torch.zeros(1, 2, 2, 1, 1)).flatten().tolist()
    [0, 2, 1, 3]
    >>> block_order(torch.zeros(1, 1, 2, 1, 3), "space").flatten().tolist()
    [0, 2, 4, 1, 3, 5]
    """
    shape = free.shape[1:]
    if len(shape) != 4:
        return torch.arange(free[0].numel(), device=free.device).view(shape)
    channels, frames, height, width = shape
    order = torch.arange(free[0].numel(), device=free.device)
    if blocks == "space":
        return order.view(channels, height, width, frames).movedim(3, 1)
    return order.view(frames, channels, height, width).movedim(0, 1)
