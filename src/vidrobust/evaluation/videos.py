"""What a model says of a whole video: the average over several clips of it, also under attack.

Papers report either the share of clips that are classified rightly, or that of videos, each video's answer being the
mean of the logits, or of the probabilities, of its clips. A video's answer can be attacked in two ways: each clip on
its own, as if the others were not there, or the answer itself, whose gradient runs through all clips. For the second
one the clips of a video are joined one behind the other in time into one long clip, for a model that takes it apart
again: so any attack does, under any threat, and each clip keeps to the budget.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import torch

from vidrobust.attacks.base import warn_of_no_gradient
from vidrobust.attacks.inputs import check_some_logits
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.evaluation.attempts import Attack, Survivors, attempt
from vidrobust.evaluation.clips import (
    BATCH,
    GradientProgress,
    attacked_row,
    check_attacks,
    device_of,
    evaluate,
    robustness_row,
    silent,
    steady_logits,
)
from vidrobust.evaluation.fields import attack_text
from vidrobust.fast.pieces import Piecewise, is_long
from vidrobust.fast.view import answers
from vidrobust.losses import predicted
from vidrobust.threats import Threat

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.data.clips import Clips
    from vidrobust.data.sampling import Views
    from vidrobust.runs.rows import Row

Average: TypeAlias = Literal["logits", "probabilities"]
Level: TypeAlias = Literal["clip", "video"]
AttackPart = TypeVar("AttackPart")


class VideoClassifier(Piecewise):
    """A model of clips as a model of videos; of a long video, one clip at a time is in memory.

    Args:
        model: from clips ``B C T H W`` to logits.
        views: clips of a video.
        average: of the logits, or of the probabilities, whose logarithms are then the video's logits.

    >>> videos = torch.rand(2, 3, 4 * 8, 6, 6)  # 4 clips of 8 frames, one behind the other
    >>> from torch import nn
    >>> mean = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten())
    >>> torch.allclose(VideoClassifier(mean, 4)(videos), videos.mean((2, 3, 4)))
    True
    """

    def __init__(self, model: nn.Module, views: int, average: Average = "logits") -> None:
        super().__init__()
        if average not in ("logits", "probabilities"):
            raise InputError(f"average must be logits or probabilities, not {average!r}.")
        self.model, self.views, self.average = model, views, average

    def forward(self, videos: Tensor) -> Tensor:
        """``B C (views · T) H W`` to logits ``B K``."""
        if torch.is_tensor(videos) and is_long(videos):
            return self.one_by_one(answers(self.model), videos)
        logits = self.model(split_views(videos, self.views)).unflatten(0, (-1, self.views))
        return self.combined(logits.transpose(0, 1))

    def pieces(self, clips: Tensor) -> list[slice]:
        """The frames of each clip of a video."""
        frames = clips.shape[2] // self.views
        return [slice(view * frames, (view + 1) * frames) for view in range(self.views)]

    def combined(self, answers: Tensor) -> Tensor:
        """The mean of the logits, or of the probabilities, of ``views B K`` logits."""
        logits = answers.float()
        if self.average == "logits":
            return logits.mean(0)
        return logits.log_softmax(2).logsumexp(0) - math.log(self.views)


def join_views(clips: Tensor, views: int) -> Tensor:
    """Clips ``(B · views) C T H W``, those of a video together, as ``B C (views · T) H W``."""
    return clips.unflatten(0, (-1, views)).transpose(1, 2).flatten(2, 3)


def split_views(videos: Tensor, views: int) -> Tensor:
    """The inverse of :func:`join_views`."""
    return videos.unflatten(2, (views, -1)).transpose(1, 2).flatten(0, 1)


def each_view(attack: AttackPart, views: int) -> AttackPart:
    """The attack with every threat in it, however deep, granting its budget to each view of a joined video."""
    if isinstance(attack, Threat):
        return dataclasses.replace(attack, views=views)
    if isinstance(attack, tuple) and not hasattr(attack, "_fields"):
        return tuple(each_view(part, views) for part in attack)  # type: ignore[return-value]
    if dataclasses.is_dataclass(attack) and not isinstance(attack, type):
        fields = {field.name: getattr(attack, field.name) for field in dataclasses.fields(attack) if field.init}
        changed = {name: each_view(value, views) for name, value in fields.items()}
        if any(changed[name] is not fields[name] for name in fields):
            return dataclasses.replace(attack, **changed)
    return attack


def evaluate_views(
    model: nn.Module,
    clips: Clips,
    attacks: Sequence[Attack],
    *,
    views: Views,
    level: Level = "clip",
    average: Average = "logits",
    progress: GradientProgress = silent,
) -> list[Row]:
    """Accuracy over several clips of each video, clean and under each attack.

    Args:
        model: from clips in [0, 1] to logits; left as it was.
        clips: the videos, each by its centre clip.
        attacks: such as :class:`vidrobust.attacks.pgd.PGD`.
        views: so many clips evenly over each video, or ``sliding``, one behind the other over all of it.
        level: ``clip`` counts every clip by itself; ``video`` counts videos by the average of their clips.
        average: of the logits or of the probabilities.
        progress: called with the gradients spent.

    Returns:
        ``views`` rows: one for the clean clips or videos, then for each attack one (clips), or two (videos): each clip
        attacked on its own, and the video's answer attacked.

    Raises:
        InputError: ``views``, ``level`` or ``average`` is none of these, there are no clips, or an attack is targeted.
    """
    if level not in ("clip", "video"):
        raise InputError(f"level must be clip or video, not {level!r}.")
    check_attacks(clips, attacks)
    viewed = clips.viewed(views)
    about = {"kind": "views", "level": level, "views": views, "videos": len(clips)}
    if level == "clip":
        rows = evaluate(model, viewed, attacks, progress)
        attacked = ["none"] + ["clip"] * len(attacks)
        return [{**row, **about, "average": None, "attacked": what} for row, what in zip(rows, attacked, strict=True)]
    about["average"] = average
    videos = _Videos(model, clips, viewed, average)
    clean = videos.clean()
    rows = [{**robustness_row(clean, clips, model), **about, "attack": "none", "attacked": "none"}]
    for attack in attacks:
        row = {**about, "attack": attack_text(attack)}
        for what, left in (("clip", videos.clip_by_clip), ("video", videos.as_one)):
            found = left(attack, clean, progress)
            warn_of_no_gradient(int(found.no_gradient.sum()), int(clean.sum()), what=f"{type(attack).__name__}: ")
            rows.append({**attacked_row(found, clips, model, attack), **row, "attacked": what})
    return rows


class _Videos:
    """The videos of a split with their clips, in batches of equally many clips per video."""

    def __init__(self, model: nn.Module, clips: Clips, viewed: Clips, average: Average) -> None:
        if len(clips) == 0:
            raise InputError("there are no clips to evaluate.")
        self.model, self.labels, self.viewed = model, clips.labels, viewed
        _, counts = torch.unique_consecutive(viewed.of, return_counts=True)
        self.counts, self.first = counts, counts.cumsum(0) - counts
        self.classifiers = {count: VideoClassifier(model, count, average) for count in counts.unique().tolist()}

    def batches(self, wanted: Tensor) -> Iterator[tuple[Tensor, int, Tensor, Tensor]]:
        """(videos, clips of each, clips ``(B · views) C T H W``, labels ``B``) of the wanted (``N`` bool) videos."""
        device = device_of(self.model)
        for count in self.classifiers:
            rows = (wanted & (self.counts == count)).nonzero().flatten()
            for part in rows.split(max(1, BATCH // count)) if len(rows) else ():
                index = (self.first[part, None] + torch.arange(count)).flatten()
                yield part, count, self.viewed.centre(index).to(device), self.labels[part].to(device)

    def clean(self) -> Tensor:
        """``N`` bool: which videos are classified rightly."""
        right = torch.zeros(len(self.labels), dtype=torch.bool)
        for part, count, x, y in self.batches(~right):
            right[part] = self._right(count, join_views(x, count), y)
        return right

    def clip_by_clip(self, attack: Attack, alive: Tensor, progress: GradientProgress) -> Survivors:
        """Which videos in ``alive`` (``N`` bool) survive that each of their clips is attacked on its own."""
        found = Survivors.start(len(self.labels))
        for part, count, x, y in self.batches(alive):
            tried = attempt(attack, self.model, x, y.repeat_interleave(count))
            found.note(part, self._right(count, join_views(tried.clips, count), y), tried)
            progress(tried.spent)
        return found

    def as_one(self, attack: Attack, alive: Tensor, progress: GradientProgress) -> Survivors:
        """Which videos in ``alive`` (``N`` bool) survive an attack on their own answer."""
        found = Survivors.start(len(self.labels))
        for part, count, x, y in self.batches(alive):
            tried = attempt(each_view(attack, count), self.classifiers[count], join_views(x, count), y)
            found.note(part, ~tried.broken, tried)
            progress(tried.spent * count)
        return found

    def _right(self, count: int, videos: Tensor, labels: Tensor) -> Tensor:
        classifier: Any = self.classifiers[count]
        with undisturbed(classifier), torch.no_grad():
            logits = steady_logits(classifier, videos)
            check_some_logits(logits, videos, labels)
            return (predicted(logits) == labels).cpu()
