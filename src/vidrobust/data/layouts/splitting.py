"""Cutting splits by source: a group (a source video) is never on two sides."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from vidrobust.data.videos import Video
from vidrobust.errors import DataError

PART = 0.2
"""Part of the groups that validation, and test where nothing else says what it is, are made of."""


def members(videos: Iterable[Video]) -> list[str]:
    """The groups of some videos, in order."""
    return sorted({video.group for video in videos})


def cut_validation(videos: Sequence[Video], fraction: float, seed: int, where: str) -> tuple[list[Video], list[Video]]:
    """Hold out groups for validation; never all of a class.

    Where classes share group numbers, as in UCF-101, the same ones are held out for all classes, so that a source
    shared by classes is never on both sides. Where they do not, each class gives its own part.

    Args:
        videos: of training.
        fraction: part of the groups to hold out, at least one.
        seed: which.
        where: the place of the data set, for messages.

    Raises:
        DataError: there are too few groups to hold one out.
    """
    per_class = [members(v for v in videos if v.label == label) for label in sorted({v.label for v in videos})]
    groups = members(videos)
    pools = [groups] if len(per_class) > 1 and all(set(pool) == set(groups) for pool in per_class) else per_class
    owned: dict[str, set[int]] = {}
    for label, pool in enumerate(per_class):
        for group in pool:
            owned.setdefault(group, set()).add(label)
    left = [len(pool) for pool in per_class]
    held: set[str] = set()
    for pool in pools:
        wanted = min(max(1, round(fraction * len(pool))), len(pool) - 1) - len(held.intersection(pool))
        for group in shuffled(pool, seed):
            if wanted <= 0:
                break
            if group not in held and all(left[label] > 1 for label in owned[group]):
                held.add(group)
                wanted -= 1
                for label in owned[group]:
                    left[label] -= 1
    if not held:
        all_of_them = ", ".join(groups[:5]) or "there is none"
        raise DataError(f"{where}: no group of training videos can be held out of {all_of_them}. Add others.")
    return [v for v in videos if v.group not in held], [v for v in videos if v.group in held]


def cut_three(
    videos: Sequence[Video], classes: Sequence[str], where: str, seed: int
) -> tuple[list[Video], list[Video], list[Video]]:
    """Train, validation and test (60, 20, 20 %) by group within each class.

    A group that several classes share lands on the same side in all of them.

    Args:
        videos: all.
        classes: their names, for messages.
        where: the place of the data set, for messages.
        seed: of the choice.

    Raises:
        DataError: a class has fewer than three groups.
    """
    side: dict[str, int] = {}
    for label, name in enumerate(classes):
        groups = members(video for video in videos if video.label == label)
        if len(groups) < 3:
            raise DataError(
                f"{where}/{name} has {len(groups)} group(s) of videos; train, validation and test need one each, so at "
                "least 3. Add videos, or leave the class out."
            )
        part = max(1, round(PART * len(groups)))
        wanted = {2: part, 1: part}
        for group in groups:
            if side.get(group):
                wanted[side[group]] -= 1
        # A fresh generator each time: classes with the same group numbers are cut alike, so that sources stay apart.
        free = [group for group in shuffled(groups, seed) if group not in side]
        for group in free:
            side[group] = 2 if wanted[2] > 0 else 1 if wanted[1] > 0 else 0
            wanted[side[group]] = wanted.get(side[group], 0) - 1
    train, val, test = ([v for v in videos if side[v.group] == which] for which in (0, 1, 2))
    return train, val, test


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """The names in an order that the seed decides."""
    return random.Random(seed).sample(list(names), len(names))
