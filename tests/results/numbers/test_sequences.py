"""Looking again and again does not cheat: the error rate over all looks, and the closed form against an integral."""

from __future__ import annotations

import math
import runpy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from vidrobust.results.numbers.advantages import fixed
from vidrobust.results.numbers.claims import MARGIN
from vidrobust.results.numbers.outcomes import ClipValues
from vidrobust.results.numbers.sequences import PRIOR, AnytimeEstimate, anytime, seeds_half

MOST = 20
"""Seeds that are added at most."""


def drawn(rng, value=0.0, seeds=MOST, sources=16, clips=4, of_source=0.02, of_seed=0.03):
    """Differences a clip of seeds on the same clips, with effects of sources and of seeds."""
    noise = rng.normal(0, 0.1, (seeds, sources, clips))
    effects = rng.normal(0, of_seed, (seeds, 1, 1)) + rng.normal(0, of_source, (1, sources, 1))
    where = np.indices((seeds, sources, clips))
    return ClipValues((value + effects + noise).ravel(), where[1].ravel().tolist(), where[0].ravel().tolist())


def first(found, seeds, clips=64):
    return ClipValues(found.values[: seeds * clips], found.sources[: seeds * clips], found.seeds[: seeds * clips])


def test_the_error_rate_over_all_looks_stays_below_five_per_cent_and_that_of_fixed_intervals_does_not():
    rng, rounds, naive, anyhow = np.random.default_rng(0), 200, 0, 0
    for _ in range(rounds):
        found = drawn(rng)
        last = anytime(found)  # its P values are those of the best look so far
        anyhow += min(last.above(0.0), last.below(0.0)) <= 0.025
        looks = (fixed(first(found, seeds)) for seeds in range(3, MOST + 1, 2))
        naive += any(min(one.above(0.0), one.below(0.0)) <= 0.025 for one in looks)
    assert anyhow / rounds <= 0.05
    assert naive / rounds > 0.07


ERROR_RATES = runpy.run_path(str(Path(__file__).parents[3] / "scripts" / "error-rates"))


@pytest.mark.parametrize("setting", ERROR_RATES["SETTINGS"], ids=lambda one: one.name)
def test_of_families_that_are_judged_after_each_seed_at_most_one_in_twenty_gets_a_wrong_verdict(setting):
    """Few families at the margin; docs/claims.md has the shares of many."""
    rng, wrong, by_fixed, families = np.random.default_rng(0), 0, 0, 80
    for _ in range(families):
        drawn_family = ERROR_RATES["differences"](rng, setting, MARGIN)
        for over in (anytime, fixed):
            ever, _ = ERROR_RATES["judged"](drawn_family, setting.pairs, over)
            bad = any("not reproduced" in verdicts for verdicts in ever)
            wrong, by_fixed = (wrong + bad, by_fixed) if over is anytime else (wrong, by_fixed + bad)
    assert wrong / families <= 0.05
    assert wrong <= by_fixed


def test_a_claim_that_is_decided_gets_no_more_seeds_unless_its_models_do():
    """A difference of −5 points turns into one of 50; the other claim stays undecided."""
    rng = np.random.default_rng(0)
    turning = np.where(np.arange(MOST) < 4, -0.05, 0.5)[:, None, None] + rng.normal(0, 1e-4, (MOST, 16, 4))
    open_ = rng.normal(0.01, 0.2, (MOST, 1, 1)) + np.zeros((MOST, 16, 4))
    judged = ERROR_RATES["judged"]
    alone, _ = judged([turning, open_], (("a", "b"), ("c", "d")), fixed)
    assert alone[0] == {"not reproduced"}
    shared, _ = judged([turning, open_], (("a", "b"), ("a", "b")), fixed)
    assert "reproduced" in shared[0]


def test_seeds_alone_are_held_as_well_as_the_theory_says():
    """Without effects of sources the sequence is the whole of it; t intervals after every seed are wrong too often."""
    rng, rounds, seeds = np.random.default_rng(1), 4000, np.arange(2, 101)
    values = rng.normal(0, 1, (rounds, 100))
    sums, squares = values.cumsum(1)[:, 1:], (values**2).cumsum(1)[:, 1:]
    means = sums / seeds
    spread = np.sqrt((squares - seeds * means**2) / (seeds - 1))
    halves = np.array([seeds_half(n, 1.0, 0.05) for n in seeds.tolist()])
    assert (np.abs(means) > halves * spread).any(1).mean() <= 0.05
    naive = stats.t.ppf(0.975, seeds - 1) / np.sqrt(seeds)
    assert (np.abs(means) > naive * spread).any(1).mean() > 0.3


