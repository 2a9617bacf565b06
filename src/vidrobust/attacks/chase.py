"""What every search here shares: which clips still stand, the best point found of each, and what it cost.

A search keeps its state for the whole batch and asks :class:`Chase` for losses and gradients at a point. Only clips that
still stand are run through the model; a clip whose misclassification a float32 forward pass confirms stands no longer.
Random numbers are drawn for each clip from a seed of its own, so that they do not depend on the batch it is in.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.engine import AttackResult, check_inputs, check_logits, undisturbed, verdict
from vidrobust.attacks.inference import Precision, inference_view
from vidrobust.threats import Linf

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from vidrobust.threats import Feasible, Threat
    from vidrobust.types import Clips, Labels, Logits


@contextlib.contextmanager
def chase(
    model: Callable[[Clips], Logits],
    threat: Threat,
    clips: Clips,
    labels: Labels,
    loss: Callable[..., Tensor],
    precision: Precision,
    limit: int | None = None,
) -> Iterator[Chase]:
    """Check the inputs and open a :class:`Chase`; the model is left as it was, also after an exception."""
    check_inputs(clips, labels)
    pixels = clips.detach().float()
    with undisturbed(model), torch.no_grad():
        check_logits(model(pixels[:1]), pixels[:1], labels)
        view = inference_view(model, pixels, precision)
        yield Chase(model, view, threat.around(pixels), labels, loss, clips.dtype, limit)


class Chase:
    """A batch under attack, with one free point a clip.

    Args:
        model: has the last word on what is misclassified, in float32.
        view: what is run and differentiated in its place.
        feasible: the allowed points.
        labels: ``B``.
        loss: from logits, labels and :attr:`extras` to one number a clip.
        dtype: of the clips in the result.
        limit: forward passes a clip may cost before it is left alone, the closing verdict apart.

    Attributes:
        extras: further tensors for the loss with one row a clip, such as targets.
        best: the free points of the greatest loss so far, or the first that was misclassified.
        best_loss: ``B``.
        broken: ``B`` bool, which clips are misclassified at :attr:`best`.
        forwards, backwards: ``B`` int64, what each clip has cost.
        exploring: if so, clips stay when they are misclassified.
    """

    def __init__(
        self,
        model: Callable[[Clips], Logits],
        view: Callable[[Clips], Logits],
        feasible: Feasible,
        labels: Labels,
        loss: Callable[..., Tensor],
        dtype: torch.dtype = torch.float32,
        limit: int | None = None,
    ) -> None:
        self.model, self.view, self.feasible = model, view, feasible
        self.labels, self.loss, self.dtype, self.limit = labels, loss, dtype, limit
        self.extras: tuple[Tensor, ...] = ()
        self.best = feasible.start.detach().clone()
        self.best_loss = torch.full(labels.shape, -torch.inf, device=self.best.device)
        self.broken = torch.zeros_like(labels, dtype=torch.bool)
        self.forwards, self.backwards = torch.zeros_like(labels), torch.zeros_like(labels)
        self.exploring = feasible.shared
        self._standing: tuple[Tensor, Feasible] | None = None

    @property
    def over(self) -> bool:
        """Does no clip stand any more?"""
        return len(self.standing()[0]) == 0

    def standing(self) -> tuple[Tensor, Feasible]:
        """The indices of the clips that stand, and their feasible set."""
        stands = ~self.broken
        if self.limit is not None:  # a last pass is kept for the confirmation
            stands &= self.forwards < self.limit - 1
        rows = stands.nonzero().flatten()
        if self._standing is None or not torch.equal(rows, self._standing[0]):
            whole = len(rows) == len(stands)
            self._standing = rows, self.feasible if whole else self.feasible.narrow(rows)
        return self._standing

    def renew(self) -> None:
        """Forget how great the loss has been, for another loss; broken clips stay broken."""
        self.best_loss = torch.where(self.broken, self.best_loss, -torch.inf)

    def gradient(self, free: Tensor) -> tuple[Tensor, Tensor]:
        """The loss ``B`` and its gradient at free points; -∞ and 0 for clips that stand no longer."""
        rows, feasible = self.standing()
        point = free[rows].detach().requires_grad_(True)
        with torch.enable_grad():
            logits = self.view(feasible.clips(point))
            losses = self._objective(logits, rows, feasible, point)
            (found,) = torch.autograd.grad(losses.sum(), point)
        self.backwards[rows] += 1
        gradient = torch.zeros_like(free)
        gradient[rows] = found
        return self._record(rows, point.detach(), losses.detach(), logits.detach()), gradient

    def value(self, free: Tensor) -> Tensor:
        """The loss ``B`` at free points, by a forward pass alone; -∞ for clips that stand no longer."""
        rows, feasible = self.standing()
        point = free[rows]
        logits = self.view(feasible.clips(point))
        return self._record(rows, point, self._objective(logits, rows, feasible, point), logits)

    def _objective(self, logits: Logits, rows: Tensor, feasible: Feasible, point: Tensor) -> Tensor:
        losses = self.loss(logits, self.labels[rows], *(extra[rows] for extra in self.extras))
        return losses - feasible.penalty(point)

    def _record(self, rows: Tensor, point: Tensor, losses: Tensor, logits: Logits) -> Tensor:
        """Keep what is better than before, and take confirmed clips out of the chase."""
        self.forwards[rows] += 1
        if self.feasible.shared:  # one perturbation for all: it is as good as the loss of all clips together
            losses = losses.mean().expand_as(losses)
        better = losses > self.best_loss[rows]
        self.best[rows[better]], self.best_loss[rows[better]] = point[better], losses[better]
        found = torch.full_like(self.best_loss, -torch.inf)
        found[rows] = losses
        if not self.exploring:
            wrong = logits.argmax(1) != self.labels[rows]
            self.offer(rows[wrong], point[wrong])
        return found

    def offer(self, rows: Tensor, point: Tensor) -> None:
        """Let the model judge free points of the clips ``rows`` in float32; those it gets wrong stand no longer."""
        if not len(rows):
            return
        _, predicted = verdict(self.model, self.feasible.narrow(rows).clips(point), self.labels[rows])
        self.forwards[rows] += 1
        broken = predicted != self.labels[rows]
        self.best[rows[broken]], self.broken[rows[broken]] = point[broken], True

    def random(self, generators: list[Generator]) -> Tensor:
        """A random allowed point for each clip from its own generator."""
        if self.feasible.shared:
            return self.feasible.random(generators[0])
        rows = torch.arange(len(generators), device=self.labels.device)
        return torch.cat(
            [self.feasible.narrow(row[None]).random(own) for row, own in zip(rows, generators, strict=True)]
        )

    def generators(self, seed: int) -> list[Generator]:
        """One generator a clip, on the CPU, seeded by ``seed`` and the clip's pixels, whatever batch it is in."""
        clips = self.feasible.clips(self.feasible.start)
        return [torch.Generator().manual_seed(clip_seed(clip, seed)) for clip in clips]

    def uniform(self, generators: list[Generator], *shape: int) -> Tensor:
        """``B`` × ``shape`` uniform numbers in [0, 1), each clip's from its own generator; shared ones are the same."""
        own = generators[:1] if self.feasible.shared else generators
        drawn = torch.stack([torch.rand(shape, generator=generator) for generator in own])
        return drawn.expand(len(self.labels), *shape).to(self.best.device)

    def result(self) -> AttackResult:
        """The best points as clips, judged by the model in float32 with the loss of the search."""
        clips = self.feasible.clips(self.best)

        def loss(logits: Logits, labels: Labels) -> Tensor:
            return self.loss(logits, labels, *self.extras)

        losses, predicted = verdict(self.model, clips, self.labels, loss)
        success, forwards = predicted != self.labels, self.forwards
        return AttackResult(clips.to(self.dtype), success, losses, predicted, forwards + 1, self.backwards, forwards)


def clip_seed(clip: Tensor, seed: int) -> int:
    """A seed for one clip, from its pixels and ``seed``."""
    pixels = clip.detach().cpu().contiguous().numpy().tobytes()
    digest = hashlib.blake2b(pixels, digest_size=7, salt=seed.to_bytes(8, "little", signed=True)).digest()
    return int.from_bytes(digest, "little")


def radii(threat: Threat, free: Tensor) -> Tensor:
    """The budgets as a tensor that broadcasts over free variables (``B …``): one a clip, or one a frame where they have frames."""
    eps = torch.tensor(threat.eps, dtype=free.dtype, device=free.device)
    if eps.ndim < 2:
        return eps.expand(len(free)).view(-1, *[1] * (free.ndim - 1))
    if free.ndim == 5 and free.shape[2] == eps.shape[1]:
        return eps[:, None, :, None, None]
    return eps.amax(1).expand(len(free)).view(-1, *[1] * (free.ndim - 1))


def unbounded(threat: Threat) -> Threat:
    """The same support with no budget but the pixel box: each coordinate has an interval of its own."""
    return replace(threat, norm=Linf(), eps=1.0)
