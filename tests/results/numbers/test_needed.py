"""What would decide, against closed forms and redrawn data: seeds shrink what is theirs alone."""

from __future__ import annotations

import math
from itertools import count

import numpy as np
import pytest
from scipy import stats

from vidrobust.results.numbers.advantages import fixed
from vidrobust.results.numbers.claims import BETTER
from vidrobust.results.numbers.deciding import LEVEL, Comparison, decided
from vidrobust.results.numbers.needed import Needed
from vidrobust.results.numbers.outcomes import ClipValues
from vidrobust.results.numbers.sequences import anytime
from vidrobust.results.numbers.spread import Variance
from vidrobust.results.numbers.statistics import Estimate, mean


def crossed(of_seed: np.ndarray, of_source: np.ndarray, cells: float = 0.0, rng: np.random.Generator | None = None):
    """Values of seeds × sources, one clip each: the effect of the one and of the other, and noise of ``cells``."""
    values = of_seed[:, None] + of_source[None, :]
    if rng is not None:
        values = values + rng.normal(0, cells, values.shape)
    seeds, sources = np.indices(values.shape).reshape(2, -1)
    return ClipValues(values.ravel(), sources, seeds)


def estimate(found: ClipValues) -> Estimate:
    return mean(found.values, found.sources, found.seeds)


def half(clusters: int, error: float, alpha: float = 0.025) -> float:
    return float(stats.t.ppf(1 - alpha, clusters - 1)) * error


def test_where_sources_alone_differ_no_seed_is_asked_for() -> None:
    found = estimate(crossed(np.zeros(8), np.random.default_rng(0).normal(0, 1, 100)))
    assert (found.variance.seeds, found.variance.cells) == pytest.approx((0, 0), abs=1e-12)
    expected = next(n for n in count(101) if half(8, found.error * math.sqrt(100 / n)) <= 0.1)
    assert found.more_for(0.1) == Needed(sources=expected - 100)


def test_where_seeds_alone_differ_no_source_is_asked_for() -> None:
    found = estimate(crossed(np.random.default_rng(1).normal(0, 1, 8), np.zeros(100)))
    assert (found.variance.sources, found.variance.cells) == pytest.approx((0, 0), abs=1e-12)
    expected = next(n for n in count(9) if half(min(n, 100), found.error * math.sqrt(8 / n)) <= 0.25)
    assert found.more_for(0.25) == Needed(seeds=expected - 8)


def test_the_parts_of_the_variance_are_those_that_were_drawn() -> None:
    rng, seeds, sources = np.random.default_rng(2), 8, 40
    found = [
        estimate(crossed(rng.normal(0, 1, seeds), rng.normal(0, 1, sources), 2.0, rng)).variance for _ in range(600)
    ]
    parts = np.mean([[one.sources, one.seeds, one.cells] for one in found], axis=0)
    assert parts == pytest.approx([1 / sources, 1 / seeds, 4 / (seeds * sources)], rel=0.1)


def test_with_the_seeds_asked_for_intervals_are_as_narrow_as_that() -> None:
    """All three parts; the whole error taken for the seeds' own would ask for fewer."""
    rng, seeds, sources, effect = np.random.default_rng(3), 6, 60, 0.16
    of_source, of_seed, cells = 0.5, 0.3, 0.5
    known = Variance(of_source**2 / sources, of_seed**2 / seeds, cells**2 / (seeds * sources))
    more = Estimate(0.0, -1.0, 1.0, known, seeds - 1, seeds * sources, sources, seeds).more_for(effect)
    assert more is not None and more.seeds and not more.sources

    def width(number: int) -> float:
        found = (
            estimate(crossed(rng.normal(0, of_seed, number), rng.normal(0, of_source, sources), cells, rng))
            for _ in range(300)
        )
        return float(np.mean([(one.high - one.low) / 2 for one in found]))

    assert width(seeds + more.seeds) == pytest.approx(effect, rel=0.05)
    as_if_all_were_of_seeds = next(n for n in count(7) if half(n, known.error * math.sqrt(seeds / n)) <= effect)
    assert width(as_if_all_were_of_seeds) > 1.1 * effect


def test_where_neither_is_enough_both_are_asked_for_and_no_more_than_needed() -> None:
    found = Estimate(0.0, -1.0, 1.0, Variance(0.01, 0.01, 0.001), 9, 400, 40, 10)
    more = found.more_for(0.1)
    assert more is not None and more.seeds and more.sources
    assert found.half(10 + more.seeds, 40 + more.sources, 0.025) <= 0.1
    assert found.half(10 + more.seeds, 40 + more.sources - 1, 0.025) > 0.1
    assert str(more) == f"{more.seeds} more seeds and {more.sources} more sources"


def test_looks_at_every_seed_ask_for_sources_where_these_alone_differ() -> None:
    found = anytime(crossed(np.zeros(6), np.random.default_rng(4).normal(0, 1, 60), 0.01, np.random.default_rng(5)))
    more = found.more_for(0.2)
    assert more is not None and more.sources and not more.seeds
    assert found.half(6, 60, 0.05) == pytest.approx(found.looks[-1].half(0.05))
    assert found.half(6, 60 + more.sources, 0.025) <= 0.2 < found.half(6, 60 + more.sources - 1, 0.025)


def judged(found: Estimate):
    (one,) = decided([Comparison("n", "s", "t", "p", found, BETTER, found.seeds, 100, found.sources, 3, ("a", "b"))])
    return one


def claimed(value: float, variance: Variance) -> Estimate:
    return Estimate(value, -1.0, 1.0, variance, 9, 1280, 128, 10)


def test_a_claim_says_what_it_lacks_and_whether_seeds_are_it() -> None:
    of_sources, of_seeds = judged(claimed(0.01, Variance(0.01**2))), judged(claimed(0.01, Variance(0.0, 0.01**2)))
    assert (of_sources.verdict, of_sources.seeds_may_decide) == ("undecided", False)
    assert of_sources.more is not None and of_sources.more.sources and not of_sources.more.seeds
    assert of_sources.reason.endswith(f"about {of_sources.more.sources} more sources would decide")
    assert (of_seeds.verdict, of_seeds.seeds_may_decide) == ("undecided", True)
    assert of_seeds.more is not None and of_seeds.more.seeds and not of_seeds.more.sources


@pytest.mark.parametrize("over", [fixed, anytime])
def test_the_number_is_the_one_at_which_the_first_step_of_holm_decides(over) -> None:
    """At one seed less of the same spread and difference it is still undecided, alone in its family."""
    rng = np.random.default_rng(6)
    found = over(crossed(rng.normal(0.05, 0.08, 5), rng.normal(0, 0.01, 200)))
    one = judged(found)
    assert one.more is not None and one.more.seeds > 1, one
    distance, enough = max(found.value, 0.02 - found.value), found.seeds + one.more.seeds
    assert found.half(enough, found.sources, LEVEL / 2) <= distance < found.half(enough - 1, found.sources, LEVEL / 2)
