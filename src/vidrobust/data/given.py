"""Clips in memory, as input of judgements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.data.clips import Indices


class Given:
    """Clips with their labels and sources.

    Attributes:
        labels: ``N`` int64.
        videos, sources: names of each clip, and of what it was cut from.

    Args:
        clips: ``N C T H W`` float in [0, 1].
        labels: ``N`` class indices.
        sources: ``N`` names; clips of one source are alike. By default each clip is a source of its own.

    Raises:
        InputError: their numbers or shapes do not fit.

    >>> len(Given(torch.rand(4, 3, 2, 8, 8), [0, 1, 0, 1]).spread(2))
    2
    """

    def __init__(self, clips: Tensor, labels: Tensor | Sequence[int], sources: Sequence[str] | None = None) -> None:
        self._clips, self.labels = clips, torch.as_tensor(labels, dtype=torch.int64)
        if clips.ndim != 5 or self.labels.shape != clips.shape[:1]:
            raise InputError(
                f"clips must be N C T H W with N labels, but are {tuple(clips.shape)} with {tuple(self.labels.shape)}."
            )
        if sources is not None and len(sources) != len(clips):
            raise InputError(f"each clip has a source: {len(clips)} clips, but {len(sources)} sources were given.")
        self.videos = tuple(f"clip {number}" for number in range(len(clips)))
        self.sources = self.videos if sources is None else tuple(map(str, sources))

    def __len__(self) -> int:
        return len(self._clips)

    def centre(self, indices: Indices) -> Tensor:
        """``B C T H W``: the clips of these indices."""
        return self._clips[torch.as_tensor(indices, dtype=torch.int64)].float()

    def place(self, index: int) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
        """First and last frame, and the box: all of it."""
        frames, height, width = self._clips.shape[2:]
        return (0, frames - 1), (0, 0, height, width)

    def spread(self, count: int) -> Given:
        """At most ``count`` of the clips, evenly from the first to the last."""
        if len(self) <= count:
            return self
        rows = torch.linspace(0, len(self) - 1, count).round().long()
        return Given(self._clips[rows], self.labels[rows], [self.sources[row] for row in rows.tolist()])
