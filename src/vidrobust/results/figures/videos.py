"""The figure of several clips per video: accuracy of clips beside that of whole videos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vidrobust.results.figures.figure import Figure, Panel
from vidrobust.results.figures.plots import (
    COLOURS,
    SYMBOLS,
    Stop,
    accuracy_data,
    accuracy_trace,
    legible,
    new_figure,
    slide,
)
from vidrobust.results.figures.table import Cell, Table, accuracy_cell
from vidrobust.results.numbers.accuracy import Point, evaluated_split, intervals_of
from vidrobust.results.numbers.selection import MissingRowsError
from vidrobust.results.numbers.views import (
    WAYS,
    Viewing,
    Way,
    by_way,
    view_cells,
    view_points,
    view_steps,
    viewings,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from vidrobust.runs.rows import Row

_DASHES = dict(zip(WAYS, ("dot", "dash", "solid"), strict=True))


def views(rows: Iterable[Row]) -> go.Figure:
    """Accuracy of clips and of whole videos against ε, with a slider over how videos were looked at.

    A video is counted twice: with each of its clips attacked on its own, and with its own answer attacked.

    Raises:
        MissingRowsError: no video was evaluated by several clips.
    """
    curves = {
        _stop(viewing, steps): {
            key: points for key, mine in by_way(some).items() if (points := view_points(mine, steps))
        }
        for viewing, some in viewings(rows).items()
        for steps in view_steps(some)
    }
    if not curves:
        raise MissingRowsError("no videos evaluated by several clips: `vidrobust evaluate RUN --views 10` adds them.")
    keys = list(dict.fromkeys(key for found in curves.values() for key in found))
    models, left = legible(model for model, _ in keys)
    order = {model: number for number, model in enumerate(models)}
    ways = {way: number for number, way in enumerate(WAYS)}
    keys = sorted((key for key in keys if key[0] in order), key=lambda key: (order[key[0]], ways[key[1]]))
    stops = {
        label: Stop(
            [accuracy_data(found.get(key, ()), _name(key), "ε", f"{key[1][0]}s") for key in keys],
            f"{left}Accuracy of clips and of whole videos against ε ({label}). "
            + " ".join(_alt_text(_name(key), key[1], found[key]) for key in keys if key in found),
        )
        for label, found in curves.items()
    }
    figure = new_figure("Clips and whole videos", "", "ε (1/255)", "accuracy (%)", yaxis_range=[-2, 102])
    traces = []
    for key in keys:
        number, way = order[key[0]], ways[key[1]]
        colour = COLOURS[(len(WAYS) * number + way) % len(COLOURS)]  # two models share none
        traces.append(accuracy_trace(_name(key), key[0], colour, SYMBOLS[number % len(SYMBOLS)], _DASHES[key[1]]))
    slide(figure, traces, "showing ", stops, len(stops) - 1)
    return figure


def _stop(viewing: Viewing, steps: int) -> str:
    return f"{viewing}, PGD(i={steps})" if steps else f"{viewing}, no attack"


def _name(key: tuple[str, Way]) -> str:
    return f"{key[0]}, {WAYS[key[1]]}"


def _alt_text(name: str, way: Way, points: tuple[Point, ...]) -> str:
    first, last = points[0], points[-1]
    return (
        f"{name}: {100 * first.accuracy:.0f} % at ε={first.x:g} to {100 * last.accuracy:.0f} % at {last.x:g}, "
        f"{last.clips} {way[0]}s."
    )


def view_tables(rows: Sequence[Row]) -> list[Table]:
    """Accuracy of clips and of videos under each attack, a table for each way of looking at videos."""
    tables = []
    for number, (viewing, some) in enumerate(viewings(rows).items()):
        lines = [(model, way, mine, view_cells(mine)) for (model, way), mine in by_way(some).items()]
        attacks = list(dict.fromkeys(attack for *_, cells in lines for attack in cells))
        filled = tuple(
            (
                Cell(model),
                Cell(WAYS[way]),
                Cell(str(len({row["seed"] for row in mine}))),
                *(accuracy_cell(cells.get(attack), f"{way[0]}s") for attack in attacks),
            )
            for model, way, mine, cells in lines
        )
        points = [point for *_, cells in lines for point in cells.values()]
        split, bars = evaluated_split(some, "views"), intervals_of(points)
        caption = f"Accuracy (%) on {split} clips or videos, {viewing}, with counts and {bars}"
        tables.append(Table(f"views-{number + 1}", caption, ("Model", "Counted", "Seeds", *attacks), filled))
    return tables


VIEWS_FIGURE = Figure(
    "views",
    "Clips and whole videos",
    "Videos",
    "views",
    "Each clip is attacked on its own, or a video's answer, the mean over its clips, through all of them; each clip "
    "keeps to ε. What is wrong without attack counts as broken. Bars: 95 % intervals, clustered by source and seed "
    "where the rows tell the sources; else over clips or videos, as if unrelated.",
    lambda rows: [Panel("views", views(rows))],
    view_tables,
)
