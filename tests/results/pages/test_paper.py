from __future__ import annotations

import re
import sys

import pytest

from vidrobust.errors import InputError, RunError
from vidrobust.results.figures.figure import Plot
from vidrobust.results.pages.paper import WIDTHS, drawn, paper_figures, plots


@pytest.fixture(scope="module")
def rows(synthetic):
    return synthetic.rows(synthetic.FULL, seeds=1)


def test_every_figure_of_the_page_is_drawn(rows):
    assert [plot.name for plot in plots(rows)] == [
        "sensitivity-eps4", "sensitivity-eps8", "step-size", "robustness-i5", "robustness-i20", "schedules-eps",
        "training-loss", "gap-eps2", "gap-eps8", "gap-eps12", "difficulty",
    ]  # fmt: skip


@pytest.mark.parametrize(("width", "inches"), WIDTHS.items())
def test_a_pdf_has_its_width_its_fonts_and_no_date(rows, width, inches):
    plot = next(plot for plot in plots(rows) if plot.name == "robustness-i20")
    pdf = drawn(plot, inches, "pdf")
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf)
    assert box and float(box[1]) == pytest.approx(72 * inches, abs=0.1)
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"CreationDate" not in pdf
    assert drawn(plot, inches, "pdf") == pdf


def test_svg_and_png(rows, synthetic, tmp_path):
    few = [row for row in rows if row["kind"] == "step_size"]
    run = synthetic.write(tmp_path / "run", few, examples=0)
    (one, two) = paper_figures(run, "svg")
    assert one == run / "figures" / "step-size-1col.svg" and "<text" not in one.read_text()  # letters are outlines
    assert paper_figures(run, "png", tmp_path / "png")[1].read_bytes().startswith(b"\x89PNG")
    assert two.read_text().count("<path") > 40


def test_no_figure_has_a_title_and_none_touches_pyplot(rows):
    from matplotlib.figure import Figure

    for plot in plots(rows):
        axes = Figure().add_subplot()
        plot.draw(axes)
        assert axes.get_title() == "" and axes.get_xlabel() and axes.get_ylabel()
    assert "matplotlib.pyplot" not in sys.modules


def test_what_cannot_be_drawn_is_said(rows, synthetic, tmp_path, monkeypatch):
    run = synthetic.write(tmp_path / "run", [], examples=0)
    with pytest.raises(RunError, match="no rows to draw"):
        paper_figures(run, "pdf")
    with pytest.raises(InputError, match="pdf, svg, png"):
        paper_figures(run, "jpg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"vidrobust\[paper\]"):
        drawn(Plot("x", lambda axes: None), 3, "pdf")
