from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.errors import InputError
from vidrobust.results.numbers.fits import linear_fit, power_fit


def test_a_line_has_the_textbook_intervals():
    x, y = [1, 2, 3, 4, 5], [2.2, 2.8, 3.6, 4.5, 5.1]
    fit = linear_fit(x, y)
    assert fit.slope == pytest.approx(0.75) and fit.intercept == pytest.approx(1.39)
    error = np.sqrt(0.027 / 3 / 10)  # residual sum of squares 0.027, three degrees of freedom
    assert (fit.slope_low, fit.slope_high) == pytest.approx(
        (0.75 - 3.182446 * error, 0.75 + 3.182446 * error), rel=1e-5
    )
    assert fit.intercept_high - 1.39 == pytest.approx(3.182446 * np.sqrt(0.009 * (1 / 5 + 9 / 10)), rel=1e-5)
    assert fit.r2 == pytest.approx(1 - 0.027 / np.var(y) / 5)
    assert fit.aicc == pytest.approx(5 * np.log(0.027 / 5) + 6 + 24)


@given(st.floats(0.1, 3.0), st.floats(0.3, 2.0))
def test_a_power_law_is_found_exactly_and_beats_the_line_where_it_bends(scale, exponent):
    x = np.arange(1.0, 13.0)
    fit = power_fit(x, scale * x**exponent)
    assert fit.exponent == pytest.approx(exponent, rel=1e-5) and fit.scale == pytest.approx(scale, rel=1e-5)
    assert fit.r2 == pytest.approx(1.0)
    if abs(exponent - 1) > 0.05:
        assert fit.aicc < linear_fit(x, scale * x**exponent).aicc - 4


def test_a_power_law_is_fitted_in_the_space_of_y():
    x, y = np.array([1.0, 2, 4, 8]), np.array([0.1, 1.0, 2.0, 4.0])  # in log space the first point would pull hard
    fit = power_fit(x, y)
    for scale, exponent in ((1.01, 1), (0.99, 1), (1, 1.01), (1, 0.99)):
        other = fit.scale * scale * x ** (fit.exponent * exponent)
        assert np.sum((fit(x) - y) ** 2) < np.sum((other - y) ** 2)
    assert fit.exponent_low < fit.exponent < fit.exponent_high


def test_fits_refuse_what_they_cannot_fit():
    for fit in (linear_fit, power_fit):
        with pytest.raises(InputError):
            fit([1, 2], [1, 2])
        with pytest.raises(InputError):
            fit([1, 1, 1], [1, 2, 3])
    with pytest.raises(InputError, match="above 0"):
        power_fit([0, 1, 2], [1, 2, 3])
