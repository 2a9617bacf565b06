"""Clips for a network: windows of the videos' frames as float tensors, plain or augmented."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidrobust.data import sampling
from vidrobust.data.config import Crop, span
from vidrobust.data.sampling import Views
from vidrobust.data.subset import even_places
from vidrobust.errors import InputError

if TYPE_CHECKING:
    from vidrobust.data.cache import CachedSplit
    from vidrobust.data.live import LiveSplit

BRIGHTNESS = 0.1
"""Largest brightness shift of the augmentation, in pixels of [0, 1]."""

CONTRAST = 0.2
"""Largest relative change of contrast by the augmentation."""

Indices: TypeAlias = Tensor | Sequence[int]


FrameStore: TypeAlias = "CachedSplit | LiveSplit"
"""The frames of a split's videos: from the cache, or decoded as they are asked for."""


class Clips:
    """One split of a data set as clips of a fixed number of frames.

    Attributes:
        classes: the class names.
        frames: frames in a clip.
        size: side of the clips, in pixels.
        stride: frames of the video from one frame of a clip to the next.
        labels: ``N``, int64, indices into ``classes``.
        videos: paths relative to the data set's root.
        sources: what each video was cut from; clips of one source are alike.
        of: ``N``, int64: which video of the data set each clip shows; several clips may show one (:meth:`viewed`).
        skipped: (file, reason) of the videos that could not be decoded and were left out.
        damaged: (file, what is lost) of the videos that are used though some of their frames could not be decoded.

    Args:
        store: the frames of the videos.
        classes: the class names.
        frames: frames in a clip; a shorter video is looped.
        size_out: side of the clips in pixels; by default the shorter side of the frames.
        stride: frames of the video from one frame of a clip to the next.
        crop: what :meth:`augmented` cuts out of the frames.
        flip: does it mirror every other clip? Not where a mirror turns a class into another.

    Raises:
        InputError: ``frames``, ``size_out`` or ``stride`` is below 1, or there is no such crop.
    """

    def __init__(
        self,
        store: FrameStore,
        classes: tuple[str, ...],
        *,
        frames: int,
        size_out: int | None = None,
        stride: int = 1,
        crop: Crop = "shift",
        flip: bool = False,
    ) -> None:
        if min(frames, stride) < 1 or (size_out is not None and size_out < 1):
            raise InputError(f"frames, stride and size_out must be at least 1, not {frames}, {stride} and {size_out}.")
        if crop not in ("shift", "corner", "resized"):
            raise InputError(f"crop must be shift, corner or resized, not {crop!r}.")
        self.classes = classes
        self.frames, self.stride, self.crop, self.flip = frames, stride, crop, flip
        self.labels = torch.from_numpy(store.labels)
        self.videos, self.sources = store.videos, store.sources
        self.skipped, self.damaged = store.skipped, store.damaged
        self.size = size_out or (int(store.shapes[:, 1:].min()) if len(store.shapes) else 1)
        self._store = store
        self._shapes = torch.from_numpy(np.ascontiguousarray(store.shapes))
        self._start = self._centred(self._shapes[:, 0])
        self.of = torch.arange(len(self.videos))

    def __len__(self) -> int:
        return len(self.videos)

    def centre(self, indices: Indices) -> Tensor:
        """The middle window of each video (of :meth:`viewed` clips, their own window), without any augmentation.

        Frames larger than the clips are scaled so that the shorter side is ``size``, and cropped around their centre.

        Args:
            indices: ``B`` indices of clips.

        Returns:
            ``B 3 T H W``, float32, in [0, 1].
        """
        index = torch.as_tensor(indices, dtype=torch.int64)
        return _planes(self._stacked(self._windows(index, self._start[index]))).div_(255)

    def augmented(self, indices: Indices, generator: torch.Generator, part: Tensor | None = None) -> Tensor:
        """A random window of each video, cropped at random, all frames of a clip alike.

        The start in time is uniform. What is cut out of the frames is

        - ``shift``: the centre, moved by up to ``size // 12`` pixels each way, with the edge repeated; contrast and
          brightness change a little;
        - ``corner``: a square at the centre or in a corner, of one of five scales (3D-ResNets, Hara et al. 2018);
        - ``resized``: a rectangle of random area and aspect ratio (Szegedy et al. 2015).

        Then, if ``flip`` is set, every other clip is mirrored, at random.

        Args:
            indices: ``B`` indices of clips.
            generator: a CPU generator; it alone decides the draws.
            part: which of them to make, by default all; the others' draws are made all the same, so that processes that
                share a batch see the clips that one would.

        Returns:
            ``B 3 T H W`` (of the part), float32, in [0, 1].
        """
        index = torch.as_tensor(indices, dtype=torch.int64)
        count = {"shift": 5, "corner": 3, "resized": 5}[self.crop]
        draws = torch.rand(len(index), count + self.flip, generator=generator)
        index, draws = (index, draws) if part is None else (index[part], draws[part])
        start = sampling.random_first_frame(draws[:, 0], self._shapes[index, 0], span(self.frames, self.stride))
        windows = self._windows(index, start)
        clips = self._lit(windows, draws[:, 1:5]) if self.crop == "shift" else self._cropped(index, windows, draws)
        if self.flip:
            mirrored = draws[:, -1] < 0.5
            clips[mirrored] = clips[mirrored].flip(-1)
        return clips

    def subset(self, indices: Indices) -> Clips:
        """The same clips, but only those of the given indices and in their order; the pixels are shared."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        part = copy.copy(self)
        part.labels, part.of = self.labels[index], self.of[index]
        part._shapes, part._start = self._shapes[index], self._start[index]
        part.videos = tuple(self.videos[i] for i in index.tolist())
        part.sources = tuple(self.sources[i] for i in index.tolist())
        return part

    def spread(self, count: int) -> Clips:
        """At most ``count`` of the clips, evenly from the first to the last (a split lists class after class)."""
        if len(self) <= count:
            return self
        return self.subset(torch.tensor(even_places(len(self), count)))

    def viewed(self, views: Views) -> Clips:
        """Several clips of each video for evaluation, video after video.

        Args:
            views: so many, evenly over the video, or ``sliding``: one behind the other over all of it.

        Returns:
            Clips whose ``centre`` is their own window, and whose ``of`` tells which belong together.
        """
        reach = span(self.frames, self.stride)
        found = [sampling.starts(length, reach, views) for length in self._shapes[:, 0].tolist()]
        clips = self.subset(torch.tensor([row for row, many in enumerate(found) for _ in many], dtype=torch.int64))
        clips._start = torch.tensor([start for many in found for start in many], dtype=torch.int64)
        return clips

    def longer(self, margin: int) -> Clips:
        """The same clips with ``margin`` more frames at either end, every frame of the video (stride 1).

        What :meth:`centre` gives of them begins so many frames before the clip's own window; where the video has none
        there, it begins again.
        """
        clips = copy.copy(self)
        clips.frames, clips.stride = span(self.frames, self.stride) + 2 * margin, 1
        clips._start = (self._start - margin) % self._shapes[:, 0]
        return clips

    def place(self, index: int) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
        """Where :meth:`centre` takes a clip from: the first and last frame of its video, and the box of its frames.

        Returns:
            (first, last), from 0, the last of which may lie behind the end of a short video, which is looped; and (top,
            left, height, width) in pixels of the frames as they are kept.
        """
        start, (_, height, width) = int(self._start[index]), self._shapes[index].tolist()
        return (start, start + span(self.frames, self.stride) - 1), sampling.centre_box(height, width)

    def _centred(self, length: Tensor) -> Tensor:
        return (length - span(self.frames, self.stride)).clamp_min(0) // 2

    def _windows(self, index: Tensor, start: Tensor) -> list[np.ndarray]:
        times = sampling.window(start, self.frames, self.stride, self._shapes[index, 0])
        return self._store.windows(self.of[index].tolist(), times.numpy())

    def _stacked(self, windows: list[np.ndarray]) -> Tensor:
        """``B T S S 3`` uint8: the largest square around each centre, scaled to the size of the clips."""
        if all(pixels.shape[1:3] == (self.size, self.size) for pixels in windows):
            return torch.from_numpy(np.stack(windows)) if windows else self._none()
        return torch.stack([_boxed(p, sampling.centre_box(*p.shape[1:3]), self.size) for p in windows])

    def _none(self) -> Tensor:
        return torch.empty(0, self.frames, self.size, self.size, 3, dtype=torch.uint8)

    def _cropped(self, index: Tensor, windows: list[np.ndarray], draws: Tensor) -> Tensor:
        boxes = sampling.corner_boxes if self.crop == "corner" else sampling.resized_boxes
        found = boxes(draws[:, 1:], *self._shapes[index, 1:].unbind(1)).tolist()
        clips = [_boxed(pixels, tuple(box), self.size) for pixels, box in zip(windows, found, strict=True)]
        return _planes(torch.stack(clips) if clips else self._none()).div_(255)

    def _lit(self, windows: list[np.ndarray], draws: Tensor) -> Tensor:
        reach = self.size // 12
        shift = (draws[:, :2] * (2 * reach + 1)).long().clamp_max(2 * reach) - reach
        clips = _planes(_shifted(self._stacked(windows), shift))
        gain = 1 + CONTRAST * (2 * draws[:, 2] - 1)
        lift = 0.5 * (1 - gain) + BRIGHTNESS * (2 * draws[:, 3] - 1)
        each = (-1, 1, 1, 1, 1)
        return clips.mul_((gain / 255).view(each)).add_(lift.view(each)).clamp_(0, 1)


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


def _boxed(pixels: np.ndarray, box: tuple[int, ...], size: int) -> Tensor:
    """The box (top, left, height, width) of ``T H W 3`` frames, scaled to ``T size size 3``."""
    top, left, height, width = box
    part = torch.from_numpy(pixels)[:, top : top + height, left : left + width]
    if (height, width) == (size, size):
        return part
    planes = part.permute(0, 3, 1, 2)  # stays channels-last, for which 8-bit scaling is fast
    return F.interpolate(planes, (size, size), mode="bilinear", antialias=True, align_corners=False).permute(0, 2, 3, 1)
