"""Intervals hold what they say on clustered data, and the naive ones do not; tests against closed forms."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vidrobust.errors import InputError
from vidrobust.results.numbers.intervals import interval
from vidrobust.results.numbers.statistics import (
    FEW,
    Estimate,
    accuracy_estimate,
    equivalent,
    holm,
    mean,
    paired_difference,
    unseen,
)

ROUNDS = 1500


def clustered(rng: np.random.Generator, sources: int, clips: int, share: float, alike: float) -> np.ndarray:
    """``sources × clips`` right answers; ``alike`` is the correlation of clips of one source (beta-binomial)."""
    strength = (1 - alike) / alike
    of_source = rng.beta(share * strength, (1 - share) * strength, size=(sources, 1))
    return (rng.random((sources, clips)) < of_source).astype(int)


@pytest.mark.parametrize(
    ("sources", "clips", "share", "alike"), [(12, 8, 0.5, 0.3), (25, 4, 0.3, 0.5), (48, 4, 0.8, 0.2), (25, 1, 0.5, 0.3)]
)
def test_accuracy_covers_the_truth_on_clustered_clips(sources: int, clips: int, share: float, alike: float) -> None:
    rng = np.random.default_rng(sources)
    labels = np.repeat(np.arange(sources), clips).tolist()
    covered = 0
    for _ in range(ROUNDS):
        found = accuracy_estimate(clustered(rng, sources, clips, share, alike).ravel(), labels)
        covered += found.low <= share <= found.high
    assert 0.93 <= covered / ROUNDS <= 0.97


def test_intervals_over_clips_do_not() -> None:
    rng, covered = np.random.default_rng(0), 0
    for _ in range(ROUNDS):
        right = clustered(rng, 25, 8, 0.5, 0.4)
        low, high = interval(int(right.sum()), right.size)
        covered += low <= 0.5 <= high
    assert covered / ROUNDS < 0.8


def test_paired_differences_cover_the_truth() -> None:
    rng, covered, labels = np.random.default_rng(1), 0, np.repeat(np.arange(20), 5).tolist()
    for _ in range(ROUNDS):
        lead = rng.normal(0.1, 0.2, size=(20, 1))  # how much better the first is on a source: 0.1 on average
        chance = rng.random((20, 5))
        first, second = (chance < 0.5 + lead / 2).ravel(), (chance < 0.5 - lead / 2).ravel()
        found = paired_difference(first, second, labels)
        covered += found.low <= 0.1 <= found.high
    assert 0.93 <= covered / ROUNDS <= 0.97


def test_seeds_and_sources_both_count() -> None:
    """Two-way: with effects of seeds and of sources, one-way intervals over sources are far too narrow."""
    rng, both, one = np.random.default_rng(2), 0, 0
    seeds, sources = np.repeat(np.arange(12), 30), np.tile(np.arange(30), 12)
    for _ in range(ROUNDS):
        values = rng.normal(0, 1, 12)[seeds] + rng.normal(0, 1, 30)[sources] + rng.normal(0, 1, 360)
        found = mean(values, sources.tolist(), seeds.tolist())
        both += found.low <= 0 <= found.high
        naive = mean(values, sources.tolist())
        one += naive.low <= 0 <= naive.high
    assert 0.93 <= both / ROUNDS <= 0.97
    assert one / ROUNDS < 0.85


def test_one_clip_a_source_is_the_t_interval_of_the_books() -> None:
    values = np.random.default_rng(3).normal(size=40)
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    found = mean(values, list(range(40)))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_repeating_every_clip_changes_nothing() -> None:
    """Copies of a clip are no evidence."""
    right = np.random.default_rng(4).integers(0, 2, 30)
    once = accuracy_estimate(right, list(range(30)))
    often = accuracy_estimate(np.repeat(right, 7), np.repeat(np.arange(30), 7).tolist())
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert (often.clips, often.sources) == (210, 30)


@pytest.mark.parametrize("right", [0, 1])
def test_all_alike_is_not_certain(right: int) -> None:
    found = accuracy_estimate([right] * 60, np.repeat(np.arange(20), 3).tolist())
    assert found.value == right
    assert found.high - found.low > 0.15  # as of 20 clips, not of 60
    none = paired_difference([right] * 60, [right] * 60, np.repeat(np.arange(20), 3).tolist())
    assert none.low < 0 < none.high
    assert none.p == 1


def test_no_success_of_several_seeds_leaves_no_more_room_than_a_few_do() -> None:
    sources, seeds = np.tile(np.arange(128), 5).tolist(), np.repeat(np.arange(5), 128).tolist()
    none, two = (accuracy_estimate([1] * count + [0] * (640 - count), sources, seeds) for count in (0, 2))
    assert (none.low, two.low) == (0, pytest.approx(0, abs=0.001))
    assert 0.01 < none.high < 0.06


def right_in(sources: int, clips: int, whole: int, each: int) -> Estimate:
    """The accuracy where ``each`` clips of some sources are right, and none of the others."""
    right = np.zeros((sources, clips), int)
    right[:whole, :each] = 1
    return accuracy_estimate(right.ravel(), np.repeat(np.arange(sources), clips))


@given(st.integers(FEW, 40), st.integers(1, 20), st.booleans())
def test_the_interval_rises_with_the_sources_that_have_right_clips(sources: int, clips: int, alike: bool) -> None:
    """One right clip in each of more and more sources, or all of them."""
    each = clips if alike else 1
    found = [right_in(sources, clips, whole, each) for whole in range(sources + 1)]
    for fewer, more in pairwise(found):
        assert fewer.low <= more.low + 1e-12 and fewer.high <= more.high + 1e-12


@given(st.lists(st.integers(0, 10), min_size=FEW, max_size=40))
def test_no_count_has_less_room_than_none_and_all(right: list[int]) -> None:
    values = np.arange(10)[None, :] < np.array(right)[:, None]
    found = accuracy_estimate(values.ravel(), np.repeat(np.arange(len(right)), 10))
    none, every = (right_in(len(right), 10, len(right), each) for each in (0, 10))
    assert found.high >= none.high and found.low <= every.low
    assert none.high >= unseen(len(right))


@pytest.mark.parametrize(("share", "alike"), [(0.02, 0.3), (0.04, 0.5), (0.05, 0.8)])
def test_rare_right_clips_are_covered_though_alike_within_a_source(share: float, alike: float) -> None:
    """Where the few right clips happen to be apart, the observed design effect says nothing of sources not drawn."""
    rng, labels, covered = np.random.default_rng(11), np.repeat(np.arange(25), 8), 0
    for _ in range(ROUNDS):
        found = accuracy_estimate(clustered(rng, 25, 8, share, alike).ravel(), labels)
        covered += found.low <= share <= found.high
    assert covered / ROUNDS >= 0.95


def test_few_sources_are_not_trusted_and_never_narrower_than_the_bootstrap() -> None:
    right = [1] * 10 + [0] * 10 + [1, 0] * 10
    found = accuracy_estimate(right, ["a"] * 10 + ["b"] * 10 + ["c"] * 20)
    assert not found.trusted
    assert found.sources == 3 < FEW
    assert (found.low, found.high) == (0.0, 1.0) or found.high - found.low > 0.8


def test_one_source_says_nothing() -> None:
    found = accuracy_estimate([1, 0, 1], ["a"] * 3)
    assert (found.low, found.high, found.freedom, found.p) == (0, 1, 0, 1)
    assert mean([1.0, 2.0], ["a", "a"]).high == math.inf


def test_holm_is_statsmodels_holm() -> None:
    assert holm([0.005, 0.01, 0.03, 0.04]) == pytest.approx([0.02, 0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_equivalence_and_non_inferiority_against_the_books() -> None:
    values = np.random.default_rng(5).normal(0.01, 0.1, size=50)
    found = mean(values, list(range(50)))
    above = stats.ttest_1samp(values, 0.05, alternative="less").pvalue
    below = stats.ttest_1samp(values, -0.05, alternative="greater").pvalue
    assert found.below(0.05) == pytest.approx(above)
    assert equivalent(found, 0.05) == pytest.approx(max(above, below))


def test_what_would_decide_makes_the_interval_narrow_enough() -> None:
    values = np.random.default_rng(6).normal(0, 1, size=30)
    found = mean(values, list(range(30)))
    more = found.more_for(0.1)
    assert more is not None
    total = 30 + more.sources
    assert stats.t.ppf(0.975, total - 1) * found.error * math.sqrt(30 / total) <= 0.1
    assert stats.t.ppf(0.975, total - 2) * found.error * math.sqrt(30 / (total - 1)) > 0.1
    assert found.more_for(10) is None


@pytest.mark.parametrize(
    ("values", "sources", "said"),
    [
        ([], [], "no clips"),
        ([1, 0], ["a"], "2 values, but 1 sources"),
        ([0.5], ["a"], "0 or 1"),
        ([math.nan], ["a"], "finite"),
    ],
)
def test_impossible_values_are_refused(values: list[float], sources: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        accuracy_estimate(values, sources)
