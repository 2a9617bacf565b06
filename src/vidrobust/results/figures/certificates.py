"""The figure of certified and attacked accuracy against ε."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from vidrobust.results.figures.figure import Figure, Panel, Plot
from vidrobust.results.figures.plots import (
    COLOURS,
    SYMBOLS,
    Stop,
    accuracy_data,
    accuracy_trace,
    new_figure,
    plot_curve,
    slide,
)
from vidrobust.results.figures.table import NONE, Cell, Table, accuracy_cell
from vidrobust.results.numbers.accuracy import Curve, Point, intervals_of
from vidrobust.results.numbers.certificates import Between, Bracket, brackets, contradictions
from vidrobust.results.numbers.selection import MissingRowsError

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from vidrobust.runs.rows import Row

NAMES = ("certified", "attacked")


def certificates(rows: Iterable[Row]) -> go.Figure:
    """Certified and attacked accuracy against ε with what is not known between them, a stop for each model and threat.

    Raises:
        MissingRowsError: nothing was certified.
    """
    found = brackets(rows)
    if not found:
        raise MissingRowsError('nothing is certified: `vidrobust certify RUN --certificate "CROWN(ε=1)"` adds it.')
    stops = {}
    for bracket in found:
        upper = [point.attacked for point in bracket.points if point.attacked is not None]
        data = [accuracy_data(points, name, "ε") for points, name in zip((_lower(bracket), upper), NAMES, strict=True)]
        axis = {"xaxis.title.text": f"ε ({bracket.unit}, {bracket.norm})"}
        stops[bracket.label] = Stop(data, _alt_text(bracket), axis)
    figure = new_figure("Certified and attacked accuracy", "", "ε", "accuracy (%)", yaxis_range=[-2, 102])
    traces = [
        accuracy_trace(name, name, COLOURS[n], SYMBOLS[n], dash)
        for n, (name, dash) in enumerate(zip(NAMES, ("solid", "dash"), strict=True))
    ]
    for trace, shape in zip(traces, ("vh", "hv"), strict=True):  # what is known between two points, and no more
        trace["line"] = {**trace["line"], "shape": shape}
    traces[1] |= {"fill": "tonexty", "fillcolor": "rgba(138,138,138,0.18)"}
    slide(figure, traces, "", stops, 0)
    return figure


def _lower(bracket: Bracket) -> list[Point]:
    return [point.certified for point in bracket.points]


def _points(bracket: Bracket) -> list[Point]:
    return _lower(bracket) + [point.attacked for point in bracket.points if point.attacked is not None]


def _alt_text(bracket: Bracket) -> str:
    parts = [f"Certified and attacked accuracy of {bracket.label}, by {' and '.join(bracket.certificates)}."]
    for point in bracket.points[:: max(1, len(bracket.points) // 6)]:
        attacked = "not attacked" if point.attacked is None else f"attacked {100 * point.attacked.accuracy:.0f} %"
        parts.append(f"At {point.certified.x:g}: certified {100 * point.certified.accuracy:.0f} %, {attacked}.")
    return " ".join(parts)


def certificate_tables(rows: Sequence[Row]) -> list[Table]:
    """For each ε what is certified, what attacks leave and how many clips lie between; then these clips."""
    found = brackets(rows)
    return [_by_eps(number, bracket) for number, bracket in enumerate(found, 1)] + [
        _open_clips(number, bracket) for number, bracket in enumerate(found, 1) if _open(bracket)
    ]


def _by_eps(number: int, bracket: Bracket) -> Table:
    return Table(
        f"certificates-{number}",
        f"Accuracy (%) of {bracket.label} by ε ({bracket.unit}), certified by {' and '.join(bracket.certificates)} "
        f"and left by attacks on the same clips; {intervals_of(_points(bracket))}.",
        ("ε", "Certified", "Attacked", "Not known", "Contradicted"),
        tuple(_line(point) for point in bracket.points),
        bracket.label,
    )


def _line(point: Between) -> tuple[Cell, ...]:
    known = point.attacked is not None and point.certified.x
    return (
        Cell(f"{point.certified.x:g}"),
        accuracy_cell(point.certified),
        accuracy_cell(point.attacked),
        Cell(str(len(point.open))) if known else NONE,
        Cell(str(len(point.contradicted))) if known else NONE,
    )


def _open(bracket: Bracket) -> list[int]:
    return sorted({index for point in bracket.points for index in point.open})


def _open_clips(number: int, bracket: Bracket) -> Table:
    between = _open(bracket)
    largest = max(point.certified.x for point in bracket.points if point.attacked is not None)
    lines = [
        (
            Cell(name),
            Cell(f"{bracket.certified[index]:g}" if bracket.certified[index] else "not certified"),
            Cell(f"not up to {largest:g}" if (eps := bracket.broken[index]) is None else f"{eps:g}"),
        )
        for index, name in zip(between, bracket.named(between), strict=True)
    ]
    return Table(
        f"certificates-{number}-open",
        f"Clips of {bracket.label} between the bounds: certified up to one ε ({bracket.unit}), broken by an attack at "
        "another.",
        ("Clip", "Certified up to", "Broken at"),
        tuple(lines),
    )


def certificate_notes(rows: Sequence[Row]) -> list[str]:
    """Notes on contradictions, the mean radius and abstentions."""
    notes = []
    for bracket in brackets(rows):
        share = f"{bracket.radius / bracket.largest:.2f} of the largest" if bracket.largest else "nothing is certified"
        notes.append(
            f"{bracket.label}: average certified radius (ACR) {bracket.radius:.3g} ({bracket.unit}), {share} (ANCR), "
            f"wrong and uncertified clips counted as 0; {bracket.abstained} abstained."
        )
    return [*contradictions(rows), *notes]


def certificate_plots(rows: Sequence[Row]) -> list[Plot]:
    """Both curves for papers, a drawing a model and threat."""

    def draw(bracket: Bracket, axes: Any) -> None:
        upper = [point.attacked for point in bracket.points if point.attacked is not None]
        for points, name, colour, marker, dash in (
            (_lower(bracket), NAMES[0], COLOURS[0], "o", "-"),
            (upper, NAMES[1], COLOURS[1], "s", "--"),
        ):
            if points:
                plot_curve(axes, Curve(name, tuple(points)), name, colour, marker, dash)
        axes.set(xlabel=f"ε ({bracket.unit})", ylabel="accuracy (%)", ylim=(-2, 102))

    return [
        Plot(f"certificates-{number + 1}", lambda axes, bracket=bracket: draw(bracket, axes))
        for number, bracket in enumerate(brackets(rows))
    ]


CERTIFICATES_FIGURE = Figure(
    "certificates",
    "Certified and attacked accuracy",
    "Certificates",
    "certificate",
    "The truth lies between: what is certified no perturbation of ε makes wrong, what is attacked one does. At ε = 0 "
    "certified are the right answers. Grey: clips that are neither certified nor broken. Bars: 95 % intervals over "
    "the clips' sources.",
    lambda rows: [Panel("certificates", certificates(rows))],
    certificate_tables,
    certificate_plots,
    notes=certificate_notes,
)
