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


def test_the_radar_has_an_axis_for_each_attack(rows, synthetic):
    with pytest.raises(MissingRowsError, match="radar needs three"):
        draw.radar(rows)
    figure = draw.radar(rows + synthetic.several_attacks(synthetic.QUICK))
    trace = next(trace for trace in figure.data if trace.name == "standard")
    assert list(trace.theta) == ["clean", "PGD(ε=8,i=20)", "Square(ε=8)", "PGD(ε=8,i=20),<br>Border(width=2)", "clean"]
    assert trace.r[0] == trace.r[-1] > 90 and 0 < trace.r[2] < trace.r[0]
    assert "Ideal" not in str(draw.published_radar().data) and len(draw.published_radar().data) == 6
