"""Certificates for perturbations of any size in few places: votes over clips of which only a part is shown.

Levine and Feizi, *Robustness certificates for sparse adversarial attacks by randomized ablation*, AAAI 2020, with whole
frames in place of pixels; and *(De)randomized smoothing for certifiable defense against patch attacks*, NeurIPS 2020,
with bands of columns. A change of some frames, or of the columns under a patch, can only change the votes that see
them.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from vidrobust.attacks.counts import at_least_one, check_seed
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.evaluation.certificates.binomial import clopper_pearson
from vidrobust.evaluation.certificates.certified import ABSTAINED, Certified
from vidrobust.evaluation.manifest import pixel_hash
from vidrobust.fast.view import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor, nn

    from vidrobust.types import ClipTensor, Labels, Logits

BATCH = 64
"""Parts of a clip that the model is shown at once."""

MOST_CHOICES = 100_000
"""Choices of changed frames that are gone through; where there are more, the radius is a lower bound."""


@dataclass(frozen=True)
class Ablation:
    """The class with the most votes, each of a part of the clip; of two with as many, the one that comes first.

    Where all parts are voted on, the radius is exact: the most elements for which, wherever they lie and whatever the
    votes that see them become, the class stays. No larger radius can be certified from the votes alone, and nothing is
    random.
    """

    norm: ClassVar[str] = "L0"
    support: ClassVar[str]
    unit: ClassVar[str]
    axis: ClassVar[int]
    """Along which of ``C T H W`` the elements lie."""

    @abstractmethod
    def parts(self, clip: Tensor) -> np.ndarray:
        """``V N`` bool: which of the ``N`` elements of a clip (``C T H W``) each vote is shown."""

    @abstractmethod
    def choices(self, count: int, elements: int) -> Iterable[tuple[int, ...]]:
        """The sets of so many elements that can be changed together."""

    @abstractmethod
    def masked(self, clip: Tensor, parts: np.ndarray) -> ClipTensor:
        """``V C T H W``: the clip as each vote is shown it."""

    def __call__(self, model: nn.Module, clips: ClipTensor, labels: Labels) -> Certified:
        """Certify clips ``B C T H W`` in [0, 1]; ``labels`` are not used."""
        with undisturbed(model), torch.no_grad():
            found = [self._certified(answers(model), clip) for clip in clips]
        predicted, radius, draws = zip(*found, strict=True) if found else ((), (), ())
        return Certified(torch.tensor(predicted).long(), torch.tensor(radius).double(), torch.tensor(draws).long())

    def votes(self, model: Callable[[ClipTensor], Logits], clip: Tensor, parts: np.ndarray) -> tuple[np.ndarray, int]:
        """``V`` classes that the parts are given, and how many classes there are; without finite logits, -1."""
        found, classes = [], 0
        for start in range(0, len(parts), BATCH):
            logits = model(self.masked(clip, parts[start : start + BATCH])).float()
            classes = logits.shape[1]
            found.append(torch.where(logits.isfinite().all(1), logits.argmax(1), -1).cpu().numpy())
        return np.concatenate(found), classes

    def _certified(self, model: Callable[[ClipTensor], Logits], clip: Tensor) -> tuple[int, float, int]:
        parts = self.parts(clip)
        votes, classes = self.votes(model, clip, parts)
        chosen = int(np.bincount(votes[votes >= 0], minlength=classes).argmax())
        return chosen, float(self.radius(parts, votes, classes)), len(parts)

    def radius(self, parts: np.ndarray, votes: np.ndarray, classes: int) -> int:
        """The most elements that can be changed without changing the class that the votes give.

        Args:
            parts: ``V N`` bool.
            votes: ``V`` classes, -1 where a vote is of no class.
            classes: how many there are.
        """
        held = 0
        while held < parts.shape[1] and self.holds(held + 1, parts, votes, classes):
            held += 1
        return held

    def holds(self, count: int, parts: np.ndarray, votes: np.ndarray, classes: int) -> bool:
        """Does the class stay whichever ``count`` elements are changed?"""
        choices = self.choices(count, parts.shape[1])
        return all(stands(np.asarray(parts[:, list(choice)].any(1)), votes, classes) for choice in choices)


def stands(moved: np.ndarray, votes: np.ndarray, classes: int) -> bool:
    """Does the class with the most votes keep it, whatever the ``moved`` votes (``V`` bool) become?

    >>> votes = np.array([0, 0, 0, 1])
    >>> stands(np.array([True, False, False, False]), votes, 2)  # 2 of 4 at worst, and 0 comes first
    True
    >>> stands(np.array([True, True, False, False]), votes, 2)
    False
    """
    return worst_lead(moved, votes, classes) >= 0


def worst_lead(moved: np.ndarray, votes: np.ndarray, classes: int) -> int:
    """By how many votes the class with the most would lead if the ``moved`` ones (``V`` bool) were of its worst rival.

    Below 0 it would lose, a tie going to the class that comes first.
    """
    counts = np.bincount(votes[votes >= 0], minlength=classes)
    chosen = int(counts.argmax())
    left = np.bincount(votes[~moved & (votes >= 0)], minlength=classes)
    others = [left[other] + moved.sum() + (other < chosen) for other in range(classes) if other != chosen]
    return int(left[chosen] - max(others, default=0))


@dataclass(frozen=True)
class FrameAblation(Ablation):
    """Votes over clips of which ``keep`` frames are kept, every choice of them; the radius counts changed frames.

    Each frame that is left out shows the nearest one that is kept, so that the model sees a clip of a lower frame rate
    and need not be trained for it.

    Args:
        keep: frames that each vote is shown; the fewer, the larger the radius and the lower the accuracy.
        samples: where there are more choices of frames than this, so many are drawn at random. The radius then holds
            with probability 1 - ``failure`` (Clopper and Pearson) and is no longer exact.
        failure: in (0, 1).
        seed: of the draws.

    Raises:
        InputError: a value is out of its range, or a clip has fewer frames than are kept.

    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 5 * 4 * 4, 2))
    >>> FrameAblation(keep=2)(model, torch.rand(2, 3, 5, 4, 4), torch.zeros(2)).draws
    tensor([10, 10])
    """

    support: ClassVar[str] = "Frames"
    unit: ClassVar[str] = "frames"
    axis: ClassVar[int] = 1
    keep: int = 2
    samples: int = 3000
    failure: float = 0.001
    seed: int = 0

    def __post_init__(self) -> None:
        at_least_one(keep=self.keep, samples=self.samples)
        check_seed(self.seed)
        if not 0 < self.failure < 1:
            raise InputError(f"failure must lie between 0 and 1, but is {self.failure:g}.")

    def parts(self, clip: Tensor) -> np.ndarray:
        frames = clip.shape[1]
        if frames < self.keep:
            raise InputError(f"a clip of {frames} frames has no {self.keep} to keep.")
        if comb(frames, self.keep) > self.samples:
            return self._drawn(clip, self.samples, 0)
        kept = np.array(list(combinations(range(frames), self.keep)))
        parts = np.zeros((len(kept), frames), bool)
        np.put_along_axis(parts, kept, True, 1)
        return parts

    def choices(self, count: int, elements: int) -> Iterable[tuple[int, ...]]:
        return combinations(range(elements), count)

    def holds(self, count: int, parts: np.ndarray, votes: np.ndarray, classes: int) -> bool:
        """Exactly; where there are too many choices of frames, as if all votes that see one were for the class."""
        if comb(parts.shape[1], count) <= MOST_CHOICES:
            return super().holds(count, parts, votes, classes)
        counts = np.bincount(votes[votes >= 0], minlength=classes)
        chosen, moved = int(counts.argmax()), len(parts) - comb(parts.shape[1] - count, self.keep)
        others = [counts[other] + (other < chosen) for other in range(classes) if other != chosen]
        return bool(counts[chosen] - moved >= max(others, default=0) + moved)

    def masked(self, clip: Tensor, parts: np.ndarray) -> ClipTensor:
        frames = np.arange(clip.shape[1])
        kept = [np.flatnonzero(part) for part in parts]
        nearest = np.stack([one[np.abs(frames[:, None] - one).argmin(1)] for one in kept])
        return clip[:, torch.from_numpy(nearest).to(clip.device)].transpose(0, 1)

    def _certified(self, model: Callable[[ClipTensor], Logits], clip: Tensor) -> tuple[int, float, int]:
        if comb(clip.shape[1], self.keep) <= self.samples:
            return super()._certified(model, clip)
        first, classes = self.votes(model, clip, self._drawn(clip, BATCH, 1))
        chosen = int(np.bincount(first[first >= 0], minlength=classes).argmax())
        hits = int((self.votes(model, clip, self.parts(clip))[0] == chosen).sum())
        share = clopper_pearson(hits, self.samples, self.failure)
        radius = self.radius_of(share, clip.shape[1])
        return (chosen if share > 0.5 else ABSTAINED), float(radius), BATCH + self.samples

    def radius_of(self, share: float, frames: int) -> int:
        """The most changed frames whose votes cannot take a share (a lower bound of it) to a half."""
        whole = comb(frames, self.keep)
        return sum(share - (1 - comb(frames - count, self.keep) / whole) > 0.5 for count in range(1, frames + 1))

    def _drawn(self, clip: Tensor, count: int, stream: int) -> np.ndarray:
        rng = np.random.default_rng([int(pixel_hash(clip)[:12], 16), self.seed, stream])
        order = rng.random((count, clip.shape[1])).argsort(1)[:, : self.keep]
        parts = np.zeros((count, clip.shape[1]), bool)
        np.put_along_axis(parts, order, True, 1)
        return parts


@dataclass(frozen=True)
class PatchAblation(Ablation):
    """Votes over bands of columns, one that begins at each column; the radius is the width of a patch.

    A patch may have any height and any content, another one in each frame, within the same adjacent columns of all
    frames. Outside of its band, the clip is grey: a model that was not trained on bands has a low accuracy.

    Args:
        width: columns of a band; the last ones go on at the left edge.

    Raises:
        InputError: it is below 1, or wider than a clip.
    """

    support: ClassVar[str] = "Patch"
    unit: ClassVar[str] = "pixels"
    axis: ClassVar[int] = 3
    width: int = 4

    def __post_init__(self) -> None:
        at_least_one(width=self.width)

    def parts(self, clip: Tensor) -> np.ndarray:
        columns = clip.shape[3]
        if columns < self.width:
            raise InputError(f"a clip of {columns} columns has no band of {self.width}.")
        first = np.arange(columns)
        return (first[None] - first[:, None]) % columns < self.width

    def choices(self, count: int, elements: int) -> Iterable[tuple[int, ...]]:
        return (tuple(range(first, first + count)) for first in range(elements - count + 1))

    def masked(self, clip: Tensor, parts: np.ndarray) -> ClipTensor:
        mask = torch.from_numpy(parts).to(clip.device)[:, None, None, None, :]
        return torch.where(mask, clip[None], 0.5)
