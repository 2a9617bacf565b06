from __future__ import annotations

from typing import Any

import pytest

from vidrobust import figures
from vidrobust.results.numbers.intervals import interval
from vidrobust.results.numbers.statistics import accuracy_estimate

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


def test_watched_accuracies_are_clustered_by_the_sources_of_their_clips(synthetic):
    clips = synthetic.manifest(24, 12)
    digits = "".join("1" if index % 12 < 6 else "0" for index in range(24))
    row = {"kind": "watch", "model": "m", "seed": 0, "epoch": 1, "split": "val", "clean": 12, "single": 12,
           "robust": 12, "clips": 24, "loss": 1.0, "robust_loss": 2.0, "eps": 8.0, "alpha": 2.0,
           "steps": 5}  # fmt: skip
    told = row | {"clips_of": clips["clips_of"], "survived": dict.fromkeys(("clean", "single", "robust"), digits)}
    sure = accuracy_estimate([int(digit) for digit in digits], [clip["source"] for clip in clips["list"]])
    for rows, (low, high), over in (
        ([clips, told], (sure.low, sure.high), "over 12 sources"),
        ([row], interval(12, 24), "rows do not say their clips' sources"),
    ):
        figure = draw.watched(rows)
        shown = figure.data[1]
        assert shown.error_y.array == pytest.approx([100 * high - 50]), over
        assert shown.error_y.arrayminus == pytest.approx([50 - 100 * low]), over
        assert over in figure.layout.meta["alt"]
        losses = next(step for step in figure.layout.sliders[0].steps if step.label == "clean loss")
        assert "bars" not in losses.args[1]["meta"]["alt"]
