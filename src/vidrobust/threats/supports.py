"""Where a perturbation may live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.threats.feasible import Feasible
    from vidrobust.threats.norms import Norm
    from vidrobust.types import Clips


class Support(Protocol):
    """Where a perturbation may live, and in which free variables it is searched."""

    def around(self, clips: Clips, norm: Norm, eps: Tensor) -> Feasible:
        """The feasible set around ``clips`` (``B C T H W``); ``eps``: ``B 1`` or ``B T`` float64."""
        ...


@dataclass(frozen=True)
class WholeClip:
    """Every pixel of every frame."""

    def around(self, clips: Clips, norm: Norm, eps: Tensor) -> Feasible:
        low, high = clips.new_zeros(()).expand_as(clips), clips.new_ones(()).expand_as(clips)
        return norm.around(clips, eps, low, high)
