"""A black-box search of the frames and regions that matter, and an attack on these alone, within one number of queries.

Which part of a clip decides the prediction is seen without gradients by covering it (occlusion; Zeiler & Fergus, ECCV
2014). The heuristic attack of Wei et al., AAAI 2020, ranks the frames by the prediction without them, and takes the
regions from a saliency detector, which keeps both the perturbation and the search small. Here both are ranked by
queries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.attacks.counts import at_least_one
from vidrobust.attacks.inputs import check_inputs
from vidrobust.attacks.searching import SearchState, searching, unbounded
from vidrobust.attacks.traits import Wrapper
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.losses import margin
from vidrobust.threats import Mask, Threat, WholeClip

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.attacks.base import AttackResult
    from vidrobust.types import ClipTensor, Labels, Logits


@dataclass(frozen=True)
class KeyRegions(Wrapper):
    """Attack the key frames, and in them the key regions, that occlusion finds (after Wei et al., AAAI 2020).

    A query for each frame and for each region covers it with the mean colour of the clip: those that raise the margin
    most are attacked. What this costs is taken from the queries of the search. The chosen regions are the same in all
    chosen frames.

    Args:
        search: an attack with a number of queries and a threat on the whole clip, such as
            :class:`~vidrobust.attacks.square.Square`; its support is replaced by the chosen regions.
        frames: how many frames may change, at least 1; as many as there are, and none is ranked.
        share: of the regions of a frame, which may change, in (0, 1]; with 1 none is ranked.
        grid: into how many regions a frame is cut along each side.

    Raises:
        InputError: a value is out of its range, or the search has no queries, no threat, or one with a support; later,
            the clips have fewer frames, or the queries are too few to rank.

    >>> from vidrobust.attacks.square import Square
    >>> from vidrobust.threats import Linf
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 8 * 8, 2))
    >>> clips, labels = torch.rand(5, 3, 4, 8, 8), torch.zeros(5, dtype=torch.int64)
    >>> attack = KeyRegions(Square(Threat(Linf(), eps=8 / 255), queries=50), frames=2, share=0.25, grid=2)
    >>> result = attack(model, clips, labels)
    >>> int((result.clips != clips).any(1).flatten(1).sum(1).max()) <= 2 * 4 * 4, bool((result.queries <= 50).all())
    (True, True)
    """

    search: Any
    frames: int
    share: float = 0.5
    grid: int = 4

    def __post_init__(self) -> None:
        at_least_one(frames=self.frames, grid=self.grid)
        if not 0 < self.share <= 1:
            raise InputError(f"share, of the regions of a frame, must lie in (0, 1], but is {self.share!r}.")
        name, threat = type(self.search).__name__, getattr(self.search, "threat", None)
        if not isinstance(threat, Threat) or not isinstance(getattr(self.search, "queries", None), int):
            raise InputError(f"key regions are for a search with a threat and queries, such as Square, unlike {name}.")
        if threat.support != WholeClip():
            raise InputError(
                f"key regions are the support of the search, but {name} already has {threat.support}: give it a threat "
                "on the whole clip."
            )

    @property
    def threat(self) -> Threat:
        """That of the search, for the regions not yet chosen."""
        return self.search.threat

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was."""
        check_inputs(clips, labels)
        _, _, frames, height, width = clips.shape
        if self.frames > frames:
            raise InputError(f"there are {frames} frames, of which {self.frames} cannot be chosen.")
        tall, wide = min(self.grid, height), min(self.grid, width)
        count = max(1, int(self.share * tall * wide))
        spent = (frames if self.frames < frames else 0) + (tall * wide if count < tall * wide else 0)
        if self.search.queries < spent + 2:
            raise InputError(
                f"to rank {frames} frames and {tall * wide} regions takes {spent} queries, but there are "
                f"{self.search.queries}: give the search at least {spent + 2}, or a smaller grid."
            )
        precision: Precision = getattr(self.search, "precision", "auto")
        targeted = bool(getattr(self.search, "targeted", False))
        with searching(model, unbounded(self.threat), clips, labels, margin, precision, targeted) as run:
            run.exploring = True
            time = torch.eye(frames, dtype=torch.bool).view(frames, frames, 1, 1)
            chosen = key_parts(run, time, self.frames)
            chosen = chosen & key_parts(run, regions(height, width, tall, wide), count)
        threat = replace(self.threat, support=Mask(chosen[:, None]))
        found = replace(self.search, threat=threat, queries=self.search.queries - spent)(model, clips, labels)
        return replace(found, forwards=found.forwards + spent, queries=found.queries + spent)


def key_parts(run: SearchState, parts: Tensor, count: int) -> Tensor:
    """What the ``count`` ``parts`` (bool, ``N T H W`` or broadcast to it) cover that matter most, ``B T H W``.

    A query for each part covers it with the mean colour of the clip. The greater the loss, the more it matters.
    """
    pixels, parts = run.subject.pixels, parts.to(run.labels.device)
    if count >= len(parts):
        return parts.any(0).expand(len(pixels), -1, -1, -1)
    mean = pixels.mean((2, 3, 4), keepdim=True)
    losses = torch.stack([run.value(torch.where(part, mean, pixels)) for part in parts], dim=1)
    best = losses.topk(count, dim=1).indices
    return parts[best].any(1)


def regions(height: int, width: int, tall: int, wide: int) -> Tensor:
    """The ``tall · wide`` rectangles that a frame is cut into: bool, ``N 1 H W``.

    >>> regions(2, 4, 1, 2).int().tolist()
    [[[[1, 1, 0, 0], [1, 1, 0, 0]]], [[[0, 0, 1, 1], [0, 0, 1, 1]]]]
    """
    place = (torch.arange(height) * tall // height)[:, None] * wide + torch.arange(width) * wide // width
    return torch.arange(tall * wide).view(-1, 1, 1, 1) == place
