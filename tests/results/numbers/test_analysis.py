from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.errors import InputError
from vidrobust.results.numbers.analysis import (
    MissingRowsError,
    best_step,
    interval,
    linear_fit,
    power_fit,
    student,
    surface,
    t_interval,
)


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


def test_a_surface_is_sorted_and_pools_the_seeds():
    row = {"kind": "trajectory", "model": "standard", "seed": 0, "eps": 4, "surface": True}
    rows = [
        row | {"alpha": 2.0, "loss": [1.0, 4.0], "correct": [8, 2], "clips": 10},
        row | {"alpha": 1.0, "loss": [1.0, 3.0], "correct": [10, 5], "clips": 10},
        row | {"alpha": 1.0, "loss": [2.0, 6.0, 9.0], "correct": [30, 15, 9], "clips": 30, "seed": 1},
        row | {"alpha": 3.0, "loss": [9.0, 9.0], "correct": [0, 0], "clips": 10, "surface": False},
        row | {"alpha": 3.0, "loss": [9.0, 9.0], "correct": [0, 0], "clips": 10, "model": "AT(ε=8,α=8,i=3)"},
    ]
    found = surface(rows, 4)
    assert found.alphas.tolist() == [1.0, 2.0] and found.steps.tolist() == [0, 1] and found.clips == 10
    assert found.loss.tolist() == [[1.75, 5.25], [1.0, 4.0]]
    assert found.accuracy.tolist() == [[1.0, 0.5], [0.8, 0.2]]
    assert found.ridge.tolist() == [1.0, 1.0]
    with pytest.raises(MissingRowsError, match="ε=8"):
        surface(rows, 8)


def test_a_sweep_of_another_model_alone_is_shown():
    row = {"kind": "trajectory", "model": "AT(ε=8,α=8,i=3)", "seed": 0, "eps": 4, "surface": True}
    found = surface([row | {"alpha": 1.0, "loss": [1.0, 2.0], "correct": [1, 0], "clips": 1}], 4)
    assert found.loss.tolist() == [[1.0, 2.0]]


@given(st.floats(0.3, 8.0), st.floats(0.05, 3.0), st.integers(8, 16))
def test_the_top_of_a_parabola_in_log_alpha_is_found_exactly(optimum, curvature, points):
    grid = np.geomspace(0.1, 24, points)
    losses = np.repeat(-curvature * (np.log(grid) - np.log(optimum))[:, None] ** 2, 3, axis=1)
    found = best_step(grid, losses)
    assert found.interior
    assert found.alpha == pytest.approx(optimum, rel=1e-6)
    assert found.low == pytest.approx(optimum, rel=1e-6) and found.high == pytest.approx(optimum, rel=1e-6)


@pytest.mark.parametrize("ratio", [1.5, 3.0])
def test_a_lopsided_optimum_is_found_from_its_neighbourhood_alone(ratio):
    grid = 0.1 * ratio ** np.arange(10)
    x = np.log(grid) - np.log(grid[4]) - 0.2 * np.log(ratio)
    found = best_step(grid, (-(x**2) + 0.15 * x**3)[:, None] + np.zeros(3))
    assert found.alpha == pytest.approx(grid[4] * ratio**0.2, rel=0.08)  # far points would bend it by 20 % and more


def test_an_optimum_on_the_edge_is_a_bound():
    grid = np.geomspace(0.5, 8, 6)
    rising = best_step(grid, np.log(grid)[:, None] + np.zeros(4))
    assert (rising.alpha, rising.interior) == (pytest.approx(8.0), False)
    falling = best_step(grid, -np.log(grid)[:, None] + np.zeros(4))
    assert (falling.alpha, falling.interior) == (pytest.approx(0.5), False)


def test_the_interval_of_alpha_covers_about_as_often_as_it_says():
    rng, grid, hits = np.random.default_rng(0), np.geomspace(0.25, 16, 11), 0
    truth = -0.3 * (np.log(grid) - np.log(2.0)) ** 2
    for trial in range(100):
        losses = truth[:, None] + rng.normal(0, 1.0, 80) + rng.normal(0, 0.5, (11, 80))
        found = best_step(grid, losses, seed=trial)
        hits += found.low <= 2.0 <= found.high
    assert 85 <= hits <= 100


def test_best_step_is_deterministic_and_ignores_what_all_alphas_share():
    rng, grid = np.random.default_rng(1), np.geomspace(0.25, 16, 9)
    losses = rng.normal(size=(9, 50)) - 2 * (np.log(grid)[:, None]) ** 2
    assert best_step(grid, losses) == best_step(grid, losses)
    assert best_step(grid, losses + 5).alpha == pytest.approx(best_step(grid, losses).alpha)


@pytest.mark.parametrize(
    ("alphas", "shape"),
    [([1, 2], (2, 5)), ([1, 2, 3], (2, 5)), ([0, 1, 2], (3, 5)), ([2, 1, 3], (3, 5)), ([1, 2, 3], (3, 0))],
)
def test_a_grid_that_cannot_be_is_refused(alphas, shape):
    with pytest.raises(InputError):
        best_step(alphas, np.zeros(shape))


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


def test_the_synthetic_surface_has_its_optimum_inside(synthetic):
    found = surface(synthetic.rows(), 8)
    assert found.loss.shape == (13, 31)
    assert 0 < found.loss[:, -1].argmax() < 12
