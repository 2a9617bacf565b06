"""The gradient of a loss with respect to the clips, or to a threat's free variables, and whether it is usable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch

from vidrobust.errors import InputError
from vidrobust.fast.memory import in_parts
from vidrobust.fast.view import View
from vidrobust.losses import cross_entropy

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.losses import Loss
    from vidrobust.threats import Feasible
    from vidrobust.types import ClipTensor, Labels, Logits

LARGE = 1e30
"""Replaces infinite gradients: the sign is kept, and sums stay finite."""


class Ascent(NamedTuple):
    """A loss and its gradient at one point.

    Attributes:
        losses: ``B``.
        logits: ``B K``.
        gradient: like the point, finite: NaN is 0, and what is infinite is large.
        usable: ``B`` bool, was the gradient finite as it came, and not zero where the clip may change? A loss of
            exactly 0 counts as none: cross-entropy gets there when it can no longer tell the label's probability
            from 1, and its gradient has then lost the part that lowers the true logit.
    """

    losses: Tensor
    logits: Logits
    gradient: Tensor
    usable: Tensor


def input_gradient(
    view: Callable[[ClipTensor], Logits], point: ClipTensor, labels: Labels, loss: Loss = cross_entropy
) -> Ascent:
    """The loss, the logits and the loss's gradient with respect to the clips, at ``point`` (``B C T H W``).

    A :class:`~vidrobust.fast.view.View` knows how many clips fit into memory at once, and gets them in parts.

    Raises:
        InputError: the loss does not give one number per clip, or the model has no gradient at all.
    """
    losses, logits, gradient = _in_parts(view, point, labels, loss)
    usable = usable_gradients(gradient) & (losses != 0)
    own = isinstance(view, View) and view.makes_gradient(point)
    return Ascent(losses, logits, _finite(gradient, own), usable)


def uphill(
    view: Callable[[ClipTensor], Logits],
    feasible: Feasible,
    free: Tensor,
    labels: Labels,
    loss: Loss = cross_entropy,
    movable: Tensor | None = None,
) -> Ascent:
    """The loss (less the support's penalty), the logits, and that loss's gradient in the free variables.

    Args:
        view, labels, loss: as in :func:`input_gradient`.
        feasible: what is allowed.
        free: where to look.
        movable: :attr:`~vidrobust.threats.Feasible.movable`, to tell where the gradient is of use; None for everywhere.
    """
    free = free.detach().requires_grad_(True)
    with torch.enable_grad():
        point, charge = feasible.clips(free), feasible.penalty(free)
    losses, logits, gradient, sound = input_gradient(view, point, labels, loss)
    if point is not free:
        (gradient,) = torch.autograd.grad(point, free, gradient)
        gradient = _finite(gradient)
    if point is not free or movable is not None:
        sound = sound & usable_gradients(gradient if movable is None else gradient.masked_fill(~movable, 0))
    if charge.requires_grad:
        (falling,) = torch.autograd.grad(charge, free, torch.ones_like(charge))
        gradient = gradient - falling
    return Ascent(losses - charge.detach(), logits, gradient, sound)


def usable_gradients(gradient: Tensor) -> Tensor:
    """``B`` bool: is a gradient finite, and large enough that its parts are not rounded away?

    >>> usable_gradients(torch.tensor([[0.0, 1.0], [0.0, 0.0], [torch.nan, 1.0], [0.0, 1e-42]])).tolist()
    [True, False, False, False]
    """
    each = tuple(range(1, gradient.ndim))
    largest = torch.maximum(gradient.amax(each), -gradient.amin(each))  # vector_norm's, in a tenth of its time
    return largest.isfinite() & (largest >= torch.finfo(torch.float32).tiny)


def may_change(feasible: Feasible) -> Tensor:
    """``B`` bool: which clips a threat lets change at all (with ε = 0 or an empty mask there is nothing to attack)."""
    movable = feasible.movable
    if movable is None:
        return torch.ones(len(feasible.start), dtype=torch.bool, device=feasible.start.device)
    return movable.flatten(1).any(1)


def _finite(gradient: Tensor, own: bool = False) -> Tensor:
    """NaN as 0 and infinity as LARGE: in a copy, unless the gradient is known to be no one else's."""
    return torch.nan_to_num(gradient, nan=0.0, posinf=LARGE, neginf=-LARGE, out=gradient if own else None)


def _in_parts(
    view: Callable[[ClipTensor], Logits], point: ClipTensor, labels: Labels, loss: Loss
) -> tuple[Tensor, Logits, ClipTensor]:
    def work(clips: ClipTensor, labels: Labels) -> tuple[Tensor, Logits, ClipTensor]:
        return _input_gradient(view, clips, labels, loss)

    parts = view.in_parts(work, point, labels) if isinstance(view, View) else in_parts(work, (point, labels), 1)
    if len(parts) == 1:
        return parts[0]
    losses, logits, gradients = (torch.cat(found) for found in zip(*parts, strict=True))
    return losses, logits, gradients


def _input_gradient(
    view: Callable[[ClipTensor], Logits], point: ClipTensor, labels: Labels, loss: Loss
) -> tuple[Tensor, Logits, ClipTensor]:
    point = point.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = view(point)
        losses = loss(logits, labels)
        if losses.shape != (len(point),):
            raise InputError(
                f"the loss must give one number per clip, {len(point)} in all, but gives the shape "
                f'{tuple(losses.shape)}: no mean (reduction="none").'
            )
        gradient = None
        if losses.requires_grad:  # of the clips, or of weights alone
            (gradient,) = torch.autograd.grad(losses.sum(), point, allow_unused=True)
        if gradient is None:
            raise InputError(
                "the model has no gradient, as an ONNX file has none: only black-box attacks can attack it, such as "
                '"Square(ε=8,queries=1000)" and "RayS(ε=8,queries=1000)".'
            )
    return losses.detach(), logits.detach(), gradient
