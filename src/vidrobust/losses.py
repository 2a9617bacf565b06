"""Per-clip losses: what an attack maximises and training minimises."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import Labels, Logits

    Loss: TypeAlias = Callable[[Logits, Labels], Tensor]
    """From logits ``B K`` and labels ``B`` to a loss ``B``, one number a clip."""


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
