from __future__ import annotations

from typing import Any

import pytest

from vidrobust import figures
from vidrobust.results.numbers.intervals import interval
from vidrobust.results.numbers.selection import MissingRowsError

draw: Any = figures  # plotly's own types say little of what a figure holds
ALL = ("step_size", "robustness", "gap", "difficulty", "training", "schedules")


def test_clips_and_whole_videos_are_told_apart(synthetic):
    with pytest.raises(MissingRowsError, match="--views 10"):
        draw.views([])
    rows = synthetic.several_views({"standard": (0.9, 5.0), "AT(ε=8,α=8,i=3)": (0.8, 9.0)})
    other = {"attack": "Square(ε=4,queries=9)", "steps": 9}
    square = [row | other | {"correct": 0} for row in rows if row["eps"] == 4]  # must not enter the curves over ε
    shown = [row | {"average": "probabilities", "correct": 1} for row in rows if row["level"] == "video"]
    figure = draw.views(rows + square + shown)
    assert [step.label for step in figure.layout.sliders[0].steps] == [
        "5 clips per video, mean logits, PGD(i=10)",
        "5 clips per video, mean probabilities, PGD(i=10)",
    ]
    first = figure.layout.sliders[0].steps[0].args[0]
    for place, trace in enumerate(figure.data):
        model, _, told = trace.name.partition(", ")
        level = "clip" if told == "clips" else "video"
        attacked = "video" if "answer" in told else "clip"
        mine = [r for r in rows if (r["model"], r["level"]) == (model, level) and r["attacked"] in (attacked, "none")]
        assert first["x"][place] == [0, 4, 8]
        assert first["y"][place] == pytest.approx([100 * row["correct"] / row["clips"] for row in mine])
        low, high = interval(mine[1]["correct"], mine[1]["clips"])
        assert first["y"][place][1] + first["error_y.array"][place][1] == pytest.approx(100 * high)
        assert first["y"][place][1] - first["error_y.arrayminus"][place][1] == pytest.approx(100 * low)
        assert f"{mine[1]['correct']} of {mine[1]['clips']} {level}s<br>" in first["text"][place][1]
    assert len({(trace.line.dash, trace.marker.symbol) for trace in figure.data}) == 6  # also without colours
    assert "standard, clips: " in figure.layout.meta["alt"] and "40 videos" in figure.layout.meta["alt"]
