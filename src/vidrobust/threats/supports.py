"""Supports: which pixels a perturbation may change, and its free variables."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import torch

from vidrobust.errors import InputError
from vidrobust.threats.tied import scale, tie

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.threats.feasible import Feasible
    from vidrobust.threats.norms import Norm
    from vidrobust.types import ClipTensor


class Support(Protocol):
    """Which pixels a perturbation may change, and its free variables."""

    def around(self, clips: ClipTensor, norm: Norm, eps: Tensor) -> Feasible:
        """The feasible set around ``clips``.

        Args:
            clips: ``B C T H W`` float32 in [0, 1].
            norm: how the perturbation is measured, on the clip.
            eps: budgets, float64: ``B 1``, or ``B T`` for one per frame.
        """
        ...


class Masked(ABC):
    """A support that excludes some pixels; the free variables are the clips."""

    @abstractmethod
    def mask(self, clips: ClipTensor) -> Tensor:
        """Which pixels may change: bool, broadcastable to ``B C T H W``."""

    def around(self, clips: ClipTensor, norm: Norm, eps: Tensor) -> Feasible:
        mask = self.mask(clips)
        return norm.around(clips, eps, torch.where(mask, 0, clips), torch.where(mask, 1, clips))


@dataclass(frozen=True)
class WholeClip(Masked):
    """Every pixel of every frame."""

    def mask(self, clips: ClipTensor) -> Tensor:
        return torch.ones((), dtype=torch.bool, device=clips.device)

    def around(self, clips: ClipTensor, norm: Norm, eps: Tensor) -> Feasible:
        low, high = clips.new_zeros(()).expand_as(clips), clips.new_ones(()).expand_as(clips)
        return norm.around(clips, eps, low, high)


@dataclass(frozen=True)
class Area(Masked):
    """A rectangle of the frame's shape, the same in all frames, that covers a share of the frame.

    Args:
        ratio: the share of the frame's area, above 0 and at most 1.
        place: ``centre``, or ``random``: a place of its own for each clip.
        seed: of the random places.

    Raises:
        InputError: the ratio is out of range, or the place is unknown.

    >>> Area(0.25).mask(torch.rand(2, 3, 4, 8, 8)).sum().item()
    16
    """

    ratio: float
    place: Literal["centre", "random"] = "centre"
    seed: int = 0

    def __post_init__(self) -> None:
        _check_ratio(self.ratio)
        if self.place not in ("centre", "random"):
            raise InputError(f'place must be "centre" or "random", but is {self.place!r}.')

    def mask(self, clips: ClipTensor) -> Tensor:
        height, width = (max(1, round(math.sqrt(self.ratio) * side)) for side in clips.shape[3:])
        room = [side - size for side, size in zip(clips.shape[3:], (height, width), strict=True)]
        if self.place == "centre":
            return _rectangle(clips, torch.tensor([[room[0] // 2, room[1] // 2]]), height, width)
        generator = torch.Generator().manual_seed(self.seed)
        share = torch.rand(len(clips), 2, generator=generator, dtype=torch.float32)
        return _rectangle(clips, (share * (torch.tensor(room) + 1)).long(), height, width)


@dataclass(frozen=True)
class Patch(Masked):
    """A rectangle at a place, the same in all frames and clips.

    Args:
        top, left: its upper left pixel.
        height, width: in pixels.

    Raises:
        InputError: a number is negative or a side is 0; later, the patch leaves the frame.
    """

    works: ClassVar[tuple[str, ...]] = ("brown2017",)

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if not all(isinstance(number, int) for number in (self.top, self.left, self.height, self.width)):
            raise InputError(f"a patch is placed in whole pixels, but is {self}.")
        if min(self.top, self.left) < 0 or min(self.height, self.width) < 1:
            raise InputError(f"a patch needs a place of at least 0 and sides of at least 1 pixel, but is {self}.")

    def mask(self, clips: ClipTensor) -> Tensor:
        if self.top + self.height > clips.shape[3] or self.left + self.width > clips.shape[4]:
            raise InputError(f"{self} leaves the frame, which has {clips.shape[3]}×{clips.shape[4]} pixels.")
        return _rectangle(clips, torch.tensor([[self.top, self.left]]), self.height, self.width)


@dataclass(frozen=True)
class Border(Masked):
    """A frame around the picture, equally wide on all sides, that covers a share of it (Zajac et al., AAAI 2019).

    Args:
        ratio: the share of the frame's area, above 0 and at most 1; the border is at least one pixel wide.

    Raises:
        InputError: the ratio is out of range.

    >>> Border(0.4).mask(torch.rand(1, 3, 4, 10, 10)).sum().item()
    36
    """

    works: ClassVar[tuple[str, ...]] = ("zajac2019",)

    ratio: float

    def __post_init__(self) -> None:
        _check_ratio(self.ratio)

    def mask(self, clips: ClipTensor) -> Tensor:
        height, width = clips.shape[3:]
        # The thickness t at which (height - 2t)(width - 2t) pixels of the picture are left.
        around = height + width
        thick = (around - math.sqrt(around**2 - 4 * self.ratio * height * width)) / 4
        thick = min(max(1, round(thick)), (min(height, width) + 1) // 2)
        inner = max(height - 2 * thick, 0), max(width - 2 * thick, 0)
        return ~_rectangle(clips, torch.tensor([[thick, thick]]), *inner)


@dataclass(frozen=True)
class Frames(Masked):
    """Chosen frames (Wei et al., AAAI 2019: sparse adversarial perturbations for videos).

    Args:
        indices: the frames that may change, from 0; or one such tuple per clip.

    Raises:
        InputError: no frame is given, or (later) one that the clips do not have.
    """

    works: ClassVar[tuple[str, ...]] = ("wei2019",)

    indices: tuple[int, ...] | tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not isinstance(self.indices, Sequence) or not self.indices:
            raise InputError(
                f"Frames needs the indices of at least one frame, such as (0, 4), but has {self.indices!r}."
            )
        plain = tuple(tuple(part) if isinstance(part, Sequence) else part for part in self.indices)
        object.__setattr__(self, "indices", plain)

    def mask(self, clips: ClipTensor) -> Tensor:
        chosen = [part if isinstance(part, tuple) else self.indices for part in self.indices]
        each = chosen if isinstance(self.indices[0], tuple) else chosen[:1]
        if len(each) not in (1, len(clips)):
            raise InputError(f"Frames has indices for {len(each)} clips, but the batch has {len(clips)}.")
        mask = torch.zeros(len(each), clips.shape[2], dtype=torch.bool)
        for row, frames in zip(mask, each, strict=True):
            for frame in frames:
                if not (isinstance(frame, int) and 0 <= frame < clips.shape[2]):
                    raise InputError(f"there is no frame {frame!r}: the clips have the frames 0…{clips.shape[2] - 1}.")
                row[frame] = True
        return mask.to(clips.device)[:, None, :, None, None]


@dataclass(frozen=True, eq=False)
class Mask(Masked):
    """The pixels of a given mask.

    Args:
        pixels: bool, True where a pixel may change; must broadcast to ``B C T H W``.

    Raises:
        InputError: it is not a bool tensor, or (later) does not fit the clips.
    """

    pixels: Tensor

    def __post_init__(self) -> None:
        if not torch.is_tensor(self.pixels) or self.pixels.dtype != torch.bool:
            raise InputError("a mask must be a bool tensor that broadcasts to B C T H W, True where pixels may change.")

    def mask(self, clips: ClipTensor) -> Tensor:
        mask = self.pixels.to(clips.device)
        try:
            mask.expand_as(clips)
        except RuntimeError:
            raise InputError(
                f"the mask of shape {tuple(mask.shape)} does not fit clips of shape {tuple(clips.shape)} (B C T H W)."
            ) from None
        return mask


class Repeated:
    """A support whose perturbation repeats over some dimensions of ``B C T H W``."""

    dims: ClassVar[tuple[int, ...]]

    def charge(self, free: Tensor) -> Tensor:
        """``B``: the penalty of free perturbations."""
        return free.new_zeros(len(free))

    def around(self, clips: ClipTensor, norm: Norm, eps: Tensor) -> Feasible:
        return tie(clips, norm, eps, self.dims, charge=self.charge)


@dataclass(frozen=True)
class Flicker(Repeated):
    """One colour offset for each whole frame (Pony, Naeh and Mannor, CVPR 2021: over-the-air flickering attacks).

    Args:
        thickness: weight of the mean squared offset.
        roughness: weight of the mean squared first and second difference in time (around the clip's ends).

    Raises:
        InputError: a weight is negative.
    """

    works: ClassVar[tuple[str, ...]] = ("pony2021",)

    thickness: float = 0.0
    roughness: float = 0.0
    dims: ClassVar[tuple[int, ...]] = (3, 4)

    def __post_init__(self) -> None:
        if not (0 <= self.thickness < math.inf and 0 <= self.roughness < math.inf):
            raise InputError(
                f"the weights of a flicker's penalties must be at least 0 and finite, but are those of {self}."
            )

    def charge(self, free: Tensor) -> Tensor:
        before, after = free.roll(1, 2), free.roll(-1, 2)
        rough = (free - before).square() + (before - 2 * free + after).square()
        return (self.thickness * free.square() + self.roughness * rough).flatten(1).mean(1)


@dataclass(frozen=True)
class OneFrame(Repeated):
    """One picture added to every frame of a clip; under :class:`Universal`, to every frame of every clip."""

    works: ClassVar[tuple[str, ...]] = ("hwang2021",)

    dims: ClassVar[tuple[int, ...]] = (2,)


@dataclass(frozen=True)
class Universal:
    """One perturbation for all clips of the batch (Moosavi-Dezfooli et al., CVPR 2017).

    The budget bounds the perturbation that is added; where pixels leave [0, 1] they are clamped. Of budgets per clip,
    the smallest applies.

    Args:
        within: the support that is shared: everywhere, a mask that is the same for all clips, :class:`Flicker` or
            :class:`OneFrame`.

    Raises:
        InputError: ``within`` cannot be shared by clips.
    """

    works: ClassVar[tuple[str, ...]] = ("moosavi2017",)

    within: Masked | Repeated = WholeClip()

    def __post_init__(self) -> None:
        if not isinstance(self.within, (Masked, Repeated)):
            raise InputError(
                f"a universal perturbation can be within a mask, a flicker or one frame, not within {self.within}."
            )

    def around(self, clips: ClipTensor, norm: Norm, eps: Tensor) -> Feasible:
        if isinstance(self.within, Repeated):
            return tie(clips, norm, eps, self.within.dims, shared=True, charge=self.within.charge)
        mask = self.within.mask(clips)
        if mask.ndim == 5 and (mask != mask[:1]).any():
            raise InputError(
                f"a universal perturbation needs one mask for all clips, but {self.within} has one per clip."
            )
        return tie(clips, norm, eps, (), mask, shared=True)


@dataclass(frozen=True)
class Multiplicative:
    """Pixels are multiplied by factors between ``1/ratio`` and ``ratio`` (Lo and Patel, 2020: MultAV).

    A search steps in the logarithm of the factor, so its ``alpha`` is that of a factor: ``math.log(1.01)``. The budget
    is still measured in pixels; to bound the factor alone, give the largest possible budget.

    Args:
        ratio: the largest factor, above 1.
        within: the pixels that may change.

    Raises:
        InputError: the ratio is not above 1, or ``within`` is no mask.
    """

    works: ClassVar[tuple[str, ...]] = ("lo2021multav",)

    ratio: float
    within: Masked = WholeClip()

    def __post_init__(self) -> None:
        if not 1 < self.ratio < math.inf:
            raise InputError(f"ratio, the largest factor, must be above 1 and finite, but is {self.ratio}.")
        if not isinstance(self.within, Masked):
            raise InputError(f"a multiplicative perturbation can be within a mask, not within {self.within}.")

    def around(self, clips: ClipTensor, norm: Norm, eps: Tensor) -> Feasible:
        return scale(clips, norm, eps, self.ratio, self.within.mask(clips))


def _check_ratio(ratio: float) -> None:
    if not 0 < ratio <= 1:
        raise InputError(f"ratio, the share of the frame's area, must lie in (0, 1], but is {ratio}.")


def _rectangle(clips: ClipTensor, corner: Tensor, height: int, width: int) -> Tensor:
    """``N 1 1 H W`` bool: rectangles whose upper left pixels are ``corner`` (``N 2``)."""
    inside = []
    for dim, size in ((0, height), (1, width)):
        place = torch.arange(clips.shape[3 + dim]) - corner[:, dim, None]
        inside.append((place >= 0) & (place < size))
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None, None].to(clips.device)
