"""What every search here shares: which clips still stand, the best point found of each, and what it cost.

A search keeps its state for the whole batch and asks :class:`Chase` for losses and gradients at a point. Only clips that
still stand are run through the model; a clip whose misclassification a float32 forward pass confirms stands no longer.
Random numbers are drawn for each clip from a seed of its own, so that they do not depend on the batch it is in.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.engine import AttackResult, check_inputs, check_logits, undisturbed, verdict
from vidrobust.attacks.inference import Precision, inference_view

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
) -> Iterator[Chase]:
    """Check the inputs and open a :class:`Chase`; the model is left as it was, also after an exception."""
    check_inputs(clips, labels)
    pixels = clips.detach().float()
    with undisturbed(model), torch.no_grad():
        check_logits(model(pixels[:1]), pixels[:1], labels)
        yield Chase(model, inference_view(model, pixels, precision), threat.around(pixels), labels, loss, clips.dtype)


class Chase:
    """A batch under attack, with one free point a clip.

    Args:
        model: has the last word on what is misclassified, in float32.
        view: what is run and differentiated in its place.
        feasible: the allowed points.
        labels: ``B``.
        loss: from logits, labels and :attr:`extras` to one number a clip.
        dtype: of the clips in the result.

    Attributes:
        extras: further tensors for the loss with one row a clip, such as targets.
        best: the free points of the greatest loss so far, or the first that was misclassified.
        best_loss: ``B``.
        broken: ``B`` bool, which clips are misclassified at :attr:`best`.
        spent: forwards, backwards and queries of each clip, ``3 B``.
    """

    def __init__(
        self,
        model: Callable[[Clips], Logits],
        view: Callable[[Clips], Logits],
        feasible: Feasible,
        labels: Labels,
        loss: Callable[..., Tensor],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model, self.view, self.feasible = model, view, feasible
        self.labels, self.loss, self.dtype = labels, loss, dtype
        self.extras: tuple[Tensor, ...] = ()
        self.best = feasible.start.detach().clone()
        self.best_loss = torch.full(labels.shape, -torch.inf, device=self.best.device)
        self.broken = torch.zeros_like(labels, dtype=torch.bool)
        self.spent = torch.zeros(3, len(labels), dtype=torch.int64, device=labels.device)
        self._standing: tuple[Tensor, Feasible] | None = None

    @property
    def over(self) -> bool:
        """Does no clip stand any more?"""
        return bool(self.broken.all())

    def standing(self) -> tuple[Tensor, Feasible]:
        """The indices of the clips that stand, and their feasible set."""
        if self._standing is None:
            rows = (~self.broken).nonzero().flatten()
            self._standing = rows, self.feasible if len(rows) == len(self.broken) else self.feasible.narrow(rows)
        return self._standing

    def renew(self, loss: Callable[..., Tensor] | None = None) -> None:
        """Forget how great the loss has been, for a restart or another loss; broken clips stay broken."""
        self.loss = loss or self.loss
        self.best_loss = torch.where(self.broken, self.best_loss, -torch.inf)

    def gradient(self, free: Tensor) -> tuple[Tensor, Tensor]:
        """The loss ``B`` and its gradient at free points; -∞ and 0 for clips that stand no longer."""
        rows, feasible = self.standing()
        point = free[rows].detach().requires_grad_(True)
        with torch.enable_grad():
            logits = self.view(feasible.clips(point))
            losses = self._objective(logits, rows, feasible, point)
            (found,) = torch.autograd.grad(losses.sum(), point)
        self.spent[:2, rows] += 1
        gradient = torch.zeros_like(free)
        gradient[rows] = found
        return self._record(rows, point.detach(), losses.detach(), logits.detach()), gradient

    def value(self, free: Tensor) -> Tensor:
        """The loss ``B`` at free points, by a forward pass alone; -∞ for clips that stand no longer."""
        rows, feasible = self.standing()
        point = free[rows]
        logits = self.view(feasible.clips(point))
        self.spent[0, rows] += 1
        return self._record(rows, point, self._objective(logits, rows, feasible, point), logits)

    def query(self, free: Tensor) -> Tensor:
        """As :meth:`value`, counted as a query: all that a black-box search may do."""
        rows, _ = self.standing()
        self.spent[2, rows] += 1
        return self.value(free)

    def _objective(self, logits: Logits, rows: Tensor, feasible: Feasible, point: Tensor) -> Tensor:
        losses = self.loss(logits, self.labels[rows], *(extra[rows] for extra in self.extras))
        return losses - feasible.penalty(point)

    def _record(self, rows: Tensor, point: Tensor, losses: Tensor, logits: Logits) -> Tensor:
        """Keep what is better than before, and take confirmed clips out of the chase."""
        if self.feasible.shared:  # one perturbation for all: it is as good as the loss of all clips together
            losses = losses.mean().expand_as(losses)
        better = losses > self.best_loss[rows]
        self.best[rows[better]], self.best_loss[rows[better]] = point[better], losses[better]
        found = torch.full_like(self.best_loss, -torch.inf)
        found[rows] = losses
        if not self.feasible.shared:
            self._confirm(rows, point, logits.argmax(1) != self.labels[rows])
        return found

    def _confirm(self, rows: Tensor, point: Tensor, suspect: Tensor) -> None:
        if not suspect.any():
            return
        rows, point = rows[suspect], point[suspect]
        _, predicted = verdict(self.model, self.feasible.narrow(rows).clips(point), self.labels[rows])
        self.spent[0, rows] += 1
        broken = predicted != self.labels[rows]
        self.best[rows[broken]], self.broken[rows[broken]] = point[broken], True
        self._standing = None

    def offer(self, rows: Tensor, point: Tensor) -> None:
        """Let the model judge free points of the clips ``rows``, found by other means, in float32."""
        self._confirm(rows, point, torch.ones_like(rows, dtype=torch.bool))

    def random(self, generators: list[Generator]) -> Tensor:
        """A random allowed point for each clip from its own generator."""
        if self.feasible.shared:
            return self.feasible.random(generators[0])
        rows = torch.arange(len(generators), device=self.labels.device)
        return torch.cat([self.feasible.narrow(row[None]).random(own) for row, own in zip(rows, generators)])

    def generators(self, seed: int) -> list[Generator]:
        """One generator a clip, on the CPU, seeded by ``seed`` and the clip's pixels, whatever batch it is in."""
        return [torch.Generator().manual_seed(own) for own in clip_seeds(self.feasible, seed)]

    def uniform(self, generators: list[Generator], *shape: int) -> Tensor:
        """``B`` × ``shape`` uniform numbers in [0, 1), each clip's from its own generator; shared ones are the same."""
        if self.feasible.shared:
            generators = [generators[0]]
        drawn = torch.stack([torch.rand(shape, generator=own) for own in generators])
        return drawn.expand(len(self.labels), *shape).to(self.best.device)

    def result(self) -> AttackResult:
        """The best points as clips, judged by the model in float32 with the loss of the search."""
        clips = self.feasible.clips(self.best)

        def loss(logits: Logits, labels: Labels) -> Tensor:
            return self.loss(logits, labels, *self.extras)

        losses, predicted = verdict(self.model, clips, self.labels, loss)
        forwards, backwards, queries = self.spent
        success = predicted != self.labels
        return AttackResult(clips.to(self.dtype), success, losses, predicted, forwards + 1, backwards, queries)


def clip_seeds(feasible: Feasible, seed: int) -> list[int]:
    """A seed for each clip, from its pixels and ``seed``."""
    shown = feasible.clips(feasible.start).detach().cpu().contiguous()
    return [
        int.from_bytes(hashlib.blake2b(clip.numpy().tobytes(), digest_size=7, salt=seed.to_bytes(8, "little", signed=True)).digest(), "little")
        for clip in shown
    ]
