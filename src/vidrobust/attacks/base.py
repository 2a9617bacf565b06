"""What every attack needs: checked inputs, a model left as it was, logits and input gradients."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from vidrobust.attacks.enclosed import moving_buffers, put_back
from vidrobust.errors import InputError
from vidrobust.fast.inference import are_probabilities
from vidrobust.fast.memory import in_parts
from vidrobust.fast.precision import full_float32
from vidrobust.fast.view import View, answers, inference_view
from vidrobust.losses import cross_entropy
from vidrobust.threats.rounding import towards

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.fast.precision import Precision
    from vidrobust.losses import Loss
    from vidrobust.threats import Feasible, Threat
    from vidrobust.types import Clips, Labels, Logits


class RobustnessWarning(UserWarning):
    """The measured robustness may be wrong: what an attack noticed."""


@dataclass(frozen=True)
class AttackResult:
    """What an attack found, one entry a clip.

    Attributes:
        clips: ``B C T H W`` float32 in [0, 1], the perturbed clips, within the threat with no tolerance.
        success: ``B`` bool, is the clip misclassified (targeted: classified as the target) in float32.
        loss: ``B`` float32, the loss of the returned clips in float32.
        predicted: ``B`` int64, the class the model gives them.
        forwards, backwards: ``B`` int64, passes spent on each clip.
        queries: ``B`` int64, the answers of the model that the search used: all forward passes but the closing verdict,
            which only reports.
    """

    clips: Clips
    success: Tensor
    loss: Tensor
    predicted: Tensor
    forwards: Tensor
    backwards: Tensor
    queries: Tensor


def check_inputs(clips: Clips, labels: Labels) -> None:
    """Refuse what would give a silent wrong number.

    Raises:
        InputError: wrong layout, type or range of the clips or the labels, NaN, an empty batch.
    """
    for name, given in (("clips", clips), ("labels", labels)):
        if not torch.is_tensor(given):
            raise InputError(f"{name} must be a tensor, but are {type(given).__name__}. Use torch.as_tensor.")
    if clips.ndim != 5:
        hint = " For one clip alone use clips[None]." if clips.ndim == 4 else ""
        raise InputError(f"clips must have the shape B C T H W, but have {tuple(clips.shape)}.{hint}")
    if clips.numel() == 0:
        raise InputError(f"the batch is empty (its shape is {tuple(clips.shape)}): there is nothing to attack.")
    if not clips.is_floating_point():
        raise InputError(f"clips must be floats in [0, 1], but are {clips.dtype}. Divide 8-bit pixels by 255.")
    if clips.shape[1] not in (1, 3) and clips.shape[2] in (1, 3):
        raise InputError(
            f"clips of shape {tuple(clips.shape)} look like B T C H W; this library takes B C T H W. "
            "Use clips.transpose(1, 2)."
        )
    if clips.shape[1] not in (1, 3) and clips.shape[4] in (1, 3):
        raise InputError(
            f"clips of shape {tuple(clips.shape)} look like B T H W C; this library takes B C T H W. "
            "Use clips.permute(0, 4, 1, 2, 3)."
        )
    low, high = clips.detach().aminmax()
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise InputError(
            f"pixels must lie in [0, 1], but lie in [{low.item():.4g}, {high.item():.4g}]. Divide 8-bit pixels by 255 "
            "and leave normalisation to the model."
        )
    if labels.shape != clips.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise InputError(
            f"labels must be {len(clips)} class indices (int64), but are {labels.dtype} {tuple(labels.shape)}."
        )
    if labels.min() < 0:
        raise InputError(f"labels are class indices from 0, but the smallest is {labels.min().item()}.")


def check_logits(logits: Logits, clips: Clips, labels: Labels) -> None:
    """Refuse a model whose output cannot be logits for these labels.

    Raises:
        InputError: wrong shape, labels beyond the last class, NaN, or probabilities instead of logits.
    """
    if not torch.is_tensor(logits) or logits.ndim != 2 or len(logits) != len(clips):
        found = tuple(logits.shape) if torch.is_tensor(logits) else type(logits).__name__
        raise InputError(f"the model must give logits of shape ({len(clips)}, classes), but gives {found}.")
    low, high = labels.min().item(), labels.max().item()
    if low < 0 or high >= logits.shape[1]:
        raise InputError(f"labels lie in {low}…{high}, but the model has {logits.shape[1]} classes (0…).")
    values = logits.detach().float()
    if not torch.isfinite(values).all():
        raise InputError("the model gives NaN or infinite logits for these clips: check its weights.")
    if are_probabilities(values):
        raise InputError(
            "the model gives probabilities (they sum to 1), whose gradients vanish: return the logits before softmax."
        )


def check_first_answer(view: View, clips: Clips, labels: Labels) -> None:
    """Have the first answer of a view checked, as :func:`check_logits` does; a pass of its own would cost half a step.

    A search may first ask at the edge of what is allowed, where a sound model can fail (one that divides by the
    contrast of a clip that is all white). So a bad answer is held against the one for the clips themselves.
    """

    def check(logits: Logits, asked: Clips) -> None:
        try:
            check_logits(logits, asked, labels)
        except InputError:
            few = clips[: len(asked)]
            with torch.no_grad():
                check_logits(view(few), few, labels)

    view.check_first(check)


def steady(clips: Clips, labels: Labels) -> tuple[Clips, Labels]:
    """Clips without a graph, and int64 labels beside them; neither from inference mode, which knows no gradients."""
    given = clips.clone() if clips.is_inference() else clips.detach()
    return given, labels.to(clips.device, torch.int64, copy=labels.is_inference())


@contextlib.contextmanager
def undisturbed(model: Callable[[Clips], Logits]) -> Iterator[None]:
    """Evaluation mode and frozen parameters inside; afterwards all is as it was, also after an exception.

    That is: the train/eval flag of every sub-module, ``requires_grad`` and ``.grad`` of every parameter, and the global
    random states of PyTorch, NumPy and Python. Buffers do not move in evaluation mode. A model that draws random
    numbers draws the same ones in every attack that starts from the same state. A function is asked as it is: modules
    behind it keep their modes, and get their buffers back.
    """
    module = model if isinstance(model, nn.Module) else getattr(model, "__self__", None)  # of a bound method
    module = module if isinstance(module, nn.Module) else nn.Module()
    modes = [
        (part, part.training) for part in module.modules() if hasattr(part, "training")
    ]  # frozen scripts have none
    flags = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    moving = [] if isinstance(model, nn.Module) else moving_buffers(model)
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices):
        try:
            if modes:
                module.eval()
            for parameter, _ in flags:
                parameter.requires_grad_(False)
            yield
        finally:
            for part, training in modes:
                part.training = training
            for parameter, required in flags:
                parameter.requires_grad_(required)
            put_back(moving)
            random.setstate(drawn)
            np.random.set_state(drawn_by_numpy)


def input_gradient(
    view: Callable[[Clips], Logits], point: Clips, labels: Labels, loss: Loss = cross_entropy
) -> tuple[Tensor, Logits, Clips]:
    """Loss ``B``, logits ``B K`` and the loss's gradient with respect to the clips, at ``point``.

    A :class:`~vidrobust.fast.view.View` knows how many clips fit into memory at once, and gets them in parts.
    """
    if not isinstance(view, View):
        return _input_gradient(view, point, labels, loss)
    parts = view.in_parts(lambda clips, labels: _input_gradient(view, clips, labels, loss), point, labels)
    if len(parts) == 1:
        return parts[0]
    losses, logits, gradients = (torch.cat(found) for found in zip(*parts, strict=True))
    return losses, logits, gradients


def _input_gradient(
    view: Callable[[Clips], Logits], point: Clips, labels: Labels, loss: Loss
) -> tuple[Tensor, Logits, Clips]:
    point = point.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = view(point)
        losses = loss(logits, labels)
        if losses.shape != (len(point),):
            raise InputError(
                f"the loss must give one number a clip, {len(point)} in all, but gives the shape "
                f'{tuple(losses.shape)}: no mean (reduction="none").'
            )
        if not losses.requires_grad:
            raise InputError(
                "the model has no gradient, as an ONNX file has none: only black-box attacks can attack it, such as "
                '"Square(ε=8,queries=1000)" and "RayS(ε=8,queries=1000)".'
            )
        (gradient,) = torch.autograd.grad(losses.sum(), point)
    return losses.detach(), logits.detach(), gradient


def uphill(
    view: Callable[[Clips], Logits], feasible: Feasible, free: Tensor, labels: Labels, loss: Loss = cross_entropy
) -> tuple[Tensor, Logits, Tensor]:
    """Loss ``B`` (less the support's penalty), logits ``B K``, and that loss's gradient in the free variables."""
    free = free.detach().requires_grad_(True)
    with torch.enable_grad():
        point, charge = feasible.clips(free), feasible.penalty(free)
    losses, logits, gradient = input_gradient(view, point, labels, loss)
    if point is not free:
        (gradient,) = torch.autograd.grad(point, free, gradient)
    if charge.requires_grad:
        (falling,) = torch.autograd.grad(charge, free, torch.ones_like(charge))
        gradient = gradient - falling
    return losses - charge.detach(), logits, gradient


@torch.no_grad()
def verdict(
    model: Callable[[Clips], Logits],
    point: Clips,
    labels: Labels,
    loss: Loss = cross_entropy,
    parts: int = 1,
) -> tuple[Tensor, Tensor]:
    """The float32 word on perturbed clips: loss ``B`` and predicted class ``B``, without autocast.

    Args:
        model: the model itself, not its fast copy.
        point: ``B C T H W`` float32.
        labels: ``B``.
        loss: to report.
        parts: in how many parts of about one size to run the clips.
    """
    with torch.autocast(point.device.type, enabled=False), full_float32(point.device):
        found = in_parts(lambda part: answers(model)(part).float(), (point,), parts)
    logits = found[0] if len(found) == 1 else torch.cat(found)
    return loss(logits, labels), logits.argmax(1)


@dataclass(frozen=True)
class Goal:
    """What an attack is after.

    Args:
        loss: from logits and labels to one number a clip.
        targeted: are the labels the classes to reach, or those to leave?
    """

    loss: Loss = cross_entropy
    targeted: bool = False

    def gain(self, logits: Logits, labels: Labels) -> Tensor:
        """``B``: what the attack maximises."""
        return -self.loss(logits, labels) if self.targeted else self.loss(logits, labels)

    def reached(self, predicted: Tensor, labels: Labels) -> Tensor:
        """``B`` bool: is the attack there?"""
        return predicted == labels if self.targeted else predicted != labels


@dataclass(frozen=True)
class Subject:
    """A batch under attack.

    Attributes:
        model: has the last word on what is misclassified, in float32.
        view: what is run and differentiated in its place.
        feasible: the allowed clips.
        pixels: the clips in float32, laid out as the view takes them.
        labels: ``B`` int64.
        given: the clips as the caller gave them.
    """

    model: Callable[[Clips], Logits]
    view: View
    feasible: Feasible
    pixels: Clips
    labels: Labels
    given: Clips

    def judge(self, feasible: Feasible, free: Tensor, labels: Labels, goal: Goal) -> Tensor:
        """``B`` bool: do these free variables reach the goal, by the model's word in float32?"""
        clips = feasible.clips(free)
        return goal.reached(verdict(self.model, clips, labels, parts=self._parts(clips))[1], labels)

    def _parts(self, clips: Clips) -> int:
        """Those of the search, as long as no part is one clip; a forward pass alone holds little at once."""
        return min(self.view.parts(clips), max(1, len(clips) // 2))

    def result(self, free: Tensor, goal: Goal, forwards: Tensor, backwards: Tensor) -> AttackResult:
        """The result of a search that ended at ``free``, with the closing verdict."""
        clips = restore(self.feasible.clips(free).contiguous(), self.pixels, self.given)
        shown = clips.float()
        loss, predicted = verdict(self.model, shown, self.labels, goal.loss, self._parts(shown))
        reached = goal.reached(predicted, self.labels)
        silent = int(loss.isnan().sum())
        if silent:
            warnings.warn(
                f"the model gives NaN for {silent} of {len(shown)} perturbed clips: that is no class, and counts as "
                "whatever argmax makes of it. Look for a division by 0 or an overflow.",
                RobustnessWarning,
                stacklevel=3,
            )
        return AttackResult(clips.detach(), reached, loss, predicted, forwards + 1, backwards, forwards)


@contextlib.contextmanager
def attacked(
    model: Callable[[Clips], Logits], threat: Threat, clips: Clips, labels: Labels, precision: Precision
) -> Iterator[Subject]:
    """Check the inputs and hold the model still while a search runs; no gradients but those that are asked for.

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
        yield Subject(model, view, threat.around(pixels), pixels, labels, given)


def restore(found: Clips, start: Clips, given: Clips) -> Clips:
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
    return towards(given, whole).clamp_(0, 1)
