from __future__ import annotations

from typing import Any

import pytest

from vidrobust import figures
from vidrobust.results.figures.plots import GREY
from vidrobust.results.numbers.intervals import interval
from vidrobust.results.numbers.selection import MissingRowsError

draw: Any = figures  # plotly's own types say little of what a figure holds
ALL = ("step_size", "robustness", "gap", "difficulty", "training", "schedules")


@pytest.fixture(scope="module")
def rows(synthetic):
    return synthetic.rows(synthetic.FULL)


@pytest.mark.parametrize("name", ALL)
def test_every_figure_has_words_and_is_transparent(rows, name):
    figure = getattr(draw, name)(rows)
    assert len(figure.layout.meta["alt"]) > 40
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.xaxis.title.text and figure.layout.yaxis.title.text


@pytest.mark.parametrize("name", ALL)
def test_without_rows_a_figure_says_what_is_missing(name):
    with pytest.raises(MissingRowsError, match="missing|no difficulty rows"):
        getattr(draw, name)([])


@pytest.mark.parametrize("name", ["step_size", "robustness", "gap"])
def test_published_traces_cannot_be_taken_for_ours(rows, name):
    figure = getattr(draw, name)(rows)
    theirs = [trace for trace in figure.data if trace.meta["published"]]
    assert theirs
    for trace in theirs:
        assert trace.name.startswith("published (slides): ") and trace.visible == "legendonly"
        assert trace.line.color == GREY and trace.legendgroup == "published"
        assert trace.line.dash in ("dash", "dot") and str(trace.marker.symbol).endswith("-open")
    assert all("published" not in trace.name for trace in figure.data if not trace.meta["published"])


def test_the_surface_is_the_measured_loss(rows):
    figure = draw.sensitivity(rows, 8)
    surface, ridge = figure.data  # and nothing else
    assert surface.z.shape == (13, 31) and list(surface.y) == sorted(surface.y)
    best = surface.y[surface.z[:, 30].argmax()]
    assert ridge.y[-1] == best and ridge.z[-1] == surface.z[:, 30].max()
    assert "120 clips" in figure.layout.meta["alt"]
    with pytest.raises(MissingRowsError, match="ε=5"):
        draw.sensitivity(rows, 5)


def test_clips_and_whole_videos_are_told_apart(synthetic):
    with pytest.raises(MissingRowsError, match="--views 10"):
        draw.views([])
    rows = synthetic.several_views({"standard": (0.9, 5.0), "AT(ε=8,α=8,i=3)": (0.8, 9.0)})
    other = {"attack": "Square(ε=4,queries=9)", "steps": 9}
    square = [row | other | {"correct": 0} for row in rows if row["eps"] == 4]  # must not enter the curves over ε
    shown = [row | {"average": "probabilities", "correct": 1} for row in rows if row["level"] == "video"]
    figure = draw.views(rows + square + shown)
    assert [step.label for step in figure.layout.sliders[0].steps] == [
        "5 clips a video, mean logits, PGD(i=10)",
        "5 clips a video, mean probabilities, PGD(i=10)",
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


def test_the_published_surface_is_a_figure_of_its_own():
    figure = draw.published_sensitivity(4)
    assert figure.data[0].z.shape == (14, 30) and "published" in figure.layout.title.text
    with pytest.raises(MissingRowsError):
        draw.published_sensitivity(5)


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


def test_a_model_keeps_its_colour_and_models_differ(rows):
    robust, trained = draw.robustness(rows), draw.training(rows)
    looks = {t.name: (t.line.color, t.marker.symbol) for t in robust.data if not t.meta["published"]}
    assert len(set(looks.values())) == len(looks) == 14
    assert looks == {t.name: (t.line.color, t.marker.symbol) for t in trained.data}


def test_training_and_schedules_show_what_was_drawn(rows):
    assert [step.label for step in draw.training(rows).layout.sliders[0].steps] == ["loss", "accuracy"]
    figure = draw.schedules(rows)
    steps = {step.label: step for step in figure.layout.sliders[0].steps}
    assert list(steps) == ["ε", "α", "i"] and "standard" not in [trace.name for trace in figure.data]
    rising = [trace.name for trace in figure.data].index("CAL(ε~U(0,12),α=α*,i=5)")
    assert steps["ε"].args[0]["y"][rising] == [float(epoch) for epoch in range(1, 13)]


def test_the_map_has_the_loss_of_the_surface_and_its_ridge(rows):
    solid, flat = draw.sensitivity(rows, 4).data[0], draw.sensitivity_map(rows, 4)
    contour, _, ridge = flat.data
    assert (contour.z == solid.z).all() and flat.layout.yaxis.type == "log"
    for step, alpha in zip(ridge.x, ridge.y, strict=True):
        assert alpha == contour.y[contour.z[:, step].argmax()]
    with pytest.raises(MissingRowsError):
        draw.sensitivity_map(rows, 5)


def test_the_radar_has_an_axis_for_each_attack(rows, synthetic):
    with pytest.raises(MissingRowsError, match="radar needs three"):
        draw.radar(rows)
    figure = draw.radar(rows + synthetic.several_attacks(synthetic.QUICK))
    trace = next(trace for trace in figure.data if trace.name == "standard")
    assert list(trace.theta) == ["clean", "PGD(ε=8,i=20)", "Square(ε=8)", "PGD(ε=8,i=20),<br>Border(width=2)", "clean"]
    assert trace.r[0] == trace.r[-1] > 90 and 0 < trace.r[2] < trace.r[0]
    assert "Ideal" not in str(draw.published_radar().data) and len(draw.published_radar().data) == 6


def test_other_attacks_do_not_enter_the_curves_of_pgd(rows, synthetic):
    more = rows + synthetic.several_attacks(synthetic.QUICK)
    assert [list(t.y) for t in draw.robustness(more).data] == [list(t.y) for t in draw.robustness(rows).data]


def test_hostile_names_are_text(rows):
    renamed = [row | {"model": "<b>bold</b>"} if row.get("model") == "standard" else row for row in rows]
    figure = draw.robustness(renamed)
    assert "&lt;b&gt;bold&lt;/b&gt;" in {trace.name for trace in figure.data}
    assert not any("<b>" in text for trace in figure.data for text in trace.text)
