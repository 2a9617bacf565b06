"""The figures of PGD's sensitivity: its loss over step size × iterations, as a surface and as a map; and α*(ε)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrobust.results.figures.plots import (
    COLOURS,
    MISSING_STEP,
    PUBLISHED,
    Trace,
    add,
    bars,
    new_figure,
    published_trace,
)  # fmt: skip
from vidrobust.results.numbers.claims import POINTS_NEEDED
from vidrobust.results.numbers.fits import linear_fit, power_fit
from vidrobust.results.numbers.selection import MissingRowsError
from vidrobust.results.numbers.sensitivity import Surface, step_size_rows, surface
from vidrobust.results.published import numbers as published
from vidrobust.runs.rows import Row

if TYPE_CHECKING:
    import plotly.graph_objects as go


RIDGE = COLOURS[5]
_CELL = "α = %{y:.3g}<br>iterations = %{x}<br>mean loss = %{z:.3f}<br>accuracy = %{customdata:.1%}<extra></extra>"


def sensitivity(rows: Iterable[Row], eps: float) -> go.Figure:
    """Mean PGD loss over step size and iterations at one ε, as a surface with its ridge α*(i).

    Args:
        rows: rows of a run; trajectories with ``surface`` are used.
        eps: in 1/255.

    Raises:
        MissingRowsError: there is no trajectory at this ε.
    """
    import plotly.graph_objects as go

    data = surface(rows, eps)
    figure = new_figure(f"PGD loss at ε={eps:g} ({data.clips} clips)", f"Surface of {_said(data)}", "", "")
    figure.add_traces([
        go.Surface(
            x=data.steps, y=data.alphas, z=data.loss, customdata=data.accuracy, colorscale="Viridis",
            colorbar=_colour_bar("mean loss"), hovertemplate=_CELL, name="mean loss",
        ),
        go.Scatter3d(
            x=data.steps[1:], y=data.ridge[1:], z=data.loss.max(axis=0)[1:], mode="lines", name="best α",
            line={"color": RIDGE, "width": 6}, hovertemplate="best α = %{y:.3g} after %{x} steps<extra></extra>",
        ),
    ])  # fmt: skip
    return figure.update_layout(scene=_scene("mean loss"), showlegend=False, margin={"l": 0, "r": 0, "t": 40, "b": 0})


def sensitivity_map(rows: Iterable[Row], eps: float) -> go.Figure:
    """The same loss from above: colours, contour lines, and the ridge α*(i), the best step size after each step.

    Raises:
        MissingRowsError: there is no trajectory at this ε.
    """
    import plotly.graph_objects as go

    data = surface(rows, eps)
    title = f"PGD loss at ε={eps:g} ({data.clips} clips)"
    alt = f"Heat map with contour lines of {_said(data)} The line is the ridge: the best α after each iteration."
    figure = new_figure(title, alt, "iterations i", "step size α (1/255)", yaxis_type="log", showlegend=False)
    figure.add_trace(
        go.Contour(
            x=data.steps, y=data.alphas, z=data.loss, customdata=data.accuracy, colorscale="Viridis",
            contours={"coloring": "heatmap", "showlabels": True, "labelfont": {"color": "white", "size": 11}},
            line={"color": "rgba(255,255,255,.6)", "width": 1}, colorbar=_colour_bar("mean loss"),
            hovertemplate=_CELL, name="mean loss",
        )
    )  # fmt: skip
    ridge = {"x": data.steps[1:], "y": data.ridge[1:], "mode": "lines", "name": "best α"}
    hover = "best α = %{y:.3g} after %{x} steps<extra></extra>"
    casing = {"line": {"color": "white", "width": 6, "shape": "hv"}, "hoverinfo": "skip"}
    add(figure, [ridge | casing, ridge | {"line": {"color": RIDGE, "width": 3, "shape": "hv"}, "hovertemplate": hover}])
    values = [value for value in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if data.alphas[0] <= value <= data.alphas[-1]]
    return figure.update_layout(
        yaxis={"tickvals": values, "ticktext": [f"{value:g}" for value in values]}, xaxis_range=[0, int(data.steps[-1])]
    )


def _said(data: Surface) -> str:
    best = np.unravel_index(int(data.loss.argmax()), data.loss.shape)
    return (
        f"the mean PGD loss at ε={data.eps:g} over {len(data.alphas)} step sizes and {data.steps[-1]} iterations, "
        f"{data.clips} clips. Greatest, {data.loss.max():.2f}, at α={data.alphas[best[0]]:.3g} and {best[1]} "
        f"iterations; {data.loss[-1, -1]:.2f} at the largest α={data.alphas[-1]:.3g}."
    )


def published_sensitivity(eps: float) -> go.Figure:
    """The published surface at one ε: a figure of its own, since its loss has another unit than ours.

    Raises:
        MissingRowsError: nothing was published at this ε.
    """
    import plotly.graph_objects as go

    data = published.sensitivity(eps)
    if data is None:
        raise MissingRowsError(f"no published surface at ε={eps:g}: there is one at 4 and one at 8.")
    title = f"{PUBLISHED}PGD loss at ε={eps:g}"
    alt = (
        f"Published surface at ε={eps:g}, in another unit of loss: greatest {data.loss.max():g}, "
        f"{data.loss[-1, -1]:g} at the largest α."
    )
    figure = new_figure(title, alt, "", "")
    bar = _colour_bar("published loss (counted from i=1)")
    hover = "published (slides)<br>α = %{y:.3g}<br>iterations = %{x}<br>loss = %{z}<extra></extra>"
    figure.add_trace(
        go.Surface(x=data.steps, y=data.alphas, z=data.loss, colorscale="Greys", colorbar=bar, hovertemplate=hover)
    )
    return figure.update_layout(scene=_scene("published loss"), margin={"l": 0, "r": 0, "t": 40, "b": 0})


def _colour_bar(title: str) -> dict[str, Any]:
    text = {"text": title, "side": "top"}
    return {"title": text, "orientation": "h", "len": 0.8, "thickness": 10, "y": 1.0, "yanchor": "bottom"}


def _scene(z: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": "iterations i"}}, "yaxis": {"title": {"text": "step size α"}},
        "zaxis": {"title": {"text": z}}, "aspectmode": "cube",
        "camera": {"eye": {"x": 1.5, "y": 1.5, "z": 0.85}, "center": {"x": 0, "y": 0, "z": -0.1}},
    }  # fmt: skip


def step_size(rows: Iterable[Row]) -> go.Figure:
    """α* against ε for every number of iterations, with 95 % intervals, and a line and a power law through each."""
    found = step_size_rows(rows)
    if not found:
        raise MissingRowsError(f"no step sizes: step 4 (α* against ε) is missing. {MISSING_STEP}")
    traces, said = [], []
    for number, steps in enumerate(sorted({row["steps"] for row in found})):
        mine = sorted((row for row in found if row["steps"] == steps), key=lambda row: row["eps"])
        traces += _step_size_traces(mine, steps, COLOURS[number % len(COLOURS)])
        ends = [mine[0], mine[-1]] if mine[0]["eps"] < mine[-1]["eps"] else [mine[0]]
        said.append(f"i={steps}: " + " to ".join(f"{row['alpha']:.2g} at ε={row['eps']:g}" for row in ends))
    clips = max(row["clips"] for row in found)
    alt = f"Optimal step size α* against ε, {clips} clips. {'; '.join(said)}."
    figure = new_figure(f"Optimal step size ({clips} clips)", alt, "ε (1/255)", "α* (1/255)", yaxis_rangemode="tozero")
    x, y = published.step_sizes()
    line = linear_fit(x, y)
    traces.append(
        published_trace("α*", "published", x=x, y=y, mode="markers", hovertemplate="published α* = %{y}<br>ε = %{x}")
    )
    traces.append(published_trace(f"line, R² = {line.r2:.2f}", "published", x=x, y=line(x), mode="lines"))
    add(figure, traces)
    return figure


def _step_size_traces(rows: Sequence[Row], steps: int, colour: str) -> list[Trace]:
    eps, alpha = np.array([row["eps"] for row in rows], float), np.array([row["alpha"] for row in rows])
    common = {"legendgroup": f"i={steps}", "meta": {"key": f"i={steps}", "published": False}}
    symbols = ["circle" if row["interior"] else "circle-open" for row in rows]
    traces: list[Trace] = [common | {
        "name": f"i = {steps}", "x": eps, "y": alpha, "mode": "markers",
        "marker": {"color": colour, "size": 8, "symbol": symbols},
        "error_y": bars([row["high"] - row["alpha"] for row in rows], [row["alpha"] - row["low"] for row in rows]),
        "text": [_step_size_text(row) for row in rows], "hovertemplate": "%{text}<extra></extra>",
    }]  # fmt: skip
    inside = np.array([row["interior"] for row in rows], bool)
    if inside.sum() >= POINTS_NEEDED:
        grid = np.linspace(eps.min(), eps.max(), 40)
        line, power = linear_fit(eps[inside], alpha[inside]), power_fit(eps[inside], alpha[inside])
        fits = (("line", line, line.r2, "solid"), (f"power {power.exponent:.2f}", power, power.r2, "dot"))
        traces += [
            common | {
                "name": f"i = {steps}: {name}, R² = {r2:.3f}", "x": grid, "y": fit(grid), "mode": "lines",
                "line": {"color": colour, "dash": dash, "width": 1.5}, "hoverinfo": "name",
            }
            for name, fit, r2, dash in fits
        ]  # fmt: skip
    return traces


def _step_size_text(row: Row) -> str:
    edge = "" if row["interior"] else "<br>on the edge of the grid: a bound, left out of the fits"
    return (
        f"ε = {row['eps']:g}, i = {row['steps']}<br>α* = {row['alpha']:.3g} ({row['low']:.3g} to {row['high']:.3g})"
        f"<br>{row['clips']} clips{edge}"
    )
