"""A threat: a norm, a budget and a support."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import torch

from vidrobust.errors import InputError
from vidrobust.threats.norms import Linf
from vidrobust.threats.supports import Masked, WholeClip

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.threats.feasible import Feasible
    from vidrobust.threats.norms import Norm
    from vidrobust.threats.supports import Support
    from vidrobust.types import ClipTensor

Budget: TypeAlias = "float | Sequence[float] | Sequence[Sequence[float]] | Tensor"


@dataclass(frozen=True)
class Threat:
    """What perturbations are allowed.

    Args:
        norm: how its size is measured: :class:`Linf`, :class:`L2` or :class:`L1`.
        eps: the budget ε, in the units of the pixels (``8 / 255``), measured on the clip whatever the support. A tensor
            or sequence of one budget per clip (``B``), or per frame (``B T``, or ``1 T`` for all clips), is stored as
            plain numbers, so that threats can be compared and hashed.
        support: where the perturbation may be, such as :class:`Border` or :class:`Flicker`.
        views: the number of views of a video that each clip holds, one after another in time; the budget applies to
            each view. Under L2 and L1, perturbations that are not pixel by pixel (a flicker) share one budget, which no
            view exceeds.

    Raises:
        InputError: a budget is below 0, or above the largest perturbation there is (1 under L∞).

    >>> from vidrobust.threats import Linf
    >>> threat = Threat(Linf(), eps=8 / 255)
    >>> clips = torch.full((1, 3, 2, 4, 4), 0.5)
    >>> moved = threat.around(clips).project(clips + 1)
    >>> bool((moved - clips).abs().max() <= 8 / 255)
    True
    """

    norm: Norm
    eps: Budget
    support: Support = WholeClip()
    views: int = field(default=1, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "eps", _numbers(self.eps))
        for name, part in (("norm", self.norm), ("support", self.support)):
            if isinstance(part, type) or not hasattr(part, "around"):
                raise InputError(f"{name} must be an object such as Linf() or Border(0.1), but is {part!r}.")
        for eps in _flat(_numbers(self.eps)):
            self._check(eps, self.norm.largest(math.inf))

    def around(self, clips: ClipTensor) -> Feasible:
        """The feasible set around ``clips`` (``B C T H W`` in [0, 1], float32).

        Raises:
            InputError: the budgets do not fit the batch, or the support the clips.
        """
        for eps in _flat(_numbers(self.eps)):
            self._check(eps, self.norm.largest(clips[0].numel()))
        return self.support.around(clips, self.norm, self.budgets(clips))

    def _check(self, eps: float, largest: float) -> None:
        if not 0 <= eps <= largest:
            raise InputError(
                f"eps must lie in [0, {largest:g}], the range of the pixels under {self.norm}, but is {eps}. "
                f"For {eps} grey levels write eps={eps}/255."
            )

    def budgets(self, clips: ClipTensor) -> Tensor:
        """The budget of each clip, ``B 1``, of each frame, ``B T``, or of each view, ``B views``, in float64."""
        eps = torch.tensor(self.eps, dtype=torch.float64, device=clips.device)
        if eps.ndim == 2:
            eps = eps.repeat(1, self.views)
        wanted = ((), (len(clips),), (len(clips), clips.shape[2]))[min(eps.ndim, 2)]
        if eps.ndim == 2 and len(eps) == 1:
            eps = eps.expand(len(clips), -1)
        if eps.shape != wanted:
            raise InputError(
                f"eps has the shape {tuple(eps.shape)}, but there are {len(clips)} clips of {clips.shape[2]} frames: "
                "give one number, one per clip (B), or one per frame (B T)."
            )
        if eps.ndim == 2:
            return eps
        apart = isinstance(self.support, Masked) and not isinstance(self.norm, Linf)  # L∞ on all is L∞ on each
        return eps.expand(len(clips))[:, None].expand(-1, self.views if apart else 1)

    def over_frames(self, clips: ClipTensor) -> Tensor:
        """The budgets so that they broadcast over frames: ``B 1``, or ``B T``."""
        eps = self.budgets(clips)
        return eps if eps.shape[1] == 1 else eps.repeat_interleave(clips.shape[2] // eps.shape[1], 1)


NestedNumbers: TypeAlias = "float | tuple[NestedNumbers, ...]"


def _numbers(eps: object) -> NestedNumbers:
    """Plain numbers from a number, a sequence or a tensor."""
    tolist = getattr(eps, "tolist", None)
    values = eps if tolist is None else tolist()
    if isinstance(values, Sequence) and not isinstance(values, str):
        found = tuple(_numbers(value) for value in values)
        if len({len(part) if isinstance(part, tuple) else -1 for part in found}) > 1:
            raise InputError(f"eps must have as many numbers for each clip, but is {eps!r}.")
        return found
    if isinstance(values, (int, float)) and not isinstance(values, bool):
        return values
    raise InputError(f"eps must be a number, or one per clip or per frame, but is {eps!r}.")


def _flat(eps: NestedNumbers) -> list[float]:
    return [number for part in eps for number in _flat(part)] if isinstance(eps, tuple) else [eps]
