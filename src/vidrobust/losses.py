"""Per-clip losses: what an attack maximises and training minimises.

A loss goes from logits ``B K`` and labels ``B`` to one number per clip, which is large where the model is wrong. A
targeted loss takes the classes aimed at as well. Cross-entropy is what models are trained on; the others do not
saturate on confident logits, and are above 0 exactly where the clip is misclassified. What is right is decided by
:func:`predicted`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import Labels, Logits

    Loss: TypeAlias = Callable[[Logits, Labels], Tensor]
    """From logits ``B K`` and labels ``B`` to a loss ``B``, one number per clip."""

    TargetedLoss: TypeAlias = Callable[[Logits, Labels, Labels], Tensor]
    """From logits ``B K``, labels ``B`` and targets ``B`` to a loss ``B`` that is large where the target wins."""


def predicted(logits: Logits) -> Tensor:
    """The class that logits name: the one of the largest, of several equal ones the first, as ``torch.argmax`` has it.

    This decides everywhere what is right and what an attack has broken. A clip with a logit that is NaN has no class.

    Args:
        logits: ``B K``.

    Returns:
        ``B`` int64, in 0…K-1; -1, which no label equals, where a logit is NaN.

    >>> import torch
    >>> predicted(torch.tensor([[1.0, 3.0, 2.0], [2.0, 2.0, 0.0], [torch.nan, 1.0, 0.0]])).tolist()
    [1, 0, -1]
    """
    return logits.argmax(1).masked_fill(logits.isnan().any(1), -1)


def ranks(logits: Logits, labels: Labels) -> Tensor:
    """How many classes stand before the true one, 0 being right: of equal logits the first, as in :func:`predicted`.

    Args:
        logits: ``B K``.
        labels: ``B``, in 0…K-1.

    Returns:
        ``B`` int64; K, which is behind every class, where a logit is NaN.

    >>> import torch
    >>> ranks(torch.zeros(3, 3), torch.tensor([0, 1, 2])).tolist()
    [0, 1, 2]
    """
    true, place = logits.gather(1, labels[:, None]), torch.arange(logits.shape[1], device=logits.device)
    before = (logits > true) | ((logits == true) & (place < labels[:, None]))
    return before.sum(1).masked_fill(logits.isnan().any(1), logits.shape[1])


def cross_entropy(logits: Logits, labels: Labels) -> Tensor:
    """Cross-entropy of each clip, in nats.

    Args:
        logits: ``B K``.
        labels: ``B``, in 0…K-1.

    Returns:
        ``B``, at least 0.

    >>> import torch
    >>> cross_entropy(torch.zeros(1, 2), torch.tensor([0])).item()  # log 2
    0.6931471824645996
    """
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Logits, labels: Labels) -> Tensor:
    """By how much the best wrong logit exceeds the true one (Carlini & Wagner 2017, section V-A, loss f6).

    Args:
        logits: ``B K``, K at least 2.
        labels: ``B``, in 0…K-1.

    Returns:
        ``B``, above 0 exactly where the clip is misclassified.

    Raises:
        InputError: there is only one class.

    >>> margin(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0])).item()
    -1.0
    """
    _need_classes(logits, 2, "margin")
    true = logits.gather(1, labels[:, None]).squeeze(1)
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return wrong - true


def dlr(logits: Logits, labels: Labels) -> Tensor:
    """The difference of logits ratio (Croce & Hein, ICML 2020, section 5, equation 6).

    The margin over the distance from the largest to the third largest logit: neither a shift nor a scale of the logits
    changes it, so no classifier hides its gradient by large logits.

    Args:
        logits: ``B K``, K at least 3.
        labels: ``B``, in 0…K-1.

    Returns:
        ``B`` in [-1, 1], above 0 exactly where the clip is misclassified.

    Raises:
        InputError: there are fewer than 3 classes; take :func:`margin`.

    >>> dlr(torch.tensor([[30.0, 10.0, 20.0]]), torch.tensor([0])).item()
    -0.5
    """
    _need_classes(logits, 3, "DLR")
    ranked = logits.topk(3, dim=1).values
    return margin(logits, labels) / _positive(ranked[:, 0] - ranked[:, 2])


def targeted_margin(logits: Logits, labels: Labels, targets: Labels) -> Tensor:
    """By how much the target's logit exceeds the true one.

    Args:
        logits: ``B K``.
        labels, targets: ``B``, in 0…K-1.

    >>> targeted_margin(torch.tensor([[3.0, 1.0]]), torch.tensor([0]), torch.tensor([1])).item()
    -2.0
    """
    return (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None])).squeeze(1)


def targeted_dlr(logits: Logits, labels: Labels, targets: Labels) -> Tensor:
    """The targeted difference of logits ratio (Croce & Hein, ICML 2020, section 5, equation 7).

    Args:
        logits: ``B K``, K at least 4.
        labels, targets: ``B``, in 0…K-1.

    Returns:
        ``B``, above 0 where the target's logit exceeds the true one.

    Raises:
        InputError: there are fewer than 4 classes; take :func:`targeted_margin`.

    >>> logits, label, target = torch.tensor([[4.0, 1.0, 2.0, 0.0]]), torch.tensor([0]), torch.tensor([2])
    >>> round(targeted_dlr(logits, label, target).item(), 4)  # (2 - 4) / (4 - (1 + 0) / 2)
    -0.5714
    """
    _need_classes(logits, 4, "targeted DLR")
    ranked = logits.topk(4, dim=1).values
    spread = ranked[:, 0] - (ranked[:, 2] + ranked[:, 3]) / 2
    return targeted_margin(logits, labels, targets) / _positive(spread)


def smoothed(logits: Logits, labels: Labels, smooth: float = 0.0) -> Tensor:
    """Cross-entropy with the label's probability lowered by ``smooth``, spread over all classes (Szegedy et al., 2016).

    Args:
        logits: ``B K``.
        labels: ``B``, in 0…K-1.
        smooth: in [0, 1).
    """
    return F.cross_entropy(logits, labels, reduction="none", label_smoothing=smooth)


def divergence(logits: Logits, clean: Tensor) -> Tensor:
    """The Kullback–Leibler divergence of predicted from given probabilities (TRADES; Zhang et al., ICML 2019, eq. 5).

    Args:
        logits: ``B K``, of the clips attacked.
        clean: ``B K``, the probabilities of the clean clips.

    Returns:
        ``B``, at least 0 but for rounding.

    >>> divergence(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).item()  # log 2
    0.6931471824645996
    """
    return F.kl_div(logits.log_softmax(1), clean, reduction="none").sum(1)


def boosted_cross_entropy(logits: Logits, labels: Labels) -> Tensor:
    """Cross-entropy plus what keeps the best wrong class down (MART; Wang et al., ICLR 2020, equation 7).

    Args:
        logits: ``B K``, K at least 2.
        labels: ``B``, in 0…K-1.
    """
    _need_classes(logits, 2, "boosted cross-entropy")
    probabilities = logits.softmax(1)
    wrong = probabilities.scatter(1, labels[:, None], -1.0).amax(1)
    return cross_entropy(logits, labels) - torch.log(1.0001 - wrong + 1e-12)


def _positive(spread: Tensor) -> Tensor:
    """Equal logits have a spread of 0 and a margin of 0: their ratio is 0, not NaN."""
    return spread.clamp(min=1e-12)


def _need_classes(logits: Logits, least: int, name: str) -> None:
    if logits.shape[1] < least:
        raise InputError(
            f"the {name} loss needs at least {least} classes, but the model has {logits.shape[1]}. "
            + ("There is nothing to mistake it for." if least == 2 else "Take the margin loss.")
        )
