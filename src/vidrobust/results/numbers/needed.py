"""How many more seeds or sources would make an interval narrow enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from vidrobust.runs.wording import counted

MOST_SEEDS, MOST_TIMES, MOST = 1000, 10, 10**9
"""Where counting ends: of seeds, of sources alone, of which a set has seldom many times as many, and of both."""


@dataclass(frozen=True)
class Needed:
    """What would make an interval narrow enough: so many more seeds, or sources, or both; prints as words.

    >>> print(Needed(seeds=1), "or", Needed(sources=40))
    1 more seed or 40 more sources
    """

    seeds: int = 0
    sources: int = 0

    def __str__(self) -> str:
        parts = ((self.seeds, "more seed"), (self.sources, "more source"))
        return " and ".join(counted(count, what) for count, what in parts if count)


def needed(half: Callable[[int, int], float], effect: float, seeds: int, sources: int) -> Needed | None:
    """What makes a half-width ``effect``: seeds where any number of them does, else sources, else as many times both.

    Args:
        half: the half-width at a number of seeds and of sources.
        effect: the difference that matters.
        seeds, sources: how many there are; of one alone nothing is known about others of its kind.

    Returns:
        None where it is narrow enough already.
    """
    if half(seeds, sources) <= effect:
        return None
    if seeds > 1 and (enough := _fewest(lambda count: half(count, sources) <= effect, seeds, MOST_SEEDS)):
        return Needed(seeds=enough - seeds)
    if sources > 1 and (enough := _fewest(lambda count: half(seeds, count) <= effect, sources, MOST_TIMES * sources)):
        return Needed(sources=enough - sources)

    def as_many(count: int) -> int:
        return math.ceil(seeds * count / sources) if seeds > 1 else 1

    enough = _fewest(lambda count: half(as_many(count), count) <= effect, sources, MOST) or MOST
    return Needed(as_many(enough) - seeds, enough - sources)


def _fewest(narrow: Callable[[int], bool], known: int, most: int) -> int | None:
    """The smallest number above ``known`` at which it is narrow enough, as it then is at all larger ones."""
    if not narrow(most):
        return None
    low, high = known, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if narrow(middle) else (middle, high)
    return high
