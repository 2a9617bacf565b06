"""What all searches share: the goal, the result, the unchanged model, and the final verdict in float32."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.inputs import check_first_answer, check_inputs, steady
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import VidrobustWarning
from vidrobust.fast.memory import in_parts
from vidrobust.fast.precision import full_float32
from vidrobust.fast.view import View, answers, inference_view
from vidrobust.losses import cross_entropy, predicted
from vidrobust.threats.rounding import round_towards

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.fast.precision import Precision
    from vidrobust.losses import Loss
    from vidrobust.threats import Feasible, Threat
    from vidrobust.types import ClipTensor, Labels, Logits


class RobustnessWarning(VidrobustWarning):
    """An attack noticed that the measured robustness may be wrong."""


@dataclass(frozen=True)
class AttackResult:
    """What an attack found, one entry per clip.

    Attributes:
        clips: ``B C T H W`` float32 in [0, 1], the perturbed clips, within the threat with no tolerance.
        success: ``B`` bool, is the clip misclassified (targeted: classified as the target) in float32. On a GPU that is
            the float32 PyTorch is set to, with TF32 in convolutions by default; ``precision="exact"`` is without.
        loss: ``B`` float32, the loss of the returned clips in the same numbers.
        predicted: ``B`` int64, the class the model gives them (:func:`~vidrobust.losses.predicted`); -1 where it gives
            NaN, which counts as misclassified.
        forwards, backwards: ``B`` int64, passes spent on each clip.
        queries: ``B`` int64, the answers of the model that the search used: all forward passes except those of the
            final verdict.
        no_gradient: ``B`` bool, clips that were not broken and whose gradient was zero, rounded away or not finite at
            every step: their survival says nothing about the model.
    """

    clips: ClipTensor
    success: Tensor
    loss: Tensor
    predicted: Tensor
    forwards: Tensor
    backwards: Tensor
    queries: Tensor
    no_gradient: Tensor = field(kw_only=True, default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.no_gradient is None:  # of a search that needs none
            object.__setattr__(self, "no_gradient", torch.zeros_like(self.success))


_counted_by_caller: ContextVar[bool] = ContextVar("counted_by_caller", default=False)


@contextlib.contextmanager
def counting() -> Iterator[None]:
    """A context in which searches do not warn of clips without a gradient: the caller counts them and warns once."""
    before = _counted_by_caller.set(True)
    try:
        yield
    finally:
        _counted_by_caller.reset(before)


def warn_of_no_gradient(count: int, clips: int, loss: object = None, what: str = "") -> None:
    """Warn that some clips survived because no search could attack them, and say what to do.

    Args:
        count: how many.
        clips: of how many.
        loss: what was maximised.
        what: what attacked them, for the start of the message.
    """
    if not count or _counted_by_caller.get():
        return
    saturated = "Cross-entropy has no gradient left where a model is very sure: take loss=margin or loss=dlr. "
    warnings.warn(
        f"{what}the gradient of {count} of {clips} clips was zero or not finite at every step: these were not "
        f"attacked, and that they survive says nothing. {saturated if loss is cross_entropy else ''}Look for a "
        "saturated or quantised output, a detached layer (BPDA), a division by 0 or an overflow; Square and RayS need "
        "no gradient.",
        RobustnessWarning,
        stacklevel=3,
    )


@torch.no_grad()
def exact_outcome(
    model: Callable[[ClipTensor], Logits],
    point: ClipTensor,
    labels: Labels,
    loss: Loss = cross_entropy,
    parts: int = 1,
    exact: bool = False,
) -> tuple[Tensor, Tensor]:
    """The float32 verdict on perturbed clips: loss ``B`` and predicted class ``B``, without autocast.

    It is what the caller's own ``model(clips)`` gives: on a GPU with the TF32 that PyTorch is set to, by default in
    convolutions.

    Args:
        model: the model itself, not its fast copy.
        point: ``B C T H W`` float32.
        labels: ``B``.
        loss: to report.
        parts: in how many parts of about one size to run the clips.
        exact: without TF32, whatever PyTorch is set to.
    """
    numbers = full_float32(point.device) if exact else contextlib.nullcontext()
    with torch.autocast(point.device.type, enabled=False), numbers:
        found = in_parts(lambda part: answers(model)(part).float(), (point,), parts)
    logits = found[0] if len(found) == 1 else torch.cat(found)
    return loss(logits, labels), predicted(logits)


@dataclass(frozen=True)
class Goal:
    """The goal of an attack.

    Args:
        loss: from logits and labels to one number per clip.
        targeted: are the labels the classes to reach, or those to leave?
    """

    loss: Loss = cross_entropy
    targeted: bool = False

    def gain(self, logits: Logits, labels: Labels) -> Tensor:
        """``B``: what the attack maximises."""
        return -self.loss(logits, labels) if self.targeted else self.loss(logits, labels)

    def reached(self, classes: Tensor, labels: Labels) -> Tensor:
        """``B`` bool: is the attack there, where the model gives these classes?"""
        return classes == labels if self.targeted else classes != labels


@dataclass(frozen=True)
class AttackedBatch:
    """A batch under attack.

    Attributes:
        model: decides in float32 what is misclassified.
        view: what is run and differentiated in its place.
        feasible: the allowed clips.
        pixels: the clips in float32, laid out as the view takes them.
        labels: ``B`` int64.
        given: the clips as the caller gave them.
        copied: of clips chosen from another batch, that batch and their rows in it.
    """

    model: Callable[[ClipTensor], Logits]
    view: View
    feasible: Feasible
    pixels: ClipTensor
    labels: Labels
    given: ClipTensor
    copied: tuple[AttackedBatch, Tensor] | None = None

    def some(self, rows: Tensor) -> AttackedBatch:
        """These clips alone, in this order; each may be there more than once."""
        pixels, labels, given = self.pixels[rows], self.labels[rows], self.given[rows]
        feasible, pixels = self.feasible.narrow(rows), pixels.contiguous(memory_format=self.view.layout)
        return AttackedBatch(self.model, self.view, feasible, pixels, labels, given, (self, rows))

    def around(self, threat: Threat) -> Feasible:
        """What another threat allows; its masks and budgets may be one for each clip of the whole batch."""
        if self.copied is None:
            return threat.around(self.pixels)
        batch, rows = self.copied
        return batch.around(threat).narrow(rows)

    def budgets(self, threat: Threat) -> Tensor:
        """The budgets of another threat so that they broadcast over frames, as :meth:`~.Threat.over_frames`."""
        if self.copied is None:
            return threat.over_frames(self.pixels)
        batch, rows = self.copied
        return batch.budgets(threat)[rows]

    def judge(self, feasible: Feasible, free: Tensor, labels: Labels, goal: Goal) -> Tensor:
        """``B`` bool: do these free variables reach the goal, by the model itself in float32?"""
        clips = feasible.clips(free)
        return goal.reached(
            exact_outcome(self.model, clips, labels, parts=self._parts(clips), exact=self.view.exact)[1], labels
        )

    def _parts(self, clips: ClipTensor) -> int:
        """Those of the search or more, as long as no part is one clip: a forward pass is as fast in a few parts."""
        return min(max(self.view.parts(clips), self.view.parts_to_judge(clips)), max(1, len(clips) // 2))

    def result(self, free: Tensor, goal: Goal, forwards: Tensor, backwards: Tensor, unmoved: Tensor) -> AttackResult:
        """The result of a search that ended at ``free``, with the final verdict.

        Args:
            free: the free variables found.
            goal: what was sought.
            forwards, backwards: ``B``, the passes spent.
            unmoved: ``B`` bool, which clips never had a usable gradient.
        """
        clips = to_given_dtype(self.feasible.clips(free).contiguous(), self.pixels, self.given)
        perturbed = clips.float()
        loss, classes = exact_outcome(
            self.model, perturbed, self.labels, goal.loss, self._parts(perturbed), self.view.exact
        )
        reached = goal.reached(classes, self.labels)
        silent = int(loss.isnan().sum())
        if silent:
            warnings.warn(
                f"the model gives NaN for {silent} of {len(perturbed)} perturbed clips: that is no class, and counts "
                "as misclassified. Look for a division by 0 or an overflow.",
                RobustnessWarning,
                stacklevel=3,
            )
        lacking = unmoved & ~reached
        warn_of_no_gradient(int(lacking.sum()), len(perturbed), goal.loss)
        return AttackResult(
            clips.detach(), reached, loss, classes, forwards + 1, backwards, forwards, no_gradient=lacking
        )


@contextlib.contextmanager
def attacked(
    model: Callable[[ClipTensor], Logits], threat: Threat, clips: ClipTensor, labels: Labels, precision: Precision
) -> Iterator[AttackedBatch]:
    """Check the inputs, and keep the model unchanged while a search runs, with gradients disabled by default.

    The first answer of the search is checked. Once for each model, some forward passes of one and two clips make its
    fast copy and measure its memory; these are not counted.
    """
    check_inputs(clips, labels)
    with undisturbed(model), torch.inference_mode(False), torch.no_grad():
        given, labels = steady(clips, labels)
        pixels = given.float()
        view = inference_view(model, pixels, precision)
        check_first_answer(view, pixels, labels)
        pixels = pixels.contiguous(memory_format=view.layout)
        yield AttackedBatch(model, view, threat.around(pixels), pixels, labels, given)


def to_given_dtype(found: ClipTensor, start: ClipTensor, given: ClipTensor) -> ClipTensor:
    """Perturbed float32 clips in the type of the clips as they were given, not a rounding further from them.

    Args:
        found: ``B C T H W`` float32, the perturbed clips.
        start: the clips in float32, from which they were perturbed.
        given: the clips in their own type.
    """
    if given.dtype == torch.float32:
        return found
    moved = found.double() - start.double()
    whole = given.double() + moved
    if given.dtype == torch.float64:  # their sum is rounded itself: by what (Knuth's two-sum), and which way?
        part = whole - given
        lost = (given - (whole - part)) + (moved - part)
        return torch.where(lost.sign() * moved.sign() < 0, torch.nextafter(whole, given), whole).clamp_(0, 1)
    return round_towards(given, whole).clamp_(0, 1)
