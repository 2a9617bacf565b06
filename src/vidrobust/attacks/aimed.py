"""Targeted attacks on clips whose true labels are given: one target class for all clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.attacks.traits import Wrapper

if TYPE_CHECKING:
    from vidrobust.attacks.base import AttackResult
    from vidrobust.types import ClipTensor, Labels, Logits


@dataclass(frozen=True)
class Aimed(Wrapper):
    """A targeted attack that is called with the true classes, like an untargeted one, and aims at a fixed class.

    Args:
        search: with ``targeted=True``.
        target: the class to reach.

    >>> from vidrobust import PGD, Linf, Threat
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 8 * 8, 5))
    >>> clips = torch.rand(2, 3, 4, 8, 8)
    >>> aimed = Aimed(PGD(Threat(Linf(), 1.0), 0.2, 20, targeted=True), target=3)
    >>> aimed(model, clips, model(clips).argmax(1)).predicted.tolist()
    [3, 3]
    """

    search: Any
    target: int

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """The result of the search, whose success is that of reaching the class."""
        return self.search(model, clips, torch.full_like(labels, self.target))
