"""A figure as one value, which the page, the deck, the export for papers and the terminal iterate."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vidrobust.errors import InputError
from vidrobust.results.figures.table import Table
from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class Panel:
    """One drawing of a figure.

    Attributes:
        name: its data is saved under this name; sliders of panels of one name move together.
        drawing: the plotly figure.
        group: the heading under which it stands; panels of one group stand side by side.
        published: is it of published numbers alone, to be shown only where they are asked for?
    """

    name: str
    drawing: Any
    group: str = ""
    published: bool = False


@dataclass(frozen=True)
class Plot:
    """A drawing for papers: a name, and what draws it into matplotlib's axes."""

    name: str
    draw: Callable[[Any], None]


@dataclass(frozen=True)
class Series:
    """Numbers that a terminal shows as a row of bars."""

    name: str
    values: Sequence[float]


def no_tables(rows: Sequence[Row]) -> list[Table]:
    """A figure without a table."""
    return []


def no_plots(rows: Sequence[Row]) -> list[Plot]:
    """A figure that papers do not have."""
    return []


def no_series(rows: Sequence[Row]) -> list[Series]:
    """A figure that the terminal does not have."""
    return []


def no_notes(rows: Sequence[Row]) -> list[str]:
    """A figure without further text."""
    return []


@dataclass(frozen=True)
class Figure:
    """A figure of a run. The functions take the rows of a run, kinds mixed.

    Attributes:
        key: its name in the script of a deck, and on a page unless ``part`` says otherwise.
        title, short: its heading, and that in the contents.
        kind: the rows that it is made of.
        method: how the rows become its numbers, for people.
        panels: its drawings; none for a figure that is a table alone. Raises ``MissingRowsError`` without any rows.
        tables: its numbers, the main table first; empty without any rows.
        plots: its drawings for papers.
        series: its numbers for a terminal that draws no tables of it.
        notes: sentences below it.
        step: what the step of a study that makes its rows is called; empty if none does, then the figure is left out
            where its rows are missing.
        part: its name on a page where that is another, for links into pages.

    Raises:
        InputError: ``key`` or ``part`` is no name of small letters, digits and hyphens.
    """

    key: str
    title: str
    short: str
    kind: str
    method: str
    panels: Callable[[Sequence[Row]], list[Panel]] | None
    tables: Callable[[Sequence[Row]], list[Table]] = no_tables
    plots: Callable[[Sequence[Row]], list[Plot]] = no_plots
    series: Callable[[Sequence[Row]], list[Series]] = no_series
    notes: Callable[[Sequence[Row]], list[str]] = no_notes
    step: str = ""
    part: str = ""

    def __post_init__(self) -> None:
        for name in (self.key, self.part or self.key):
            if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
                raise InputError(
                    f"a figure's key is a name of small letters, digits and hyphens, such as step-size, not {name!r}."
                )
