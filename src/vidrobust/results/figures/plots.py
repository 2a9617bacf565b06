"""The style shared by all figures: colours, traces of accuracies, published traces, sliders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from vidrobust.results.numbers.accuracy import Curve, Point
from vidrobust.results.numbers.masking import RETRIED, UNATTACKED
from vidrobust.results.numbers.selection import CONTROLS, model_order
from vidrobust.runs.wording import counted

Trace = dict[str, Any]

COLOURS = ("#0077bb", "#ee7733", "#009988", "#ee3377", "#33bbee", "#cc3311")
"""Tol's vibrant scheme: told apart by colour-blind readers, legible on light and dark."""
GREY = "#8a8a8a"
MARKERS = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "x": "x", "star": "*", "cross": "+",
           "triangle-down": "v"}  # fmt: skip
"""The symbols of plotly, and matplotlib's names of the same."""
SYMBOLS = tuple(MARKERS)
MOST = 100
"""Models that one figure draws at most: more cannot be distinguished, and slow a browser down."""
PUBLISHED = "published (slides): "
MISSING_STEP = "The same vidrobust command with the same --out goes on where it stopped."
SPLITS = {"train": "training clips", "val": "validation clips"}


def style(models: Sequence[str]) -> dict[str, dict[str, str]]:
    """A colour and a symbol for every model; defences keep theirs whatever control is beside them."""
    looks = {name: {"colour": GREY, "symbol": symbol} for name, symbol in zip(CONTROLS, SYMBOLS, strict=False)}
    for number, model in enumerate(name for name in models if name not in CONTROLS):
        again = number + number // len(COLOURS)  # a colour used again gets another symbol
        looks[model] = {"colour": COLOURS[number % len(COLOURS)], "symbol": SYMBOLS[again % len(SYMBOLS)]}
    return looks


def words(alt: str) -> dict[str, str]:
    """What there is to see, for a drawing's ``meta``: in full for screen readers, and as a caption.

    >>> words("Accuracy of two models. standard: 90 %. AT: 80 %.")["caption"]
    'Accuracy of two models. standard: 90 %. AT: 80 %.'
    """
    return {"alt": alt, "caption": alt if len(alt) < 300 else alt.split(". ")[0].rstrip(".") + "."}


def new_figure(title: str, alt: str, x: str, y: str, **layout: Any) -> Any:
    """An empty figure: transparent, with its words in ``meta``; typed loosely, as plotly's own types are."""
    import plotly.graph_objects as go

    figure: Any = go.Figure()
    figure.update_layout(
        title={"text": title}, xaxis={"title": {"text": x}}, yaxis={"title": {"text": y}}, template="plotly_white",
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", meta=words(alt), hovermode="closest",
        legend={"itemclick": "toggleothers", "itemdoubleclick": "toggle"}, margin={"l": 60, "r": 20, "t": 50, "b": 50},
    ).update_layout(**layout)  # fmt: skip
    return figure


def published_trace(name: str, key: str, **trace: Any) -> Trace:
    """A trace that is distinct from our own: grey, dashed, hollow, named, in its own legend group, hidden at first."""
    return {
        "name": PUBLISHED + escape(name), "visible": "legendonly", "legendgroup": "published",
        "legendgrouptitle": {"text": "published"}, "meta": {"key": key, "published": True}, "mode": "lines+markers",
        "line": {"color": GREY, "dash": "dash", "width": 1.5}, "marker": {"symbol": "circle-open", "color": GREY},
    } | trace  # fmt: skip


def add(figure: Any, traces: Iterable[Trace]) -> None:
    """Add traces over x and y."""
    figure.add_traces([{"type": "scatter", **trace} for trace in traces])  # a go.Scatter would be copied once more


def legible(models: Iterable[str]) -> tuple[list[str], str]:
    """The models that a figure draws, in their order, and a note where some are left out.

    >>> legible(["b", "standard"])
    (['standard', 'b'], '')
    """
    every = model_order(models)
    if len(every) <= MOST:
        return every, ""
    return every[:MOST], f"The first {MOST} of {len(every)} models are drawn. "


@dataclass(frozen=True)
class Stop:
    """What a figure shows at one stop of its slider: new data of every trace, what there is to see, and the axes."""

    data: list[Trace]
    alt: str
    layout: dict[str, Any] = field(default_factory=dict)


