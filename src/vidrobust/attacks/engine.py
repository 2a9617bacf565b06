"""What every attack needs: checked inputs, a model left as it was, logits and input gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrobust.errors import InputError
from vidrobust.losses import cross_entropy

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.losses import Loss
    from vidrobust.types import Clips, Labels, Logits


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
    if clips.ndim != 5:
        raise InputError(f"clips must have the shape B C T H W, but have {tuple(clips.shape)}.")
    if len(clips) == 0:
        raise InputError("the batch is empty: there is nothing to attack.")
    if not clips.is_floating_point():
        raise InputError(f"clips must be floats in [0, 1], but are {clips.dtype}. Divide 8-bit pixels by 255.")
    if clips.shape[1] not in (1, 3) and clips.shape[2] in (1, 3):
        raise InputError(
            f"clips of shape {tuple(clips.shape)} look like B T C H W; this library takes B C T H W. "
            "Use clips.transpose(1, 2)."
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
    sums = values.sum(1)
    if bool((values >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3) and logits.shape[1] > 1:
        raise InputError(
            "the model gives probabilities (they sum to 1), whose gradients vanish: return the logits before softmax."
        )


@contextlib.contextmanager
def undisturbed(model: Callable[[Clips], Logits]) -> Iterator[None]:
    """Evaluation mode and frozen parameters inside; every flag, gradient and buffer as it was afterwards.

    Also after an exception. Sub-modules get back their own train/eval flag each.
    """
    if not isinstance(model, nn.Module):
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, required in flags:
            parameter.requires_grad_(required)


def input_gradient(
    view: Callable[[Clips], Logits], point: Clips, labels: Labels, loss: Loss = cross_entropy
) -> tuple[Tensor, Logits, Clips]:
    """Loss ``B``, logits ``B K`` and the loss's gradient with respect to the clips, at ``point``."""
    point = point.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = view(point)
        losses = loss(logits, labels)
        (gradient,) = torch.autograd.grad(losses.sum(), point)
    return losses.detach(), logits.detach(), gradient


@torch.no_grad()
def verdict(
    model: Callable[[Clips], Logits], point: Clips, labels: Labels, loss: Loss = cross_entropy
) -> tuple[Tensor, Tensor]:
    """The float32 word on perturbed clips: loss ``B`` and predicted class ``B``, without autocast."""
    with torch.autocast(point.device.type, enabled=False):
        logits = model(point).float()
    return loss(logits, labels), logits.argmax(1)
