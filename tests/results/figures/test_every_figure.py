"""What the page, the deck and the exports take for granted holds for every figure of the list, a new one included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers import synthetic_run as synthetic

from vidrobust.results.figures import FIGURES, Figure
from vidrobust.results.numbers.selection import MissingRowsError
from vidrobust.results.pages.paper import drawn

ROWS = synthetic.every_kind()
each = pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.key)


@each
def test_it_says_what_there_is_to_see(figure: Figure) -> None:
    assert figure.title and figure.short and figure.method.endswith(".")
    for panel in figure.panels(ROWS) if figure.panels is not None else ():
        told = panel.drawing.layout.meta
        assert len(told["alt"]) >= len(told["caption"]) > 10
        assert panel.drawing.to_json()


@each
def test_it_shows_something_of_rows_of_its_kind(figure: Figure) -> None:
    """And of those alone: of the others it says that there are none."""
    makers: list[Callable[[Any], Any]] = [figure.tables, figure.plots, figure.series]
    assert any(make(ROWS) for make in makers + ([figure.panels] if figure.panels is not None else []))
    others = [row for row in ROWS if row["kind"] != figure.kind]
    assert not any(make(others) for make in makers)
    if figure.panels is not None:
        with pytest.raises(MissingRowsError):
            figure.panels(others)


@each
def test_its_tables_are_whole(figure: Figure) -> None:
    for table in figure.tables(ROWS):
        assert table.caption and table.lines
        assert all(len(line) == len(table.head) for line in table.lines)
        for cell in (cell for line in table.lines for cell in line if cell.low is not None):
            assert cell.low <= cell.value <= cell.high


@each
def test_its_drawings_for_papers_can_be_drawn(figure: Figure) -> None:
    for plot in figure.plots(ROWS):
        assert drawn(plot, 3.35, "svg").startswith(b"<?xml")
