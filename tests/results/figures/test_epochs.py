from __future__ import annotations

from typing import Any

import pytest

from vidrobust import figures

draw: Any = figures  # plotly's own types say little of what a figure holds
ALL = ("step_size", "robustness", "gap", "difficulty", "training", "schedules")


@pytest.fixture(scope="module")
def rows(synthetic):
    return synthetic.rows(synthetic.FULL)


def test_training_and_schedules_show_what_was_drawn(rows):
    assert [step.label for step in draw.training(rows).layout.sliders[0].steps] == ["loss", "accuracy"]
    figure = draw.schedules(rows)
    steps = {step.label: step for step in figure.layout.sliders[0].steps}
    assert list(steps) == ["ε", "α", "i"] and "standard" not in [trace.name for trace in figure.data]
    rising = [trace.name for trace in figure.data].index("CAL(ε~U(0,12),α=α*,i=5)")
    assert steps["ε"].args[0]["y"][rising] == [float(epoch) for epoch in range(1, 13)]
