"""Checks of what attacks are called with: clips, labels, and a model whose output can be logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vidrobust.errors import InputError
from vidrobust.fast.inference import are_probabilities

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.fast.view import View
    from vidrobust.types import ClipTensor, Labels, Logits


def check_inputs(clips: ClipTensor, labels: Labels) -> None:
    """Refuse clips or labels that would silently give wrong results.

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


def check_logits(logits: Logits, clips: ClipTensor, labels: Labels) -> None:
    """Refuse a model whose output cannot be logits for these labels.

    Raises:
        InputError: wrong shape, labels beyond the last class, NaN, or probabilities instead of logits.
    """
    if check_some_logits(logits, clips, labels).any():
        raise InputError("the model gives NaN or infinite logits for these clips: check its weights.")


def check_some_logits(logits: Logits, clips: ClipTensor, labels: Labels) -> Tensor:
    """As :func:`check_logits`, but that NaN and infinite logits are reported, ``B`` bool, and not refused.

    Raises:
        InputError: wrong shape, labels beyond the last class, or probabilities instead of logits.
    """
    if not torch.is_tensor(logits) or logits.ndim != 2 or len(logits) != len(clips):
        found = tuple(logits.shape) if torch.is_tensor(logits) else type(logits).__name__
        raise InputError(f"the model must give logits of shape ({len(clips)}, classes), but gives {found}.")
    low, high = labels.min().item(), labels.max().item()
    if low < 0 or high >= logits.shape[1]:
        raise InputError(f"labels lie in {low}…{high}, but the model has {logits.shape[1]} classes (0…).")
    values = logits.detach().float()
    silent = ~values.isfinite().all(1)
    if not silent.all() and are_probabilities(values[~silent]):
        raise InputError(
            "the model gives probabilities (they sum to 1), whose gradients vanish: return the logits before softmax."
        )
    return silent


def check_first_answer(view: View, clips: ClipTensor, labels: Labels) -> None:
    """Check the first output of a view as :func:`check_logits` does, without a forward pass of its own.

    A search may start at the edge of the allowed set, where a correct model can fail (one that divides by the contrast
    of a clip that is all white). So a bad output is compared with the one for the clean clips.
    """

    def check(logits: Logits, asked: ClipTensor) -> None:
        try:
            check_logits(logits, asked, labels)
        except InputError:
            probe = clips[: len(asked)]
            with torch.no_grad():
                check_logits(view(probe), probe, labels)

    view.check_first(check)


def steady(clips: ClipTensor, labels: Labels) -> tuple[ClipTensor, Labels]:
    """Clips without a graph, and int64 labels beside them; neither from inference mode, which knows no gradients."""
    given = clips.clone() if clips.is_inference() else clips.detach()
    return given, labels.to(clips.device, torch.int64, copy=labels.is_inference())
