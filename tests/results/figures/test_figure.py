from __future__ import annotations

from typing import Any

import pytest

from vidrobust import figures
from vidrobust.results.figures.plots import GREY
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


def test_a_model_keeps_its_colour_and_models_differ(rows):
    robust, trained = draw.robustness(rows), draw.training(rows)
    looks = {t.name: (t.line.color, t.marker.symbol) for t in robust.data if not t.meta["published"]}
    assert len(set(looks.values())) == len(looks) == 14
    assert looks == {t.name: (t.line.color, t.marker.symbol) for t in trained.data}
