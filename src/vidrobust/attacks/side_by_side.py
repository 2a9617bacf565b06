"""Runs of a search that do not wait for each other, as one batch: towards several classes, or from several starts.

In a small batch, each clip takes a CPU about twice as long as in a large one. Where few clips stand, each of them is
therefore in the batch several times, once for each of the next runs. The result is that of the runs one after another:
of those that break a clip, the first counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import torch

from vidrobust.attacks.rows import put_rows
from vidrobust.attacks.searching import SearchState

if TYPE_CHECKING:
    from torch import Tensor

NUMBERS = 2**20
"""Pixel values of the clips of one batch, at most, where several runs share it."""

Start: TypeAlias = "tuple[Tensor, tuple[Tensor, ...]]"
"""The free points (``B …``) where a run starts, and what its loss needs besides the labels, one per clip."""


class Copies(SearchState):
    """The standing clips of a search, each as often as there are runs.

    Args:
        run: the search.
        count: runs.

    Attributes:
        rows: ``R``, the clips.
        count: runs; row ``j · R + i`` is clip ``i`` in run ``j``.
        found: ``count · R`` bool, in which runs a clip was broken; it also counts as broken in later ones.
    """

    def __init__(self, run: SearchState, count: int) -> None:
        self.rows, self.count = run.standing()[0], count
        super().__init__(run.subject.some(self.rows.repeat(count)), run.loss, run.targeted)
        self.view, self.exploring = run.view, run.exploring
        self.found = torch.zeros_like(self.broken)

    def offer(self, rows: Tensor, point: Tensor) -> None:
        """As in any search; where a run has broken a clip, later ones leave it alone."""
        before = self.broken.clone()
        super().offer(rows, point)
        self.found |= self.broken & ~before
        self.broken |= (self.broken.view(self.count, -1).cumsum(0) > 0).flatten()

    def charge(self, run: SearchState) -> None:
        """Count in ``run`` what the copies of its clips have cost, and the gradients they had."""
        for name in ("forwards", "backwards"):
            each = getattr(self, name).view(self.count, -1).sum(0)
            setattr(run, name, getattr(run, name).index_add(0, self.rows, each))
        for name in ("asked", "moved"):
            each = getattr(self, name).view(self.count, -1).any(0)
            setattr(run, name, getattr(run, name).index_put((self.rows,), each | getattr(run, name)[self.rows]))


def side_by_side(run: SearchState, starts: Iterable[Start], search: Callable[[SearchState, Tensor], None]) -> None:
    """Run a search from each start, until all clips are broken.

    Args:
        run: the batch; what is found is in it.
        starts: made when their turn comes.
        search: one run, from free points.
    """
    waiting = iter(starts)
    while not run.over and (part := list(islice(waiting, together(run)))):
        if len(part) == 1:
            point, extras = part[0]
            run.aim(run.loss, *extras) if extras else None
            search(run, point)
        else:
            _search_together(run, part, search)


def together(run: SearchState) -> int:
    """How many runs share a batch."""
    rows = run.standing()[0]
    return 1 if run.feasible.shared else max(1, NUMBERS // (len(rows) * run.subject.pixels[0].numel()))


def _search_together(run: SearchState, part: list[Start], search: Callable[[SearchState, Tensor], None]) -> None:
    copies = Copies(run, len(part))
    rows = copies.rows
    copies.extras = tuple(torch.cat([one[rows] for one in each]) for each in zip(*(of for _, of in part), strict=True))
    search(copies, torch.cat([point[rows] for point, _ in part]))
    best, losses, broken = (found.tensor_split(len(part)) for found in (copies.best, copies.best_loss, copies.found))
    for number, (_, extras) in enumerate(part):
        if extras:
            run.aim(run.loss, *extras)
        better = ~run.broken[rows] & (broken[number] | (losses[number] > run.best_loss[rows]))
        put_rows(run.best, rows, better, best[number])
        put_rows(run.best_loss, rows, better, losses[number])
        run.broken[rows[broken[number]]] = True
    copies.charge(run)
