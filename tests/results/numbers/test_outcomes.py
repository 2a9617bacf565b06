"""Outcomes per clip, with the sources and the seeds that they belong to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.results.numbers.outcomes import apart, clustered, on_sources, sample, survived_clips
from vidrobust.results.numbers.selection import CLIP_SOURCES
from vidrobust.results.numbers.statistics import accuracy_estimate
from vidrobust.runs.rows import Row


def row(seed: int, survived: str, sources: str) -> Row:
    """Clips of one model, each of the source that a letter names."""
    correct = survived.count("1")
    return {"seed": seed, "survived": survived, "correct": correct, "clips": len(survived), CLIP_SOURCES: (*sources,)}


CLIPS = st.lists(st.tuples(st.sampled_from("01"), st.sampled_from("abcdefghijklmno")), min_size=1, max_size=30)


@given(st.lists(st.tuples(st.sampled_from([3, 7, 2**63, -1]), CLIPS), min_size=1, max_size=5))
def test_rows_are_clustered_as_their_clips_listed_one_by_one(found: list[tuple[int, list[tuple[str, str]]]]) -> None:
    rows = [row(seed, *map("".join, zip(*clips, strict=True))) for seed, clips in found]
    values = [digit == "1" for one in rows for digit in one["survived"]]
    sources = [source for one in rows for source in one[CLIP_SOURCES]]
    seeds = [one["seed"] for one in rows for _ in one["survived"]]
    assert clustered(rows) == accuracy_estimate(values, sources, seeds if len(set(seeds)) > 1 else None)


def test_a_source_is_the_same_in_all_samples_and_a_seed_keeps_its_number() -> None:
    first, second = row(5, "1100", "abca"), row(2, "11", "ca")
    one, two = (sample([some], [survived_clips(some)]) for some in (first, second))
    names = dict(zip("abc", one.sources, strict=False))
    assert list(two.sources) == [names["c"], names["a"]] and len(set(names.values())) == 3
    assert list(apart(one, two).sources) == [names[name] for name in "abcaca"]
    assert list(one.seeds) == [5] * 4 and list(two.seeds) == [2] * 2


def test_rows_of_some_sources_alone() -> None:
    rows = [row(0, "1010", "abac"), row(1, "0111", "abac"), row(2, "11", "bb")]
    (one, two), single = on_sources(rows, {"a"}), on_sources(rows, {"c"})
    assert (one["survived"], two["survived"]) == ("11", "01") and one[CLIP_SOURCES] == ("a", "a")
    assert [(part["survived"], part["clips"], part["correct"]) for part in single] == [("0", 1, 0), ("1", 1, 1)]


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, "U9", object])
def test_sources_may_be_an_array(dtype: object) -> None:
    right, sources = [1, 0, 0, 1, 1, 0] * 4, [7, 3, 7, 5, 3, 9, 1, 8, 12, 11, 20, 31] * 2
    found = accuracy_estimate(right, np.array(sources).astype(dtype))  # type: ignore[arg-type, call-overload]
    assert found == accuracy_estimate(right, sources)
