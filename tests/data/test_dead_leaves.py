"""Rendered pictures have the statistics of the model, and of photographs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vidrobust.data.dead_leaves import LARGEST, SCALE, SMALLEST, _counted, _noise, _paint, dead_leaves, draw_radii


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.stack([dead_leaves(np.random.default_rng(seed), 128) for seed in range(24)])


def slope(fields: np.ndarray, low: int, high: int) -> float:
    """Of log power over log frequency, between so many cycles a picture."""
    side = fields.shape[-1]
    power = (np.abs(np.fft.fft2(fields - fields.mean((1, 2), keepdims=True))) ** 2).mean(0)
    f = side * np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    inside = (f >= low) & (f < high)
    return stats.linregress(np.log(f[inside]), np.log(power[inside])).slope


def test_a_seed_is_a_picture(pictures: np.ndarray) -> None:
    again, other = (dead_leaves(np.random.default_rng(seed), 128) for seed in (0, 1))
    assert np.array_equal(again, pictures[0])
    assert not np.array_equal(other, pictures[0])
    assert (again.shape, again.dtype) == ((128, 128, 3), np.float32)
    assert 0 <= pictures.min() < 0.1
    assert 0.9 < pictures.max() <= 1


def test_radii_follow_the_power_law() -> None:
    radii = draw_radii(np.random.default_rng(0), 2000, 2000)
    low, high = SMALLEST * 2000, LARGEST * 2000

    def cumulative(r: np.ndarray) -> np.ndarray:
        return (low**-2 - r**-2) / (low**-2 - high**-2)

    assert len(radii) > 1000
    assert stats.kstest(radii, cumulative).pvalue > 0.01
    assert low <= radii.min() < radii.max() <= high


def test_leaves_cover_the_picture_four_times() -> None:
    radii = draw_radii(np.random.default_rng(0), 3000, 3000)
    assert np.pi * (radii**2).sum() / 3000**2 == pytest.approx(4, rel=0.15)


def test_leaves_are_painted_like_discs_one_by_one() -> None:
    rng, side = np.random.default_rng(3), 40
    centres, radii = rng.integers(0, side, (2, 60), np.int32), rng.uniform(1, 12, 60)
    painted = np.full((side, side), 60)
    rows, columns = np.mgrid[:side, :side]
    for leaf, (y, x, r) in enumerate(zip(*centres, radii, strict=True)):
        down, right = ((place - at + side // 2) % side - side // 2 for place, at in ((rows, y), (columns, x)))
        painted[down**2 + right**2 <= r**2] = leaf
    assert np.array_equal(_paint(centres, radii, side).reshape(side, side), painted)


def test_runs_are_counted() -> None:
    assert [found.tolist() for found in _counted(np.array([2, 1, 3]))] == [[0, 0, 1, 2, 2, 2], [0, 1, 0, 0, 1, 2]]


def test_texture_has_a_spectrum_of_one_over_f_squared() -> None:
    fields = np.stack([_noise(np.random.default_rng(seed), 128).reshape(128, 128) for seed in range(12)])
    assert slope(fields, 1, 60) == pytest.approx(-2, abs=0.05)
    assert fields.mean() == pytest.approx(0, abs=1e-5)
    assert fields.std((1, 2)) == pytest.approx(np.ones(12), abs=1e-3)


def test_pictures_have_the_spectrum_and_the_heavy_tails_of_photographs(pictures: np.ndarray) -> None:
    grey = pictures.mean(-1)
    assert -2.6 < slope(grey, 2, 40) < -1.4
    assert stats.kurtosis(np.diff(grey, axis=2).ravel()) > 4  # 0 for a Gaussian field


def test_pictures_differ_in_the_size_of_their_leaves_and_are_coloured(pictures: np.ndarray) -> None:
    roughness = np.abs(np.diff(pictures.mean(-1), axis=2)).mean((1, 2))
    assert roughness.max() > 1.5 * roughness.min()
    assert SCALE > 1
    assert pictures.std(-1).mean() > 0.04