@pytest.mark.parametrize(("seeds", "alpha"), [(3, 0.2), (5, 0.05), (12, 0.01), (60, 0.001)])
def test_the_closed_form_is_the_mixture_of_likelihood_ratios(seeds, alpha):
    """At the end of the interval the mixture of noncentral t densities over the central one is 1/α."""
    statistic = seeds_half(seeds, 1.0, alpha) * math.sqrt(seeds)

    def weighted(effect: float) -> float:
        density = stats.nct.pdf(statistic, seeds - 1, effect * math.sqrt(seeds))
        return stats.norm.pdf(effect, 0, PRIOR) * density

    mixed = integrate.quad(weighted, -40, 40, points=[0, statistic / math.sqrt(seeds)], limit=400)[0]
    assert mixed / stats.t.pdf(statistic, seeds - 1) == pytest.approx(1 / alpha, rel=1e-3)


def test_a_true_difference_is_found_and_evidence_is_not_taken_back():
    rng = np.random.default_rng(2)
    found = drawn(rng, value=0.15)
    p_values = [anytime(first(found, seeds)).above(0.0) for seeds in range(2, MOST + 1)]
    assert p_values[-1] < 0.01
    assert all(later <= earlier + 1e-9 for earlier, later in zip(p_values, p_values[1:], strict=False))


def test_a_decision_is_not_taken_back_by_looks_that_exclude_earlier_ones():
    means = np.array([0.5, 0.51, 0.49, 0.5, 0.5, 0.49, 0.51, 0.5, *[-0.5] * 12])
    noise = np.random.default_rng(7).normal(0, 0.01, (MOST, 16, 4))
    where = np.indices(noise.shape)
    found = ClipValues((means[:, None, None] + noise).ravel(), where[1].ravel(), where[0].ravel())
    estimates = [anytime(first(found, seeds)) for seeds in range(2, MOST + 1)]
    assert max(estimates[6].low, 0.3) > estimates[-1].high  # the last look excludes the first ones
    p_values = [one.above(0.0) for one in estimates]
    assert p_values[6] < 0.01
    assert all(later <= earlier for earlier, later in pairwise(p_values))


def test_the_interval_and_the_p_values_agree():
    found = anytime(drawn(np.random.default_rng(3), value=0.05))
    assert isinstance(found, AnytimeEstimate)
    assert found.low <= found.value <= found.high
    assert found.above(found.low) == pytest.approx(0.05, rel=1e-3) == found.below(found.high)
    plain = fixed(drawn(np.random.default_rng(3), value=0.05))
    assert found.value == pytest.approx(plain.value)
    assert (found.sources, found.seeds, found.over) == (16, MOST, plain.over)
    assert found.high - found.low > plain.high - plain.low  # what looking at will costs


def test_what_would_decide_makes_the_interval_narrow_enough():
    found = anytime(drawn(np.random.default_rng(5), seeds=5, of_source=0.002))
    last, effect, cells = found.looks[-1], 0.05, found.variance.cells
    more = found.more_for(effect, 0.05)
    assert more.seeds > 0 and not more.sources
    for less, enough in ((0, True), (1, False)):
        seeds = 5 + more.seeds - less
        error = math.sqrt(last.error**2 - cells + cells * 5 / seeds)  # the seeds' share of the sources' error shrinks
        assert (seeds_half(seeds, last.spread, 0.025) + stats.t.ppf(0.9875, 15) * error <= effect) == enough
    assert found.more_for(1e-3).sources  # no number of seeds is enough
    assert anytime(drawn(np.random.default_rng(6))).more_for(0.9) is None


def test_one_seed_says_nothing():
    found = anytime(drawn(np.random.default_rng(4), seeds=1))
    assert (found.low, found.high, found.above(0.0), found.below(0.02)) == (-1, 1, 1, 1)


def test_seeds_that_agree_to_the_clip_are_not_certain():
    same = ClipValues(np.tile(np.eye(20)[0], 4), list(range(20)) * 4, np.repeat(range(4), 20).tolist())
    found = anytime(same)
    assert found.low < found.value < found.high
