from __future__ import annotations

from typing import Any

import pytest

from vidrobust import figures
from vidrobust.results.numbers.selection import MissingRowsError
from vidrobust.results.numbers.statistics import accuracy_estimate

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


def test_a_surface_tells_the_interval_over_sources_where_the_outcome_of_each_clip_is_known(synthetic):
    clips = synthetic.manifest(24, 12)
    digits = "".join("1" if index % 12 < 6 else "0" for index in range(24))
    row = {"kind": "trajectory", "model": "standard", "seed": 0, "eps": 4.0, "alpha": 1.0, "loss": [1.0, 2.0],
           "correct": [20, 12], "clips": 24, "surface": True, "clips_of": clips["clips_of"],
           "survived": {"1": digits}}  # fmt: skip
    sure = accuracy_estimate([int(digit) for digit in digits], [clip["source"] for clip in clips["list"]])
    start, end = draw.sensitivity([clips, row], 4).data[0].text[0]
    assert start.startswith("83.3 %") and start.endswith("over clips; 24 clips)")
    assert end == f"50.0 % ({100 * sure.low:.1f} to {100 * sure.high:.1f} over 12 sources; 24 clips)"
