"""The state that searches share: which clips are not broken yet, the best point found for each, and its cost.

A search keeps its state for the whole batch and asks :class:`SearchState` for losses and gradients at a point. Only
clips that are not broken yet ("standing") are run through the model; a clip is broken once a float32 forward pass
confirms that it is misclassified. Random numbers are drawn for each clip from a seed of its own, so that they do not
depend on its batch.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.base import AttackedBatch, AttackResult, Goal, attacked
from vidrobust.attacks.feature_losses import watching
from vidrobust.attacks.gradients import may_change, uphill
from vidrobust.attacks.rows import put_rows, some_rows
from vidrobust.fast.precision import Precision
from vidrobust.losses import predicted
from vidrobust.threats import Linf
from vidrobust.threats.tied import Scaled, Tied

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from vidrobust.threats import Feasible, Threat
    from vidrobust.types import ClipTensor, Labels, Logits


@contextlib.contextmanager
def searching(
    model: Callable[[ClipTensor], Logits],
    threat: Threat,
    clips: ClipTensor,
    labels: Labels,
    loss: Callable[..., Tensor],
    precision: Precision,
    targeted: bool = False,
) -> Iterator[SearchState]:
    """Check the inputs and open a :class:`SearchState`; the model is left as it was, also after an exception."""
    with watching(loss, model), attacked(model, threat, clips, labels, precision) as subject:
        yield SearchState(subject, loss, targeted)


class SearchState:
    """A batch under attack, with one free point per clip.

    Args:
        subject: the model, the clips and what is allowed.
        loss: from logits, labels and :attr:`extras` to one number per clip.
        targeted: the labels are the classes to reach: the loss is minimised, and what is there counts as broken.

    Attributes:
        extras: further indices for the loss, one per clip, such as target classes.
        best: the free points of the greatest loss so far (if targeted, of the least: here, losses have their sign
            turned), or the first that was misclassified.
        best_loss: ``B``.
        broken: ``B`` bool, which clips are misclassified at :attr:`best`.
        forwards, backwards: ``B`` int64, what each clip has cost.
        asked, moved: ``B`` bool, of which clips a gradient was asked for, and which of them had a usable one at least
            once: finite, and not zero where the clip may change.
        limit: ``B``, the forward passes after which a clip is left alone, or None.
        exploring: if so, clips stay when they are misclassified.
    """

    def __init__(self, subject: AttackedBatch, loss: Callable[..., Tensor], targeted: bool = False) -> None:
        self.subject, self.loss, self.targeted = subject, loss, targeted
        self.view, self.feasible, self.labels = subject.view, subject.feasible, subject.labels
        self.extras: tuple[Tensor, ...] = ()
        self.best = self.feasible.start.detach().clone()
        self.best_loss = torch.full(self.labels.shape, -torch.inf, dtype=torch.float32, device=self.best.device)
        self.broken = torch.zeros_like(self.labels, dtype=torch.bool)
        self.forwards, self.backwards = torch.zeros_like(self.labels), torch.zeros_like(self.labels)
        self.asked, self.moved = torch.zeros_like(self.broken), torch.zeros_like(self.broken)
        self.limit: Tensor | None = None
        self.exploring = self.feasible.shared
        self._most = -1
        self._movable = self.feasible.movable
        self._standing: tuple[Tensor, Feasible] | None = None
        self._standing_of = self.broken, -1  # which state of `broken` it was made from

    def elsewhere(self, threat: Threat, loss: Callable[..., Tensor], *extras: Tensor) -> SearchState:
        """A search on the standing clips within another threat, where a misclassification does not count.

        What breaks here leaves there too. The passes are counted by the other state alone.
        """
        subject = replace(self.subject, feasible=self.subject.around(threat))
        other = SearchState(subject, loss, self.targeted)
        other.extras, other.broken, other.exploring = extras, self.broken, True
        return other

    def pay(self, *others: SearchState) -> None:
        """Count the passes that searches elsewhere have cost, and the gradients they had."""
        for other in others:
            self.forwards, self.backwards = self.forwards + other.forwards, self.backwards + other.backwards
            self.asked, self.moved = self.asked | other.asked, self.moved | other.moved

    @property
    def unmoved(self) -> Tensor:
        """``B`` bool: which clips never had a gradient to follow, though one was asked for and they may change."""
        return self.asked & ~self.moved & may_change(self.feasible)

    @property
    def over(self) -> bool:
        """Whether all clips are broken."""
        return len(self.standing()[0]) == 0

    def standing(self) -> tuple[Tensor, Feasible]:
        """The indices of the clips that stand, and their feasible set."""
        if self._standing is not None and self.limit is None and not self._has_moved():
            return self._standing
        self._standing_of = self.broken, self.broken._version
        stands = ~self.broken
        if self.limit is not None:  # a last pass is kept for the confirmation
            stands &= self.forwards < self.limit - 1
        rows = stands.nonzero().flatten()
        if self._standing is None or not torch.equal(rows, self._standing[0]):
            whole = len(rows) == len(stands)
            self._standing = rows, self.feasible if whole else self.feasible.narrow(rows)
        return self._standing

    def _has_moved(self) -> bool:
        """Has a clip fallen since :attr:`_standing` was made? Told without asking the device."""
        tensor, version = self._standing_of
        return tensor is not self.broken or version != self.broken._version

    def aim(self, loss: Callable[..., Tensor], *extras: Tensor) -> None:
        """Maximise another loss from here on; broken clips stay broken."""
        self.loss, self.extras = loss, extras
        self.best_loss = torch.where(self.broken, self.best_loss, -torch.inf)

    def gradient(self, free: Tensor) -> tuple[Tensor, Tensor]:
        """The loss ``B`` and its gradient at free points; -∞ and 0 for broken clips."""
        rows, feasible = self.standing()
        losses, found = self.ascend(rows, feasible, free[rows])
        gradient = torch.zeros_like(free)
        gradient[rows] = found.mean(0, keepdim=True) if self.feasible.shared else found
        return losses, gradient

    def value(self, free: Tensor) -> Tensor:
        """The loss ``B`` at free points, by a forward pass alone; -∞ for broken clips."""
        rows, feasible = self.standing()
        return self.look(rows, feasible, free[rows])

    def ascend(self, rows: Tensor, feasible: Feasible, free: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`gradient`, of the clips ``rows`` alone (``R``): their free points and gradients have ``R`` rows."""
        movable = None if self._movable is None else self._movable[rows]
        losses, logits, gradient, usable = uphill(self.view, feasible, free, self._aims(rows), self._losses, movable)
        self.backwards[rows] += 1
        self.asked = self.asked.index_fill(0, rows, True)
        self.moved = self.moved.index_put((rows,), self.moved[rows] | usable)
        return self._record(rows, free, losses, logits), gradient

    def look(self, rows: Tensor, feasible: Feasible, free: Tensor) -> Tensor:
        """As :meth:`value`, of the clips ``rows`` alone."""
        logits = self.view(feasible.clips(free))
        losses = self._losses(logits, self._aims(rows)) - feasible.penalty(free)
        return self._record(rows, free, losses, logits)

    def _aims(self, rows: Tensor) -> Tensor:
        """Labels and extras side by side, so that what splits a batch splits them alike."""
        return torch.stack([self.labels[rows], *(extra[rows] for extra in self.extras)], dim=1)

    def _losses(self, logits: Logits, aims: Tensor) -> Tensor:
        losses = self.loss(logits, *aims.unbind(1))
        return -losses if self.targeted else losses

    def _record(self, rows: Tensor, point: Tensor, losses: Tensor, logits: Logits) -> Tensor:
        """Keep what is better than before, and take confirmed clips out of the search."""
        self.forwards[rows] += 1
        there = self._goal().reached(predicted(logits), self.labels[rows])
        if self.feasible.shared:
            losses = losses.mean().expand_as(losses)
            better = self._is_better_for_all(int(there.sum()), losses)
        else:
            better = losses > self.best_loss[rows]
        put_rows(self.best, rows, better, point)
        put_rows(self.best_loss, rows, better, losses)
        found = torch.full_like(self.best_loss, -torch.inf)
        found[rows] = losses
        if not self.exploring:
            there = there.nonzero().flatten()
            if len(there):  # the one number that a step needs from the device
                self.offer(rows[there], some_rows(point, there))
        return found

    def _is_better_for_all(self, there: int, losses: Tensor) -> Tensor:
        """``R`` bool, all alike: does a shared perturbation break more clips than the best, or raise the loss more?"""
        better = (there, float(losses[0])) > (self._most, float(self.best_loss[0]))
        self._most = there if better else self._most
        return torch.full_like(losses, better, dtype=torch.bool)

    def offer(self, rows: Tensor, point: Tensor) -> None:
        """Let the model judge free points of the clips ``rows`` in float32; those that it misclassifies are broken."""
        if not len(rows):
            return
        feasible = self.feasible if len(rows) == len(self.labels) else self.feasible.narrow(rows)
        broken = self.subject.judge(feasible, point, self.labels[rows], self._goal())
        self.forwards[rows] += 1
        put_rows(self.best, rows, broken, point)
        self.broken[rows[broken]] = True

    def random(self, generators: list[Generator]) -> Tensor:
        """A random allowed point for each clip from its own generator."""
        if self.feasible.shared:
            return self.feasible.random(generators[0])
        rows = torch.arange(len(generators), device=self.labels.device)
        return torch.cat(
            [self.feasible.narrow(row[None]).random(own) for row, own in zip(rows, generators, strict=True)]
        )

    def generators(self, seed: int) -> list[Generator]:
        """One generator per clip, on the CPU, seeded by ``seed`` and the clip's pixels, whatever batch it is in."""
        return [torch.Generator().manual_seed(tensor_seed(clip, seed)) for clip in self.subject.pixels]

    def uniform(self, generators: list[Generator], *shape: int) -> Tensor:
        """``B`` × ``shape`` uniform numbers in [0, 1), each clip's from its own generator; shared ones are the same."""
        own = generators[:1] if self.feasible.shared else generators
        drawn = torch.stack([torch.rand(shape, generator=generator, dtype=torch.float32) for generator in own])
        return drawn.expand(len(self.labels), *shape).to(self.best.device)

    def normal(self, generators: list[Generator], *shape: int) -> Tensor:
        """``B`` × ``shape`` normal numbers, like the free points by default, drawn as by :meth:`uniform`."""
        shape = shape or tuple(self.feasible.start.shape[1:])
        own = generators[:1] if self.feasible.shared else generators
        drawn = torch.stack([torch.randn(shape, generator=one, dtype=torch.float32) for one in own])
        return drawn.expand(len(self.labels), *shape).to(self.best.device)

    def result(self) -> AttackResult:
        """The best points as clips, judged by the model in float32 with the loss of the search."""

        def loss(logits: Logits, labels: Labels) -> Tensor:
            return self.loss(logits, labels, *self.extras)

        goal = Goal(self.loss if not self.extras else loss, self.targeted)
        return self.subject.result(self.best, goal, self.forwards, self.backwards, self.unmoved)

    def _goal(self) -> Goal:
        return Goal(targeted=self.targeted)


def tensor_seed(tensor: Tensor, seed: int) -> int:
    """A seed from a tensor's values and ``seed``."""
    values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
    digest = hashlib.blake2b(values, digest_size=7, salt=seed.to_bytes(8, "little", signed=True)).digest()
    return int.from_bytes(digest, "little")


def radii(threat: Threat, subject: AttackedBatch) -> Tensor:
    """How far the budgets let free variables move, in their own units; broadcasts over free variables (``B …``)."""
    feasible, pixels, eps = subject.feasible, subject.pixels, subject.budgets(threat)
    free = feasible.start
    if isinstance(feasible, Scaled) and isinstance(threat.norm, Linf):
        eps = torch.full_like(eps, feasible.limit)
    if isinstance(feasible, Tied):
        eps = eps / threat.norm.repeated(pixels[0].numel() // free[0].numel())
    if feasible.shared:
        eps = eps.amin(0, keepdim=True).expand_as(eps)
    return eps.to(free.dtype).view(len(free), 1, -1, *[1] * (free.ndim - 3))


def unbounded(threat: Threat) -> Threat:
    """The same support with no budget but the pixel box: each coordinate has an interval of its own."""
    return replace(threat, norm=Linf(), eps=1.0)
