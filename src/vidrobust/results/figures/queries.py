"""The figure of attacks without gradients: success against queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from vidrobust.results.figures.figure import Figure, Panel, Plot
from vidrobust.results.figures.plots import COLOURS, SYMBOLS, accuracy_data, accuracy_trace, add, new_figure
from vidrobust.results.figures.table import NONE, Cell, Table, accuracy_cell
from vidrobust.results.numbers.accuracy import Point, intervals_of
from vidrobust.results.numbers.queries import broken_within, counted_queries, successes
from vidrobust.results.numbers.selection import MissingRowsError

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from vidrobust.runs.rows import Row

BUDGETS = (10, 100, 1000, 10_000)
"""Queries at which the table says the success."""

DRAWN = 40
"""Points of a curve at most."""


def queries(rows: Iterable[Row]) -> go.Figure:
    """The share of broken clips against queries, a line for each model and attack.

    Raises:
        MissingRowsError: no attack counted its queries.
    """
    found = counted_queries(rows)
    if not found:
        raise MissingRowsError('no counted queries: `vidrobust evaluate RUN --attack "Square(ε=8)"` adds them.')
    curves = {f"{model}, {attack}": query_curve(some) for (model, attack), some in found.items()}
    summary = " ".join(
        f"{name}: {100 * curve[-1].accuracy:.0f} % after {curve[-1].x:g}." for name, curve in curves.items()
    )
    title, alt = "Success against queries", f"Share of broken clips against queries. {summary}"
    figure = new_figure(title, alt, "queries per clip", "broken clips (%)", yaxis_range=[-2, 102])
    for number, ((model, _), (name, curve)) in enumerate(zip(found, curves.items(), strict=True)):
        look = COLOURS[number % len(COLOURS)], SYMBOLS[number // len(COLOURS) % len(SYMBOLS)]
        data = accuracy_data(curve, name, "queries", "attacked clips")
        moved = {key: value for key, value in data.items() if not key.startswith("error_y")}
        trace = {**accuracy_trace(name, model, *look), **moved}
        trace["line"] = {**trace["line"], "shape": "hv"}
        add(figure, [trace])
    return figure.update_layout(xaxis={"type": "log"})


def query_curve(rows: Sequence[Row]) -> list[Point]:
    """The share of broken clips after each number of queries that broke one (at most :data:`DRAWN`), and at the end."""
    broke = sorted({1, *successes(rows), max(spent for row in rows for spent in row["queries"])})
    every = max(1, -(-len(broke) // DRAWN))
    return [broken_within(rows, spent) for spent in sorted({*broke[::every], broke[-1]})]


def query_tables(rows: Sequence[Row]) -> list[Table]:
    """Success within some numbers of queries, and the median of the clips that broke."""
    lines, points = [], []
    found = counted_queries(rows)
    most = max((spent for some in found.values() for row in some for spent in row["queries"]), default=0)
    budgets = [budget for budget in BUDGETS if budget < most] + [most]
    for (model, attack), some in found.items():
        cells = [broken_within(some, budget) for budget in budgets]
        broke = successes(some)
        middle = Cell("", median(broke), form=".0f") if broke else NONE
        lines.append((Cell(f"{model}, {attack}"), *map(accuracy_cell, cells), middle))
        points += cells
    if not lines:
        return []
    right = "of those that are right without attack"
    caption = f"Clips broken (%) within so many queries, {right}, with {intervals_of(points)}"
    head = ("Model and attack", *(f"≤ {budget}" for budget in budgets), "Median queries")
    return [Table("queries", caption, head, tuple(lines))]


def query_plots(rows: Sequence[Row]) -> list[Plot]:
    """The curves for papers."""
    found = counted_queries(rows)
    return [Plot("queries", lambda axes: _draw(axes, found))] if found else []


def _draw(axes: Any, found: dict[tuple[str, str], list[Row]]) -> None:
    for number, ((model, attack), some) in enumerate(found.items()):
        curve = query_curve(some)
        shares, colour = [100 * point.accuracy for point in curve], COLOURS[number % len(COLOURS)]
        axes.step([point.x for point in curve], shares, where="post", label=f"{model}, {attack}", color=colour)
    axes.set(xscale="log", xlabel="queries per clip", ylabel="broken clips (%)", ylim=(-2, 102))
    axes.legend()


QUERIES_FIGURE = Figure(
    "queries",
    "Success against queries",
    "Queries",
    "robustness",
    "Of the clips that are right without attack, those that an attack without gradients has broken after so many "
    "answers of the model, confirmation included. Intervals of the table, of 95 %, are clustered by source and "
    "seed where the rows tell the sources.",
    lambda rows: [Panel("queries", queries(rows))],
    query_tables,
    query_plots,
)
