from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.errors import InputError
from vidrobust.results.numbers.intervals import interval, student, t_interval


@given(st.integers(1, 500).flatmap(lambda clips: st.tuples(st.integers(0, clips), st.just(clips))))
def test_an_interval_holds_the_share_and_solves_the_score_equation(counts):
    correct, clips = counts
    low, high = interval(correct, clips)
    share = correct / clips
    assert 0 <= low <= share <= high <= 1
    for bound in (low, high):  # Wilson: |share − p| = 1.96 standard errors at p, where the bound is not clipped
        if 0 < bound < 1 and abs(bound - share) > 1e-12:
            assert abs(share - bound) == pytest.approx(1.959964 * np.sqrt(bound * (1 - bound) / clips), rel=1e-4)


def test_impossible_counts_are_refused():
    for counts in ((3, 2), (-1, 5), (0, 0)):
        with pytest.raises(InputError, match="not possible"):
            interval(*counts)


def test_student_and_t_interval_are_those_of_the_tables():
    assert student(2) == pytest.approx(4.302653, rel=1e-6)
    assert t_interval([0.0, 0.1, 0.2]) == pytest.approx((0.1 - 4.302653 * 0.1 / 3**0.5, 0.1 + 4.302653 * 0.1 / 3**0.5))
    with pytest.raises(InputError):
        t_interval([1.0])
