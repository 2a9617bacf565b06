"""Gradient attacks: projected gradient descent and its one-step form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch

from vidrobust.attacks.base import (
    AttackResult,
    Goal,
    Subject,
    attacked,
    check_first_answer,
    check_inputs,
    steady,
    undisturbed,
    uphill,
)
from vidrobust.attacks.counts import at_least_one, check_seed, not_negative
from vidrobust.attacks.rows import put
from vidrobust.attacks.step_size import Alpha, check_alpha, resolved
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.fast.view import View, inference_view
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
        threat: the norm, the budget and the support.
        alpha: step size, above 0, in the units of the pixels (``2 / 255``), in the threat's norm; ``auto`` calibrates
            it for this model, threat and iteration count (:func:`~vidrobust.attacks.step_size.resolve_alpha`).
        steps: iterations, at least 1.
        random_start: start anywhere in the ball instead of at the clip.
        keep: ``best`` returns the first misclassified iterate, or else the one with the largest loss (a broken clip
            leaves the batch at once, so this costs less); ``last`` returns the last iterate whatever it is.
        seed: of the random start; the global random state is neither read nor changed.
        precision: ``exact`` switches off the fast copy of the model (folded, bfloat16); the final verdict is float32
            in both.
        momentum: decay μ ≥ 0 of the accumulated gradient, each divided by its mean size first (Dong et al., CVPR 2018);
            0 is plain PGD.
        restarts: runs, at least 1, of which the first is as above and the others start at random, on the clips that
            still stand; ``keep`` must be ``best``.
        targeted: the labels are the classes to reach, and the loss is minimised.
        loss: what is maximised, from logits and labels to one number a clip.

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
    alpha: Alpha
    steps: int
    random_start: bool = False
    keep: Literal["best", "last"] = "best"
    seed: int = 0
    precision: Precision = "auto"
    momentum: float = 0.0
    restarts: int = 1
    targeted: bool = False
    loss: Loss = cross_entropy

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        at_least_one(steps=self.steps, restarts=self.restarts)
        not_negative(momentum=self.momentum)
        check_seed(self.seed)
        if self.keep not in ("best", "last"):
            raise InputError(f'keep must be "best" or "last", but is {self.keep!r}.')
        if self.restarts > 1 and self.keep == "last":
            raise InputError('several restarts have no last iterate: use keep="best" or restarts=1.')

    def __call__(self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was.

        Raises:
            InputError: clips, labels or the model's output are not what they must be.
        """
        if self.alpha == "auto":
            return resolved(self, model, clips, labels)(model, clips, labels)
        with attacked(model, self.threat, clips, labels, self.precision) as subject:
            if self.keep == "last":
                free = self._end(subject.view, subject.feasible, subject.labels, self._start(subject.feasible))
                spent = torch.full_like(subject.labels, self.steps)
                return subject.result(free, self._goal, spent, spent)
            record = _Record(subject)
            search = self._together if subject.feasible.shared else self._each
            for restart in range(self.restarts):
                if record.standing.any():
                    search(subject, record, self._start(subject.feasible, restart))
            return subject.result(record.free, self._goal, record.forwards, record.backwards)

    def trajectory(
        self,
        model: Callable[[Clips], Logits],
        clips: Clips,
        labels: Labels,
        loss: Loss | None = None,
    ) -> Iterator[Iterate]:
        """Every iterate from step 0 (the start) to the last: one trajectory serves all iteration counts.

        Costs ``steps`` gradients and one more forward pass. The losses are those of the fast copy. Between two iterates
        the model is as it was.
        """
        check_inputs(clips, labels)
        attack = resolved(self if loss is None else replace(self, loss=loss), model, clips, labels)
        with torch.inference_mode(False):
            given, labels = steady(clips, labels)
            iterates = attack._iterates(model, given.float(), labels)
        while True:
            with undisturbed(model), torch.inference_mode(False):
                iterate = next(iterates, None)
            if iterate is None:
                return
            yield iterate

    def _iterates(self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> Iterator[Iterate]:
        view = inference_view(model, clips, self.precision)
        check_first_answer(view, clips, labels)
        feasible = self.threat.around(clips.contiguous(memory_format=view.layout))
        free, memory = self._start(feasible), None
        for step in range(self.steps):
            gains, logits, gradient = uphill(view, feasible, free, labels, self._goal.gain)
            yield Iterate(step, feasible.clips(free), -gains if self.targeted else gains, logits.argmax(1))
            free, memory = self._moved(feasible, free, gradient, memory)
        clips = feasible.clips(free)
        with torch.no_grad():
            logits = view(clips)
        yield Iterate(self.steps, clips, self.loss(logits, labels), logits.argmax(1))

    def perturb(
        self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels, start: Tensor | None = None
    ) -> Clips:
        """The last iterate alone, unchecked and unjudged: ``steps`` gradients and nothing else, for training.

        Args:
            model, clips: as in a call.
            labels: ``B``, or whatever else ``loss`` compares logits with, ``B`` long.
            start: free variables of the threat to start at, instead of the clips or a random point.
        """
        attack = resolved(self, model, clips, labels)
        with undisturbed(model):
            view = inference_view(model, clips, self.precision)
            feasible = self.threat.around(clips.detach().contiguous(memory_format=view.layout))
            start = attack._start(feasible) if start is None else start
            return feasible.clips(attack._end(view, feasible, labels, start)).detach().contiguous()

    @property
    def _goal(self) -> Goal:
        return Goal(self.loss, self.targeted)

    def _start(self, feasible: Feasible, restart: int = 0) -> Tensor:
        if not self.random_start and restart == 0:
            return feasible.start
        return feasible.random(torch.Generator().manual_seed(self.seed + restart))

    def _moved(
        self, feasible: Feasible, free: Tensor, gradient: Tensor, memory: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The next free variables, and the accumulated gradient if there is momentum."""
        if self.momentum:
            each = gradient.abs().flatten(1).mean(1).clamp(min=torch.finfo(torch.float32).tiny)
            gradient = gradient / each.view(-1, *[1] * (gradient.ndim - 1))
            memory = gradient if memory is None else self.momentum * memory + gradient
            gradient = memory
        assert self.alpha != "auto"  # resolved before the first step
        return feasible.step(free, gradient, self.alpha), memory

    def _end(self, view: View, feasible: Feasible, labels: Labels, free: Tensor) -> Tensor:
        """The free variables after the last step from ``free``."""
        memory = None
        for _ in range(self.steps):
            # No name for the gradient: it would outlive the step and add to the peak of the next one's memory.
            free, memory = self._moved(feasible, free, uphill(view, feasible, free, labels, self._goal.gain)[2], memory)
        return free

    def _each(self, subject: Subject, record: _Record, free: Tensor) -> None:
        """One run, in which clips leave the batch when a float32 forward pass confirms that they are broken."""
        alive, feasible, goal, memory = record.standing.nonzero().flatten(), subject.feasible, self._goal, None
        if len(alive) < len(free):
            free, feasible = free[alive], feasible.narrow(alive)
        for step in range(self.steps + 1):
            labels = subject.labels[alive]
            last = step == self.steps
            gains, logits, gradient = _seen(subject.view, feasible, free, labels, goal, last)
            record.note(alive, free, gains, differentiated=not last)
            broken = goal.reached(logits.argmax(1), labels)
            if broken.any():
                broken = record.confirm(subject, alive, feasible, free, broken, goal)
                keep = ~broken
                alive, free, gradient, feasible = alive[keep], free[keep], gradient[keep], feasible.narrow(keep)
                memory = None if memory is None else memory[keep]
            if last or not len(alive):
                break
            free, memory = self._moved(feasible, free, gradient, memory)

    def _together(self, subject: Subject, record: _Record, free: Tensor) -> None:
        """One run of a perturbation that all clips share: the iterate counts that breaks the most of them."""
        memory, goal = None, self._goal
        for step in range(self.steps + 1):
            last = step == self.steps
            gains, logits, gradient = _seen(subject.view, subject.feasible, free, subject.labels, goal, last)
            broken = goal.reached(logits.argmax(1), subject.labels).sum()
            record.note_all(free, gains.mean(), broken, differentiated=not last)
            if not last:
                free, memory = self._moved(subject.feasible, free, gradient, memory)


def _seen(
    view: View, feasible: Feasible, free: Tensor, labels: Labels, goal: Goal, last: bool
) -> tuple[Tensor, Logits, Tensor]:
    """What :func:`uphill` gives; of the last iterate no gradient is needed, and none (``free`` instead) is made."""
    if not last:
        return uphill(view, feasible, free, labels, goal.gain)
    logits = view(feasible.clips(free))
    return goal.gain(logits, labels) - feasible.penalty(free), logits, free


class _Record:
    """The best free variables so far, which clips still stand, and what was spent on each."""

    def __init__(self, subject: Subject) -> None:
        self.free = subject.feasible.start.clone()
        self.gain = torch.full(subject.labels.shape, -torch.inf, device=self.free.device)
        self.standing = torch.ones_like(subject.labels, dtype=torch.bool)
        self.forwards, self.backwards = torch.zeros_like(subject.labels), torch.zeros_like(subject.labels)
        self.broken = -1

    def note(self, rows: Tensor, free: Tensor, gains: Tensor, differentiated: bool) -> None:
        """Take over what is better than the best so far."""
        self.forwards[rows] += 1
        self.backwards[rows] += int(differentiated)
        higher = gains > self.gain[rows]
        put(self.free, rows, higher, free)
        put(self.gain, rows, higher, gains)

    def confirm(
        self, subject: Subject, rows: Tensor, feasible: Feasible, free: Tensor, broken: Tensor, goal: Goal
    ) -> Tensor:
        """Which of the ``broken`` are so in float32; they are final, and stand no longer."""
        self.forwards[rows[broken]] += 1
        confirmed = broken.clone()
        labels = subject.labels[rows[broken]]
        confirmed[broken] = subject.judge(feasible.narrow(broken), free[broken], labels, goal)
        self.free[rows[confirmed]], self.standing[rows[confirmed]] = free[confirmed], False
        return confirmed

    def note_all(self, free: Tensor, gain: Tensor, broken: Tensor, differentiated: bool) -> None:
        """Take over a shared perturbation that breaks more clips, or as many with a greater mean gain."""
        self.forwards += 1
        self.backwards += int(differentiated)
        if (int(broken), float(gain)) > (self.broken, float(self.gain[0])):
            self.free, self.broken = free, int(broken)
            self.gain.fill_(gain)


@dataclass(frozen=True)
class FGSM:
    """The fast gradient sign method (Goodfellow et al., ICLR 2015, section 4): one step of size ε.

    Args:
        threat: the norm, the budget and the support.
        random_start: start anywhere in the ball instead of at the clip, and step by 1.25 ε (FGSM-RS; Wong, Rice and
            Kolter, ICLR 2020).
        seed: of the random start.
        precision, targeted, loss: as in :class:`PGD`.
    """

    threat: Threat
    random_start: bool = False
    seed: int = 0
    precision: Precision = "auto"
    targeted: bool = False
    loss: Loss = cross_entropy

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def __call__(self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``)."""
        goal = Goal(self.loss, self.targeted)
        with attacked(model, self.threat, clips, labels, self.precision) as subject:
            feasible, free = subject.feasible, subject.feasible.start
            if self.random_start:
                free = feasible.random(torch.Generator().manual_seed(self.seed))
            _, _, gradient = uphill(subject.view, feasible, free, subject.labels, goal.gain)
            eps = self.threat.over_frames(subject.pixels).float()[:, None, :, None, None]
            free = feasible.step(free, gradient, eps * 1.25 if self.random_start else eps)
            spent = torch.ones_like(subject.labels)
            return subject.result(free, goal, spent, spent)
