from __future__ import annotations

from typing import Any

import pytest

from vidrobust import figures
from vidrobust.results.numbers.selection import MissingRowsError

draw: Any = figures  # plotly's own types say little of what a figure holds
ALL = ("step_size", "robustness", "gap", "difficulty", "training", "schedules")


@pytest.fixture(scope="module")
def rows(synthetic):
    return synthetic.rows(synthetic.FULL)


def test_the_surface_is_the_measured_loss(rows):
    figure = draw.sensitivity(rows, 8)
    surface, ridge = figure.data  # and nothing else
    assert surface.z.shape == (13, 31) and list(surface.y) == sorted(surface.y)
    best = surface.y[surface.z[:, 30].argmax()]
    assert ridge.y[-1] == best and ridge.z[-1] == surface.z[:, 30].max()
    assert "120 clips" in figure.layout.meta["alt"]
    with pytest.raises(MissingRowsError, match="ε=5"):
        draw.sensitivity(rows, 5)


def test_the_published_surface_is_a_figure_of_its_own():
    figure = draw.published_sensitivity(4)
    assert figure.data[0].z.shape == (14, 30) and "published" in figure.layout.title.text
    with pytest.raises(MissingRowsError):
        draw.published_sensitivity(5)


def test_the_map_has_the_loss_of_the_surface_and_its_ridge(rows):
    solid, flat = draw.sensitivity(rows, 4).data[0], draw.sensitivity_map(rows, 4)
    contour, _, ridge = flat.data
    assert (contour.z == solid.z).all() and flat.layout.yaxis.type == "log"
    for step, alpha in zip(ridge.x, ridge.y, strict=True):
        assert alpha == contour.y[contour.z[:, step].argmax()]
    with pytest.raises(MissingRowsError):
        draw.sensitivity_map(rows, 5)
