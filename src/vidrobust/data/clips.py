"""Clips for a network: windows of the cached frames as float tensors, plain or augmented."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vidrobust.data.cache import CachedSplit
from vidrobust.errors import InputError

BRIGHTNESS = 0.1
"""Largest brightness shift of the augmentation, in pixels of [0, 1]."""

CONTRAST = 0.2
"""Largest relative change of contrast by the augmentation."""


class Clips:
    """One split of a data set as clips of a fixed number of frames.

    Attributes:
        classes: the class names.
        frames: frames in a clip.
        labels: ``N``, int64, indices into ``classes``.
        videos: paths relative to the data set's root.
        groups: the source of each video.
        skipped: (file, reason) of the videos that could not be decoded and were left out.

    Args:
        cached: the decoded videos.
        classes: the class names.
        frames: frames in a clip; a shorter video is looped.
        size_out: side of the clips in pixels, if it is not that of the cached frames.

    Raises:
        InputError: ``frames`` or ``size_out`` is below 1.
    """

    def __init__(
        self, cached: CachedSplit, classes: tuple[str, ...], *, frames: int, size_out: int | None = None
    ) -> None:
        if frames < 1 or (size_out is not None and size_out < 1):
            raise InputError(f"frames and size_out must be at least 1, not {frames} and {size_out}.")
        self.classes = classes
        self.frames = frames
        self.labels = torch.from_numpy(cached.labels)
        self.videos = cached.videos
        self.groups = cached.groups
        self.skipped = cached.skipped
        offsets = torch.from_numpy(cached.offsets)
        self._first = offsets[:-1]
        self._length = offsets.diff()
        self._pixels = torch.from_numpy(cached.frames)
        if size_out is not None and size_out != self.size:
            self._pixels = _resized(self._pixels, size_out)

    @property
    def size(self) -> int:
        """Side of the clips, in pixels."""
        return self._pixels.shape[1]

    def __len__(self) -> int:
        return len(self.videos)

    def centre(self, indices: Tensor | Sequence[int]) -> Tensor:
        """The middle window of each video.

        Args:
            indices: ``B`` indices of videos.

        Returns:
            ``B 3 T H W``, float32, in [0, 1].
        """
        index = torch.as_tensor(indices, dtype=torch.int64)
        start = (self._length[index] - self.frames).clamp_min(0) // 2
        return _planes(self._pixels[self._rows(index, start)]).div_(255)

    def augmented(self, indices: Tensor | Sequence[int], generator: torch.Generator) -> Tensor:
        """A random window of each video, shifted and lit at random, all frames of a clip alike.

        The start in time is uniform; the shift is up to ``size // 12`` pixels each way, with the edge repeated;
        contrast and brightness change a little. There is no mirroring: it would swap classes that differ in direction
        (a pan to the left and to the right).

        Args:
            indices: ``B`` indices of videos.
            generator: a CPU generator; it alone decides the draws.

        Returns:
            ``B 3 T H W``, float32, in [0, 1].
        """
        index = torch.as_tensor(indices, dtype=torch.int64)
        draws = torch.rand(len(index), 5, generator=generator)
        free = (self._length[index] - self.frames).clamp_min(0) + 1
        start = torch.minimum((draws[:, 0] * free).long(), free - 1)
        reach = self.size // 12
        shift = (draws[:, 1:3] * (2 * reach + 1)).long().clamp_max(2 * reach) - reach
        clips = _planes(_shifted(self._pixels[self._rows(index, start)], shift))
        gain = 1 + CONTRAST * (2 * draws[:, 3] - 1)
        lift = 0.5 * (1 - gain) + BRIGHTNESS * (2 * draws[:, 4] - 1)
        each = (-1, 1, 1, 1, 1)
        return clips.mul_((gain / 255).view(each)).add_(lift.view(each)).clamp_(0, 1)

    def subset(self, indices: Tensor | Sequence[int]) -> Clips:
        """The same clips, but only those of the given indices and in their order; the pixels are shared."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        part = copy.copy(self)
        part.labels, part._first, part._length = self.labels[index], self._first[index], self._length[index]
        part.videos = tuple(self.videos[i] for i in index.tolist())
        part.groups = tuple(self.groups[i] for i in index.tolist())
        return part

    def _rows(self, index: Tensor, start: Tensor) -> Tensor:
        """Where the frames of the windows lie in the cache, ``B T``; past its end a video begins again."""
        steps = start[:, None] + torch.arange(self.frames)
        return self._first[index, None] + steps % self._length[index, None]


def _planes(clips: Tensor) -> Tensor:
    """``B T H W 3`` uint8 to contiguous ``B 3 T H W`` float32, still in 0 … 255."""
    return clips.permute(0, 4, 1, 2, 3).to(torch.float32, memory_format=torch.contiguous_format)


def _shifted(clips: Tensor, shift: Tensor) -> Tensor:
    """Move ``B T H W 3`` clips by ``B 2`` pixels (down, right), repeating the edge."""
    steps = torch.arange(clips.shape[2])
    rows = (steps - shift[:, :1]).clamp(0, clips.shape[2] - 1)
    columns = (steps - shift[:, 1:]).clamp(0, clips.shape[3] - 1)
    which = torch.arange(len(clips))[:, None, None]
    # With the frames in the last place, one index picks whole runs of memory.
    moved = clips.permute(0, 2, 3, 1, 4).contiguous()[which, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2, 4)


def _resized(pixels: Tensor, size: int) -> Tensor:
    """Frames ``N H W 3`` uint8 at another size, some at a time so that the float copy stays small."""
    parts = []
    for part in pixels.split(256):
        small = F.interpolate(
            part.permute(0, 3, 1, 2).float(), (size, size), mode="bilinear", antialias=True, align_corners=False
        )
        parts.append(small.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous())
    return torch.cat(parts)
