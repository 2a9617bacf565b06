from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.errors import InputError
from vidrobust.notation.alpha_star import best_step


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


def test_golden_numbers():
    """What studies and ``alpha="auto"`` report: one estimator, whose numbers do not move unnoticed."""
    grid, rng = np.geomspace(0.25, 8, 11), np.random.default_rng(4)
    optima = np.log(1.7 + rng.random(9))
    losses = 2 - 0.3 * (np.log(grid)[:, None] - optima) ** 2 + 0.05 * rng.standard_normal((11, 9))
    found = best_step(grid, losses)
    assert found.alpha == pytest.approx(2.2198881914385957, rel=1e-9)
    assert (found.low, found.high) == (pytest.approx(1.921949354607844), pytest.approx(2.6168272110763726))
    assert (found.interior, found.clips) == (True, 9)


def test_clips_of_one_source_are_drawn_together() -> None:
    """Copies of a clip are no evidence: the interval is that of the sources."""
    rng, grid = np.random.default_rng(0), np.geomspace(0.25, 8, 11)
    once = -((np.log(grid)[:, None] - rng.normal(np.log(2), 0.5, 12)[None]) ** 2)
    often = np.repeat(once, 8, axis=1)
    single, clustered = best_step(grid, once), best_step(grid, often, np.repeat(np.arange(12), 8).tolist())
    assert (clustered.low, clustered.high) == pytest.approx((single.low, single.high))
    naive = best_step(grid, often)
    assert naive.high - naive.low < 0.6 * (clustered.high - clustered.low)
    with pytest.raises(InputError, match="96 clips, but 3 sources"):
        best_step(grid, often, [0, 1, 2])
