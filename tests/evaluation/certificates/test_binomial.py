"""Bounds of a probability against exact sums, and their error rate when counts are looked at several times."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from vidrobust.errors import InputError
from vidrobust.evaluation.certificates.binomial import clopper_pearson, looks, sequential


def tail(hits: int, draws: int, probability: float) -> float:
    """P(X ≥ hits), in exact arithmetic."""
    p = Fraction(probability)
    return float(sum(comb(draws, k) * p**k * (1 - p) ** (draws - k) for k in range(hits, draws + 1)))


@pytest.mark.parametrize(("hits", "draws"), [(1, 10), (7, 10), (60, 100), (99, 100), (100, 100), (150, 150)])
@pytest.mark.parametrize("failure", [0.05, 0.001])
def test_the_bound_is_where_as_many_hits_have_the_failure_probability(hits: int, draws: int, failure: float) -> None:
    assert tail(hits, draws, clopper_pearson(hits, draws, failure)) == pytest.approx(failure, rel=1e-6)


def test_no_hit_bounds_nothing_and_impossible_counts_are_refused() -> None:
    assert clopper_pearson(0, 10, 0.05) == 0.0
    for hits, draws, failure in ((11, 10, 0.05), (0, 0, 0.05), (1, 10, 0.0), (1, 10, 1.0)):
        with pytest.raises(InputError, match="not possible"):
            clopper_pearson(hits, draws, failure)


@pytest.mark.parametrize("probability", [0.5, 0.7, 0.97])
def test_bounds_that_stop_whenever_they_like_fail_no_more_often_than_asked(probability: float) -> None:
    """An adversarial rule: stop once the bound is above the truth. 2000 runs at 10 %, five standard errors above."""
    rng, failure, wrong = np.random.default_rng(0), 0.1, 0
    for _ in range(2000):
        found = sequential(
            lambda n: int(rng.binomial(n, probability)), 400, failure, 4, lambda now, then: now > probability
        )
        wrong += found.value > probability
    assert wrong <= 2000 * failure + 5 * (2000 * failure * (1 - failure)) ** 0.5
    assert wrong > 0  # it is not merely loose


def test_sampling_stops_where_the_rest_cannot_help() -> None:
    asked: list[int] = []

    def none(count: int) -> int:
        asked.append(count)
        return 0

    found = sequential(none, 800, 0.001, 4, lambda now, then: then <= 0.5)
    assert (found.value, found.draws, asked) == (0.0, 400, [100, 100, 200])
    assert looks(3, 9) == (1, 3)
