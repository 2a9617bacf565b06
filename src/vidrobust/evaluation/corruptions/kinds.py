"""What a kind of corruption is, and how it draws: from a generator of each clip's own, never from the batch's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor

REFERENCE_SIZE = 224
"""Side in pixels of the frames for which lengths in pixels were published; they are scaled to other sizes."""

Apply: TypeAlias = "Callable[[ClipTensor, Any, ClipDraws], ClipTensor]"


class ClipDraws:
    """Random numbers for a batch of clips, each clip's from its own seed.

    A clip's numbers depend on its seed and on what was drawn of them before, not on its neighbours nor on the device.

    Args:
        seeds: one for each clip.
        device: where the numbers go; they are drawn on the CPU.

    >>> two, one = ClipDraws([3, 5]).uniform(4), ClipDraws([5]).uniform(4)
    >>> bool((two[1] == one[0]).all())
    True
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._device = torch.device(device)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """``B`` × shape, float32, in [low, high)."""
        return low + (high - low) * self._each(lambda one: torch.rand(shape, generator=one))

    def normal(self, *shape: int) -> Tensor:
        """``B`` × shape, float32, standard normal."""
        return self._each(lambda one: torch.randn(shape, generator=one))

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """``B`` × shape, int64, in [low, high)."""
        return self._each(lambda one: torch.randint(low, high, shape, generator=one))

    def orders(self, count: int) -> Tensor:
        """``B`` × count, int64: a permutation for each clip."""
        return self._each(lambda one: torch.randperm(count, generator=one))

    def poisson(self, rates: Tensor) -> Tensor:
        """Of the shape of the rates (``B …``), float32: Poisson variables."""
        pairs = zip(rates.cpu(), self._generators, strict=True)
        return torch.stack([torch.poisson(own, generator=one) for own, one in pairs]).to(self._device)

    def _each(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        return torch.stack([draw(one) for one in self._generators]).to(self._device)


@dataclass(frozen=True)
class CorruptionKind:
    """One kind of corruption in one convention.

    Attributes:
        name: as the convention calls it.
        group: what it belongs to, such as ``noise``.
        levels: what its severities 1 to 5 mean.
        meaning: what a level is, with its unit.
        apply: from clips ``B C T H W`` in [0, 1], a level and draws to clips of the same shape, maybe outside [0, 1].
        draws: does it draw at random: never, anew for each frame, or once for the video?
    """

    name: str
    group: str
    levels: tuple[Any, Any, Any, Any, Any]
    meaning: str
    apply: Apply
    draws: Literal["never", "frame", "video"] = "never"


@dataclass(frozen=True)
class CorruptionConvention:
    """A named set of kinds with their severities.

    Attributes:
        name: such as ``minikinetics-c``.
        source: where it was published.
        kinds: in the order in which they are shown.
        beside: names of kinds that its mean over kinds leaves out.
    """

    name: str
    source: str
    kinds: tuple[CorruptionKind, ...]
    beside: tuple[str, ...] = ()

    def kind(self, name: str) -> CorruptionKind | None:
        """The kind of this name, in whatever case it is typed."""
        return next((one for one in self.kinds if one.name == name.lower()), None)


def scale_of(clips: ClipTensor) -> float:
    """How large frames are, compared to those for which lengths in pixels were published."""
    return min(clips.shape[-2:]) / REFERENCE_SIZE
