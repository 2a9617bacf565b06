"""Corruptions as augmentation: each clip of a batch under one of several, drawn by a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from vidrobust.evaluation.corruptions import Corruption
    from vidrobust.types import ClipTensor


def corrupted(clips: ClipTensor, among: Sequence[Corruption], seeds: Sequence[int]) -> ClipTensor:
    """Each clip under one corruption of several, all equally likely.

    Args:
        clips: ``B 3 T H W`` in [0, 1]; left as they are.
        among: which corruptions; none leaves the clips as they are.
        seeds: ``B``: they alone decide which one a clip gets, and its draws.

    >>> from vidrobust.evaluation.corruptions import corruptions
    >>> clips, among = torch.rand(4, 3, 4, 8, 8), corruptions("frames(kinds=(reversal,drop))")
    >>> one, two = corrupted(clips, among, [1, 2, 3, 4]), corrupted(clips[2:], among, [3, 4])
    >>> torch.equal(one[2:], two)
    True
    """
    if not among:
        return clips
    chosen = [int(torch.randint(len(among), (), generator=torch.Generator().manual_seed(seed))) for seed in seeds]
    found = clips.clone()
    for number in sorted(set(chosen)):
        rows = [row for row, one in enumerate(chosen) if one == number]
        found[rows] = among[number](clips[rows], [seeds[row] for row in rows])
    return found
