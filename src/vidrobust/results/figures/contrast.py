"""The figure over the contrast of the data: which training wins where the task is harder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrobust.results.figures.figure import Figure, Panel, Plot
from vidrobust.results.figures.plots import (
    COLOURS,
    GREY,
    MARKERS,
    SYMBOLS,
    Stop,
    Trace,
    accuracy_trace,
    new_figure,
    slide,
)
from vidrobust.results.numbers.advantages import DifficultyPoint, difficulty_points
from vidrobust.results.numbers.claims import DIFFICULTY
from vidrobust.results.numbers.selection import MissingRowsError, of_kind

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from vidrobust.runs.rows import Row


def difficulty(rows: Iterable[Row]) -> go.Figure:
    """The differences of :data:`DIFFICULTY` against the contrast of the data."""
    pairs = _pairs(rows)
    if not pairs:
        raise MissingRowsError(
            "no accuracies at several contrasts: this run has no difficulty rows; the full profile measures them."
        )
    every = [None, *sorted({point.eps for points in pairs.values() for point in points if point.eps is not None})]
    stops = {}
    for eps in every:
        label = "mean over ε" if eps is None else f"ε={eps:g}"
        chosen = {name: [point for point in points if point.eps == eps] for name, points in pairs.items()}
        stops[label] = Stop([_data(points) for points in chosen.values()], _alt_text(label, chosen))
    figure = new_figure(
        "Advantage against difficulty", "", "mean contrast (less is harder)", "difference of accuracy (points)"
    )
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    looks = zip(pairs, COLOURS, SYMBOLS, strict=False)
    slide(figure, [accuracy_trace(label, label, colour, symbol) for label, colour, symbol in looks], "", stops, 0)
    return figure


def _pairs(rows: Iterable[Row]) -> dict[str, list[DifficultyPoint]]:
    rows = of_kind(rows, "difficulty")
    found = {label: difficulty_points(rows, first, second) for label, first, second in DIFFICULTY}
    return {label: points for label, points in found.items() if points}


def _alt_text(stop: str, chosen: dict[str, list[DifficultyPoint]]) -> str:
    sentences = []
    for label, points in chosen.items():
        each = [f"{100 * p.advantage.value:+.1f} points at contrast {p.contrast:g}" for p in points]
        sentences.append(f"{label}: {', '.join(each) or 'not measured'}.")
    over = sorted({point.advantage.over for points in chosen.values() for point in points})
    bars = f"; bars: 95 % intervals over {' or '.join(over)}" if over else ""
    return (
        f"Difference of accuracy under attack, {stop}, against the contrast of the clips{bars}. {' '.join(sentences)}"
    )


def _data(points: Sequence[DifficultyPoint]) -> Trace:
    found = [(point.contrast, point.advantage) for point in points]
    return {
        "x": [contrast for contrast, _ in found], "y": [100 * one.value for _, one in found],
        "error_y.array": [100 * (one.high - one.value) for _, one in found],
        "error_y.arrayminus": [100 * (one.value - one.low) for _, one in found],
        "text": [
            f"contrast {contrast:g}: {100 * one.value:+.1f} points ({100 * one.low:+.1f} to {100 * one.high:+.1f})"
            f"<br>{len(one.per_seed)} seeds, {one.clips} clips each, interval over {one.over}"
            for contrast, one in found
        ],
    }  # fmt: skip


def difficulty_plots(rows: Sequence[Row]) -> list[Plot]:
    """The mean advantage against the contrast for papers."""
    pairs = _pairs(rows)

    def draw(axes: Any) -> None:
        axes.axhline(0, color=GREY, linewidth=0.6)
        for (label, points), colour, symbol in zip(pairs.items(), COLOURS, SYMBOLS, strict=False):
            means = [point for point in points if point.eps is None]
            values = np.array([100 * point.advantage.value for point in means])
            low = np.array([100 * point.advantage.low for point in means])
            high = np.array([100 * point.advantage.high for point in means])
            x, bounds = [point.contrast for point in means], [values - low, high - values]
            axes.errorbar(x, values, bounds, label=label, color=colour, marker=MARKERS[symbol])
        axes.set(xlabel="mean contrast (less is harder)", ylabel="difference of accuracy (points)")

    return [Plot("difficulty", draw)] if pairs else []


CONTRAST_FIGURE = Figure(
    "difficulty",
    "Advantage against difficulty",
    "Difficulty",
    "difficulty",
    "Both models on the same clips of each contrast, difference by clip and seed. Bars: 95 % intervals over sources "
    "and seeds; of one seed over its sources alone. Each is on its own: of many, one in twenty misses 0 by chance.",
    lambda rows: [Panel("difficulty", difficulty(rows))],
    plots=difficulty_plots,
)
