from __future__ import annotations

from typing import Any

import pytest

from vidrobust import figures
from vidrobust.results.figures.epsilon import robustness_tables

draw: Any = figures  # plotly's own types say little of what a figure holds
ALL = ("step_size", "robustness", "gap", "difficulty", "training", "schedules")


@pytest.fixture(scope="module")
def rows(synthetic):
    return synthetic.rows(synthetic.FULL)


def test_the_slider_moves_between_the_evaluations(rows):
    figure = draw.robustness(rows)
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["i=5", "i=20"] and slider.active == 1
    data, _, traces = slider.steps[1].args
    assert list(traces) == list(range(len(figure.data)))
    assert [list(trace.y) for trace in figure.data] == [list(y) for y in data["y"]]
    assert slider.steps[0].args[0]["y"] != data["y"]


def test_accuracies_carry_intervals_counts_and_seeds(rows):
    trace = next(trace for trace in draw.robustness(rows).data if trace.name == "AT(ε=8,α=8,i=3)")
    assert all(bar > 0 for bar in trace.error_y.array)
    assert "of 360 clips" in trace.text[0] and "0: " in trace.text[0] and "2: " in trace.text[0]
    assert trace.y[0] - trace.error_y.arrayminus[0] >= 0


def test_optima_on_the_edge_are_hollow(rows):
    trace = next(trace for trace in draw.step_size(rows).data if trace.name == "i = 5")
    assert trace.marker.symbol[-1] == "circle-open" and trace.marker.symbol[0] == "circle"
    assert "edge of the grid" in trace.text[-1]


def test_one_eps_is_not_told_as_a_range(rows):
    ends = {row["eps"] for row in rows if row["kind"] == "step_size"}
    every = draw.step_size(rows).layout.meta["alt"]
    assert f"at ε={min(ends):g} to " in every and f"at ε={max(ends):g}" in every
    alone = draw.step_size([row for row in rows if row.get("eps") == 8]).layout.meta["alt"]
    assert "at ε=8" in alone and " to " not in alone


def test_other_attacks_do_not_enter_the_curves_of_pgd(rows, synthetic):
    more = rows + synthetic.several_attacks(synthetic.QUICK)
    assert [list(t.y) for t in draw.robustness(more).data] == [list(t.y) for t in draw.robustness(rows).data]


def test_hostile_names_are_text(rows):
    renamed = [row | {"model": "<b>bold</b>"} if row.get("model") == "standard" else row for row in rows]
    figure = draw.robustness(renamed)
    assert "&lt;b&gt;bold&lt;/b&gt;" in {trace.name for trace in figure.data}
    assert not any("<b>" in text for trace in figure.data for text in trace.text)


def test_accuracies_on_photographs_alone_stand_beside_those_on_all_sources(synthetic) -> None:
    rows = synthetic.with_manifests(synthetic.rows(synthetic.QUICK))
    photographs = ["g01", "g04", "g07"]
    told = [row | {"photographs": photographs} if row["kind"] == "dataset" else row for row in rows]
    *tables, alone = robustness_tables(told)
    assert [table.name for table in tables] == [table.name for table in robustness_tables(rows)]
    assert (alone.name, alone.head) == ("robustness-photographs", tables[0].head)
    assert alone.caption.startswith("On photographs alone. ") and "over 3 sources" in alone.caption

    listed = {row["clips_of"]: row["list"] for row in rows if row["kind"] == "manifest"}
    (row,) = [
        row
        for row in rows
        if (row["kind"], row.get("model"), row.get("eps"), row.get("steps")) == ("robustness", "standard", 4, 20)
    ]
    right = [
        digit == "1"
        for digit, clip in zip(row["survived"], listed[row["clips_of"]], strict=True)
        if clip["source"] in photographs
    ]
    cell = alone.lines[0][alone.head.index("ε=4")]
    assert (cell.correct, cell.clips) == (sum(right), len(right)) == (sum(right), 30)


def test_data_without_rendered_pictures_has_no_table_of_photographs(rows) -> None:
    assert all(table.name != "robustness-photographs" for table in robustness_tables(rows))