def slide(figure: Any, traces: Sequence[Trace], prefix: str, stops: Mapping[str, Stop], active: int) -> None:
    """Add traces with a slider under them: each stop gives new data of every trace, its words, and its axes."""
    steps = []
    for label, stop in stops.items():
        moved = {key: [one[key] for one in stop.data] for key in (stop.data[0] if stop.data else ())}
        layout = {**stop.layout, "meta": words(stop.alt)}
        steps.append({"label": label, "method": "update", "args": [moved, layout, list(range(len(traces)))]})
    first = list(stops.values())[active]
    add(figure, (_filled(trace, values) for trace, values in zip(traces, first.data, strict=True)))
    figure.update_layout(first.layout | {"meta": words(first.alt)})
    figure.update_layout(
        sliders=[{"active": active, "currentvalue": {"prefix": prefix}, "pad": {"t": 40}, "steps": steps}]
    )


def _filled(trace: Trace, values: Trace) -> Trace:
    """A trace with data; ``error_y.array`` is a field of a field."""
    filled = dict(trace)
    for key, value in values.items():
        outer, _, inner = key.partition(".")
        filled[outer] = {**filled.get(outer, {}), inner: value} if inner else value
    return filled


def bars(plus: Sequence[float], minus: Sequence[float]) -> dict[str, Any]:
    """Asymmetric error bars."""
    look = {"type": "data", "symmetric": False, "thickness": 1.2, "width": 3}
    return look | {"array": list(plus), "arrayminus": list(minus)}


def accuracy_data(points: Sequence[Point], name: str, x: str, of: str = "clips") -> Trace:
    """What a slider changes in an accuracy trace, in per cent; ``of`` is what was counted."""
    percent = [100 * point.accuracy for point in points]
    bounds = [point.interval for point in points]
    return {
        "x": [point.x for point in points], "y": percent,
        "error_y.array": [100 * high - value for value, (_, high) in zip(percent, bounds, strict=True)],
        "error_y.arrayminus": [value - 100 * low for value, (low, _) in zip(percent, bounds, strict=True)],
        "text": [_point_text(point, bound, name, x, of) for point, bound in zip(points, bounds, strict=True)],
    }  # fmt: skip


def _point_text(point: Point, bound: tuple[float, float], name: str, x: str, of: str) -> str:
    seeds = ", ".join(f"{seed}: {100 * value:.1f} %" for seed, value in point.per_seed[:20])
    more = f", and {len(point.per_seed) - 20} more" if len(point.per_seed) > 20 else ""
    lacking = f"<br>{point.unattacked} of them {UNATTACKED}" if point.unattacked else ""
    lacking += f"<br>{point.retried} clips {RETRIED}" if point.retried else ""
    return (
        f"{escape(name)}<br>{x} = {point.x:g}: {100 * point.accuracy:.1f} % "
        f"({100 * bound[0]:.1f} to {100 * bound[1]:.1f} over {point.over})<br>{point.correct} of {point.clips} {of}<br>"
        f"by seed {seeds}{more}{lacking}"
    )


def published_data(curve: dict[float, float] | dict[int, float], name: str) -> Trace:
    """What a slider changes in a published accuracy trace, in per cent; there is no interval to show."""
    text = [
        f"published (slides): {escape(name)}<br>{100 * value:.1f} % at {x:g}, no clip count"
        for x, value in curve.items()
    ]
    percent = [100 * value for value in curve.values()]
    return {"x": list(curve), "y": percent, "error_y.array": [], "error_y.arrayminus": [], "text": text}


def accuracy_trace(name: str, key: str, colour: str, symbol: str, dash: str = "solid") -> Trace:
    """A trace of our own, to be filled by a slider; pressing its legend entry isolates all traces of its ``key``."""
    return {
        "name": escape(name), "legendgroup": name, "meta": {"key": key, "published": False}, "mode": "lines+markers",
        "line": {"color": colour, "dash": dash, "width": 2}, "marker": {"symbol": symbol, "size": 8, "color": colour},
        "error_y": bars([], []), "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def clip_counts(points: Iterable[Point]) -> str:
    """How many clips stand behind each seed of some points, with the noun.

    >>> clip_counts([Point(4, 9, 20, ((0, 0.45),)), Point(8, 50, 100, ((0, 0.5),))])
    '20 to 100 clips'
    """
    counts = sorted({point.clips // len(point.per_seed) for point in points})
    if len(counts) == 1:
        return counted(counts[0], "clip")
    return f"{counts[0]} to {counts[-1]} clips" if counts else "no clips"


def plot_curve(axes: Any, curve: Curve, name: str, colour: str, marker: str, dash: str = "-") -> None:
    """A curve of accuracies with its intervals, into matplotlib's axes."""
    shares = np.array([100 * point.accuracy for point in curve.points])
    low, high = (np.array([100 * point.interval[n] for point in curve.points]) for n in (0, 1))
    x = [point.x for point in curve.points]
    bounds = np.maximum([shares - low, high - shares], 0)
    axes.errorbar(x, shares, bounds, label=name, color=colour, marker=marker, linestyle=dash, elinewidth=0.6)
