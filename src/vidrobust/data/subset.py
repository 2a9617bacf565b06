"""A part of a split that is spread evenly over its classes and sources, or over its list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, zip_longest

from vidrobust.data.videos import Video
from vidrobust.errors import InputError


def spread(videos: Sequence[Video], limit: int | None) -> tuple[Video, ...]:
    """At most ``limit`` videos (None: all), in turn over the classes and within a class in turn over its groups.

    Raises:
        InputError: ``limit`` is below 1.
    """
    if limit is None:
        return tuple(videos)
    if limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}.")
    sources: dict[int, dict[str, list[Video]]] = defaultdict(lambda: defaultdict(list))
    for video in videos:
        sources[video.label][video.group].append(video)
    classes = [_in_turn(list(sources[label].values())) for label in sorted(sources)]
    chosen = set(_in_turn(classes)[:limit])
    return tuple(video for video in videos if video in chosen)


def even_places(total: int, count: int) -> list[int]:
    """At most ``count`` places of a list, evenly from the first to the last.

    >>> even_places(9, 3), even_places(2, 3)
    ([0, 4, 8], [0, 1])
    """
    if total <= count:
        return list(range(total))
    import torch  # whose rounding decides

    return torch.linspace(0, total - 1, count).round().long().tolist()


def _in_turn(piles: Sequence[Sequence[Video]]) -> list[Video]:
    """The first of each pile, then the second of each, and so on."""
    return [video for video in chain.from_iterable(zip_longest(*piles)) if video is not None]
