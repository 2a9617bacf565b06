"""Gradient attacks: projected gradient descent and its one-step form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from vidrobust.attacks.engine import (
    AttackResult,
    check_inputs,
    check_logits,
    input_gradient,
    undisturbed,
    verdict,
)
from vidrobust.attacks.inference import Precision, inference_view
from vidrobust.errors import InputError
from vidrobust.losses import cross_entropy
from vidrobust.threats import Threat

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.losses import Loss
    from vidrobust.threats import Feasible
    from vidrobust.types import Clips, Labels, Logits


@dataclass(frozen=True)
class Iterate:
    """One point of a trajectory: the clips after ``step`` steps, with the loss and the class they get there."""

    step: int
    clips: Clips
    loss: Tensor
    predicted: Tensor


@dataclass(frozen=True)
class PGD:
    """Projected gradient descent (Madry et al., ICLR 2018, section 2.1).

    Args:
        threat: the norm and the budget.
        alpha: step size, above 0, in the units of the pixels (``2 / 255``).
        steps: iterations, at least 1.
        random_start: start anywhere in the ball instead of at the clip.
        keep: ``best`` returns the first misclassified iterate, or else the one with the largest loss (a broken clip
            leaves the batch at once, so this costs less); ``last`` returns the last iterate whatever it is.
        seed: of the random start; the global random state is neither read nor changed.
        precision: ``exact`` switches off the fast copy of the model (folded, bfloat16); the final verdict is float32
            in both.

    Raises:
        InputError: a value is out of its range.

    >>> from vidrobust.threats import Linf
    >>> head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> clips, labels = torch.rand(5, 3, 2, 4, 4), torch.zeros(5, dtype=torch.int64)
    >>> attack = PGD(Threat(Linf(), eps=8 / 255), alpha=2 / 255, steps=10)
    >>> result = attack(head, clips, labels)
    >>> bool((result.clips - clips).abs().max() <= 8 / 255)
    True
    """

    threat: Threat
    alpha: float
    steps: int
    random_start: bool = False
    keep: Literal["best", "last"] = "best"
    seed: int = 0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise InputError(f"alpha, the step size, must be above 0, but is {self.alpha}.")
        if self.steps < 1 or int(self.steps) != self.steps:
            raise InputError(f"steps must be a whole number of at least 1, but is {self.steps}.")
        if self.keep not in ("best", "last"):
            raise InputError(f'keep must be "best" or "last", but is {self.keep!r}.')

    def __call__(self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was.

        Raises:
            InputError: clips, labels or the model's output are not what they must be.
        """
        check_inputs(clips, labels)
        clips = clips.detach().float()
        with undisturbed(model), torch.no_grad():
            check_logits(model(clips[:1]), clips[:1], labels)
            view = inference_view(model, clips, self.precision)
            search = self._last if self.keep == "last" else self._best
            return search(model, view, clips, labels)

    def trajectory(
        self,
        model: Callable[[Clips], Logits],
        clips: Clips,
        labels: Labels,
        loss: Loss = cross_entropy,
    ) -> Iterator[Iterate]:
        """Every iterate from step 0 (the start) to the last: one trajectory serves all iteration counts.

        Costs ``steps`` gradients and one more forward pass. The losses are those of the fast copy.
        """
        check_inputs(clips, labels)
        clips = clips.detach().float()
        with undisturbed(model):
            view = inference_view(model, clips, self.precision)
            yield from self._iterates(view, clips, labels, loss)

    def _iterates(
        self, view: Callable[[Clips], Logits], clips: Clips, labels: Labels, loss: Loss = cross_entropy
    ) -> Iterator[Iterate]:
        feasible = self.threat.around(clips)
        point = self._start(clips, feasible)
        for step in range(self.steps):
            losses, logits, gradient = input_gradient(view, point, labels, loss)
            yield Iterate(step, point, losses, logits.argmax(1))
            point = feasible.step(point, gradient, self.alpha)
        with torch.no_grad():
            logits = view(point)
        yield Iterate(self.steps, point, loss(logits, labels), logits.argmax(1))

    def _start(self, clips: Clips, feasible: Feasible) -> Clips:
        return feasible.random(torch.Generator().manual_seed(self.seed)) if self.random_start else clips

    def perturb(self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> Clips:
        """The last iterate alone, unchecked and unjudged: ``steps`` gradients and nothing else, for training."""
        with undisturbed(model):
            return self._perturb(inference_view(model, clips, self.precision), clips, labels)

    def _perturb(self, view: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> Clips:
        feasible = self.threat.around(clips)
        point = self._start(clips, feasible)
        for _ in range(self.steps):
            _, _, gradient = input_gradient(view, point, labels)
            point = feasible.step(point, gradient, self.alpha)
        return point

    def _last(
        self, model: Callable[[Clips], Logits], view: Callable[[Clips], Logits], clips: Clips, labels: Labels
    ) -> AttackResult:
        point = self._perturb(view, clips, labels)
        loss, predicted = verdict(model, point, labels)
        spent = torch.full_like(labels, self.steps)
        return AttackResult(point, predicted != labels, loss, predicted, spent + 1, spent, spent)

    def _best(
        self, model: Callable[[Clips], Logits], view: Callable[[Clips], Logits], clips: Clips, labels: Labels
    ) -> AttackResult:
        """Clips leave the batch when a float32 forward pass confirms that they are broken."""
        best = clips.clone()
        best_loss = torch.full(labels.shape, -torch.inf, device=clips.device)
        forwards, backwards = torch.zeros_like(labels), torch.zeros_like(labels)
        feasible = self.threat.around(clips)
        point, alive = self._start(clips, feasible), torch.arange(len(clips), device=clips.device)
        for step in range(self.steps + 1):
            last = step == self.steps
            y = labels[alive]
            if last:
                logits = view(point)
                losses, gradient = cross_entropy(logits, y), point
            else:
                losses, logits, gradient = input_gradient(view, point, y)
                backwards[alive] += 1
            forwards[alive] += 1
            higher = losses > best_loss[alive]
            best[alive[higher]], best_loss[alive[higher]] = point[higher], losses[higher]
            broken = logits.argmax(1) != y
            if broken.any():
                broken = self._confirm(model, point, y, broken)
                forwards[alive[broken]] += 1
                best[alive[broken]] = point[broken]
                keep = ~broken
                alive, point, gradient, feasible = alive[keep], point[keep], gradient[keep], feasible.narrow(keep)
            if last or not len(alive):
                break
            point = feasible.step(point, gradient, self.alpha)
        loss, predicted = verdict(model, best, labels)
        return AttackResult(best, predicted != labels, loss, predicted, forwards + 1, backwards, forwards)

    @staticmethod
    def _confirm(model: Callable[[Clips], Logits], point: Clips, labels: Labels, broken: Tensor) -> Tensor:
        confirmed = broken.clone()
        _, predicted = verdict(model, point[broken], labels[broken])
        confirmed[broken] = predicted != labels[broken]
        return confirmed


@dataclass(frozen=True)
class FGSM:
    """The fast gradient sign method (Goodfellow et al., ICLR 2015, section 4): one step of size ε.

    Args:
        threat: the norm and the budget.
        precision: as in :class:`PGD`.
    """

    threat: Threat
    precision: Precision = "auto"

    def __call__(self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``)."""
        alpha = max(self.threat.eps, torch.finfo(torch.float32).tiny)  # a budget of 0 is the clip itself
        return PGD(self.threat, alpha, steps=1, keep="last", precision=self.precision)(model, clips, labels)
