"""The figure of several clips a video: accuracy of clips beside that of whole videos."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vidrobust.results.figures.plots import COLOURS, SYMBOLS, accuracy_data, accuracy_trace, add, new_figure, slide
from vidrobust.results.numbers.accuracy import Point
from vidrobust.results.numbers.selection import MissingRowsError, model_order
from vidrobust.results.numbers.views import WAYS, Way, by_way, view_points, view_steps, viewings

if TYPE_CHECKING:
    import plotly.graph_objects as go

_DASHES = dict(zip(WAYS, ("dot", "dash", "solid"), strict=True))


def views(rows: Iterable[dict[str, Any]]) -> go.Figure:
    """Accuracy of clips and of whole videos against ε, with a slider over how videos were looked at.

    A video is counted twice: with each of its clips attacked on its own, and with its own answer attacked.

    Raises:
        MissingRowsError: no video was evaluated by several clips.
    """
    shown = {
        f"{viewing}, PGD(i={steps})" if steps else f"{viewing}, no attack": {
            key: points for key, mine in by_way(some).items() if (points := view_points(mine, steps))
        }
        for viewing, some in viewings(rows).items()
        for steps in view_steps(some)
    }
    if not shown:
        raise MissingRowsError("no videos evaluated by several clips: `vidrobust evaluate RUN --views 10` adds them.")
    keys = list(dict.fromkeys(key for found in shown.values() for key in found))
    models = model_order(model for model, _ in keys)
    keys.sort(key=lambda key: (models.index(key[0]), list(WAYS).index(key[1])))
    states = {
        label: ([accuracy_data(found.get(key, ()), _name(key), "ε", f"{key[1][0]}s") for key in keys], {})
        for label, found in shown.items()
    }
    last, found = list(shown.items())[-1]
    said = " ".join(_said(_name(key), key[1], found[key]) for key in keys if key in found)
    alt = f"Accuracy of clips and of whole videos against ε ({last}). {said}"
    figure = new_figure("Clips and whole videos", alt, "ε (1/255)", "accuracy (%)", yaxis_range=[-2, 102])
    for key in keys:
        number, way = models.index(key[0]), list(WAYS).index(key[1])
        colour = COLOURS[(len(WAYS) * number + way) % len(COLOURS)]  # two models share none
        add(figure, [accuracy_trace(_name(key), key[0], colour, SYMBOLS[number % len(SYMBOLS)], _DASHES[key[1]])])
    slide(figure, "showing ", states, len(states) - 1)
    return figure


def _name(key: tuple[str, Way]) -> str:
    return f"{key[0]}, {WAYS[key[1]]}"


def _said(name: str, way: Way, points: tuple[Point, ...]) -> str:
    first, last = points[0], points[-1]
    return (
        f"{name}: {100 * first.accuracy:.0f} % at ε={first.x:g} to {100 * last.accuracy:.0f} % at {last.x:g}, "
        f"{last.clips} {way[0]}s."
    )
