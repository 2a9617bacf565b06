"""Outcomes per clip with the source and the seed that each belongs to, from rows and the manifests they refer to."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrobust.results.numbers.selection import CLIP_SOURCES
from vidrobust.results.numbers.spread import ClusterLabels
from vidrobust.results.numbers.statistics import Estimate, accuracy_estimate

if TYPE_CHECKING:
    from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class ClipValues:
    """Values per clip (``N``), with the source and the training seed of each; numbers stand for the same labels."""

    values: np.ndarray
    sources: ClusterLabels
    seeds: ClusterLabels


def survived_clips(row: Row) -> np.ndarray:
    """1 for each clip that the model still classified rightly, else 0 (``N``)."""
    return (np.frombuffer(row["survived"].encode(), np.uint8) == ord("1")).astype(float)


def sources(row: Row) -> Sequence[Any]:
    """The source of each clip of a row; of an old row, which does not tell them, each clip is a source of its own."""
    return row.get(CLIP_SOURCES, range(row["clips"]))


def tells_sources(rows: Iterable[Row]) -> bool:
    """Do rows say the source of each of their clips?"""
    return all(CLIP_SOURCES in row for row in rows)


def sample(rows: Sequence[Row], values: Sequence[np.ndarray]) -> ClipValues:
    """Values per clip (``N`` of each row) of several rows with the sources and the seeds of the rows."""
    of = np.concatenate([_source_numbers(sources(row)) for row in rows])
    seeds = [row.get("seed", 0) for row in rows]
    whole = all(type(seed) is int and abs(seed) < 1 << 63 for seed in seeds)
    by_clip = np.repeat(np.array(seeds, dtype=int if whole else object), [row["clips"] for row in rows])
    return ClipValues(np.concatenate(values), of, by_clip)


_NUMBERS: defaultdict[Hashable, int] = defaultdict(count().__next__)
"""A number for each source that was met: of many rows, numbers are much faster to sort and to compare than names."""


@lru_cache(maxsize=64)
def _source_numbers(of: Sequence[Hashable]) -> np.ndarray:
    return np.array([_NUMBERS[source] for source in of], dtype=int)


def clustered(rows: Sequence[Row]) -> Estimate | None:
    """The accuracy of rows with its interval over sources and seeds; None where a row does not tell its clips.

    A seed that was measured on several sets of clips counts with all of them.
    """
    if not rows or not tells_sources(rows) or any("survived" not in row for row in rows):
        return None
    values = [survived_clips(row) for row in rows]
    if len(rows) == 1:
        return accuracy_estimate(values[0], sources(rows[0]))
    found = sample(rows, values)
    several = len({row.get("seed") for row in rows}) > 1
    return accuracy_estimate(found.values, found.sources, found.seeds if several else None)


def on_sources(rows: Iterable[Row], chosen: Container[Hashable]) -> list[Row]:
    """Rows as if the clips of some sources alone had been measured; without those that do not tell their clips.

    Args:
        rows: of one kind, with the sources of their clips (:func:`~vidrobust.results.numbers.selection.of_kind`).
        chosen: the sources.
    """
    known: dict[Sequence[Any], list[int]] = {}
    found = []
    for row in rows:
        if "survived" not in row or not tells_sources([row]):
            continue
        of = sources(row)
        if of not in known:
            known[of] = [place for place, source in enumerate(of) if source in chosen]
        if known[of]:
            found.append(on_places(row, known[of]))
    return found


def on_places(row: Row, kept: Sequence[int]) -> Row:
    """A row as if those of its clips alone had been measured that are at some places, in that order.

    What it says of all of its clips is left out.
    """
    part = itemgetter(*kept, kept[0])  # of one place alone it would give no tuple
    survived, of = "".join(part(row["survived"])[:-1]), part(sources(row))[:-1]
    fields = {
        name: value for name, value in row.items() if name not in ("clips_of", "no_gradient", "retried", "sources")
    }
    return {**fields, "survived": survived, "correct": survived.count("1"), "clips": len(kept), CLIP_SOURCES: of}


def apart(first: ClipValues, second: ClipValues) -> ClipValues:
    """Values whose mean is how much the mean of one set of clips exceeds that of another, such as train of validation.

    Each clip enters by its influence on the difference, so that the errors of clips of a source that both sets have,
    and of a seed, are added before they are squared. Residuals of few sources are too small: each set
    makes up for its own.

    >>> one, two = ClipValues(np.ones(20), range(20), [0] * 20), ClipValues(np.zeros(12), range(20, 32), [0] * 12)
    >>> float(apart(one, two).values.mean())
    1.0
    """
    difference = first.values.mean() - second.values.mean()
    total = len(first.values) + len(second.values)
    influence = [
        sign * total / len(part.values) * (part.values - part.values.mean()) * _for_few(len(set(part.sources)))
        for sign, part in ((1, first), (-1, second))
    ]
    values = difference + np.concatenate(influence)
    return ClipValues(values, [*first.sources, *second.sources], [*first.seeds, *second.seeds])


def _for_few(clusters: int) -> float:
    return math.sqrt(clusters / (clusters - 1)) if clusters > 1 else 1.0
