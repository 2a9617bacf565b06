"""Gradient attacks: projected gradient descent and its one-step form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch

from vidrobust.attacks.base import AttackResult, Goal, warn_of_no_gradient
from vidrobust.attacks.counts import at_least_one, check_seed, not_negative
from vidrobust.attacks.gradients import may_change, uphill
from vidrobust.attacks.inputs import check_first_answer, check_inputs, steady
from vidrobust.attacks.searching import SearchState, searching
from vidrobust.attacks.step_size import Alpha, check_alpha, resolved
from vidrobust.attacks.traits import Traits
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.fast.view import View, inference_view
from vidrobust.losses import cross_entropy, predicted
from vidrobust.threats import Threat

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.losses import Loss
    from vidrobust.threats import Feasible
    from vidrobust.types import ClipTensor, Labels, Logits


@dataclass(frozen=True)
class Iterate:
    """One point of a trajectory: the clips after ``step`` steps, with the loss and the class they get there.

    Attributes:
        step: from 0, the start.
        clips: ``B C T H W``.
        loss, predicted: ``B``, as in :class:`~vidrobust.attacks.base.AttackResult`.
        no_gradient: ``B`` bool, did they have no usable gradient at any step so far (at the last iterate: and are not
            broken)?
    """

    step: int
    clips: ClipTensor
    loss: Tensor
    predicted: Tensor
    no_gradient: Tensor


@dataclass(frozen=True)
class PGD(Traits):
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
        loss: what is maximised, from logits and labels to one number per clip.

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

    @property
    def cost(self) -> int:
        return self.restarts * self.steps

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was.

        Raises:
            InputError: clips, labels or the model's output are not what they must be.
        """
        if self.alpha == "auto":
            return resolved(self, model, clips, labels)(model, clips, labels)
        with searching(model, self.threat, clips, labels, self.loss, self.precision, self.targeted) as run:
            if self.keep == "last":
                run.best, run.moved = self._end(run.view, run.feasible, run.labels, self._start(run.feasible))
                run.forwards, run.backwards, run.asked = (
                    run.forwards + self.steps,
                    run.backwards + self.steps,
                    ~run.asked,
                )
                return run.result()
            for restart in range(self.restarts):
                if not run.over:
                    self._climb(run, self._start(run.feasible, restart))
            return run.result()

    def trajectory(
        self,
        model: Callable[[ClipTensor], Logits],
        clips: ClipTensor,
        labels: Labels,
        loss: Loss | None = None,
        alphas: Tensor | None = None,
    ) -> Iterator[Iterate]:
        """Every iterate from step 0 (the start) to the last: one trajectory serves all iteration counts.

        Costs ``steps`` gradients and one more forward pass. The losses are those of the fast copy. Between two iterates
        the model is as it was.

        Args:
            model, clips, labels: as in a call.
            loss: maximised instead of the attack's own.
            alphas: ``B``, a step size for each clip instead of ``alpha``, so that a batch may compare several.
        """
        check_inputs(clips, labels)
        attack = self if loss is None else replace(self, loss=loss)
        if alphas is None:
            attack = resolved(attack, model, clips, labels)
        with torch.inference_mode(False):
            given, labels = steady(clips, labels)
            iterates = attack._iterates(model, given.float(), labels, alphas)
        while True:
            with undisturbed(model), torch.inference_mode(False):
                iterate = next(iterates, None)
            if iterate is None:
                return
            yield iterate

    def _iterates(
        self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels, alphas: Tensor | None
    ) -> Iterator[Iterate]:
        view = inference_view(model, clips, self.precision)
        check_first_answer(view, clips, labels)
        feasible = self.threat.around(clips.contiguous(memory_format=view.layout))
        free, memory, movable = self._start(feasible), None, feasible.movable
        lacking = may_change(feasible)
        each = None if alphas is None else alphas.to(free).view(-1, *[1] * (free.ndim - 1))
        for step in range(self.steps):
            gains, logits, gradient, usable = uphill(view, feasible, free, labels, self._goal.gain, movable)
            lacking = lacking & ~usable
            losses = -gains if self.targeted else gains
            yield Iterate(step, feasible.clips(free), losses, predicted(logits), lacking)
            free, memory = self._moved(feasible, free, gradient, memory, each)
        clips = feasible.clips(free)
        with torch.no_grad():
            logits = view(clips)
        classes = predicted(logits)
        lacking = lacking & ~self._goal.reached(classes, labels)
        warn_of_no_gradient(int(lacking.sum()), len(lacking), self.loss)
        yield Iterate(self.steps, clips, self.loss(logits, labels), classes, lacking)

    def perturb(
        self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels, start: Tensor | None = None
    ) -> ClipTensor:
        """The last iterate, without checks of the inputs and without a verdict: ``steps`` gradients, for training.

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
            return feasible.clips(attack._end(view, feasible, labels, start)[0]).detach().contiguous()

    @property
    def _goal(self) -> Goal:
        return Goal(self.loss, self.targeted)

    def _start(self, feasible: Feasible, restart: int = 0) -> Tensor:
        if not self.random_start and restart == 0:
            return feasible.start
        return feasible.random(torch.Generator().manual_seed(self.seed + restart))

    def _moved(
        self, feasible: Feasible, free: Tensor, gradient: Tensor, memory: Tensor | None, alphas: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The next free variables, maybe where the gradient was, and the accumulated gradient if there is momentum."""
        if self.momentum:
            each = gradient.abs().flatten(1).mean(1).clamp(min=torch.finfo(torch.float32).tiny)
            gradient = gradient / each.view(-1, *[1] * (gradient.ndim - 1))
            memory = gradient if memory is None else self.momentum * memory + gradient
            gradient = memory
        out = None if self.momentum else gradient
        if alphas is not None:
            return feasible.step(free, gradient, alphas, out), memory
        assert self.alpha != "auto"  # resolved before the first step
        return feasible.step(free, gradient, self.alpha, out), memory

    def _end(self, view: View, feasible: Feasible, labels: Labels, free: Tensor) -> tuple[Tensor, Tensor]:
        """The free variables after the last step from ``free``, and which clips had a usable gradient on the way."""
        memory, movable = None, feasible.movable
        moved = torch.zeros(len(free), dtype=torch.bool, device=free.device)
        for _ in range(self.steps):
            free, memory, usable = self._stepped(view, feasible, free, labels, memory, movable)
            moved |= usable
        return free, moved

    def _stepped(
        self,
        view: View,
        feasible: Feasible,
        free: Tensor,
        labels: Labels,
        memory: Tensor | None,
        movable: Tensor | None,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """One step in a frame of its own, so that its gradient does not add to the peak of the next one's memory."""
        found = uphill(view, feasible, free, labels, self._goal.gain, movable)
        return *self._moved(feasible, free, found.gradient, memory), found.usable

    def _climb(self, run: SearchState, free: Tensor) -> None:
        """One run from ``free``, in which clips leave the batch as they are broken."""
        (rows, feasible), memory = run.standing(), None
        if len(rows) < len(free):
            free = free[rows]
        for _ in range(self.steps):
            _, gradient = run.ascend(rows, feasible, free)
            left, feasible = run.standing()
            if left is not rows:
                stands = ~run.broken[rows]
                rows, free, gradient = left, free[stands], gradient[stands]
                memory = None if memory is None else memory[stands]
            if not len(rows):
                return
            free, memory = self._moved(feasible, free, gradient, memory)
        run.look(rows, feasible, free)


@dataclass(frozen=True)
class FGSM(Traits):
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

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``)."""
        with searching(model, self.threat, clips, labels, self.loss, self.precision, self.targeted) as run:
            run.exploring, free = True, run.feasible.start
            if self.random_start:
                free = run.feasible.random(torch.Generator().manual_seed(self.seed))
            _, gradient = run.gradient(free)
            eps = self.threat.over_frames(run.subject.pixels).float()[:, None, :, None, None]
            run.best = run.feasible.step(free, gradient, eps * 1.25 if self.random_start else eps)
            return run.result()
