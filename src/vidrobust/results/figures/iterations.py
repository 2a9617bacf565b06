"""Figures over the iterations of PGD: its mean loss over step size × iterations, as a surface and as a map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrobust.results.figures.figure import Figure, Panel, Plot, Series
from vidrobust.results.figures.plots import COLOURS, MISSING_STEP, PUBLISHED, add, new_figure
from vidrobust.results.numbers.selection import MissingRowsError
from vidrobust.results.numbers.sensitivity import Surface, surface, surfaces
from vidrobust.results.published import numbers as published
from vidrobust.runs.wording import counted

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from vidrobust.runs.rows import Row

RIDGE = COLOURS[5]
_CELL = "α = %{y:.3g}<br>iterations = %{x}<br>mean loss = %{z:.3f}<br>accuracy = %{text}<extra></extra>"


def sensitivity(rows: Iterable[Row], eps: float) -> go.Figure:
    """Mean PGD loss over step size and iterations at one ε, as a surface with its ridge α*(i).

    Args:
        rows: rows of a run; trajectories with ``surface`` are used.
        eps: in 1/255.

    Raises:
        MissingRowsError: there is no trajectory at this ε.
    """
    return _solid(surface(rows, eps))


def _solid(data: Surface) -> go.Figure:
    import plotly.graph_objects as go

    title = f"PGD loss at ε={data.eps:g} ({counted(data.clips, 'clip')})"
    figure = new_figure(title, f"Surface of {_alt_text(data)}", "", "")
    figure.add_traces([
        go.Surface(
            x=data.steps, y=data.alphas, z=data.loss, customdata=data.accuracy, text=_accuracies(data),
            colorscale="Viridis",
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
    return _map(surface(rows, eps))


def _map(data: Surface) -> go.Figure:
    import plotly.graph_objects as go

    title = f"PGD loss at ε={data.eps:g} ({counted(data.clips, 'clip')})"
    alt = f"Heat map with contour lines of {_alt_text(data)} The line is the ridge: the best α after each iteration."
    figure = new_figure(title, alt, "iterations i", "step size α (1/255)", yaxis_type="log", showlegend=False)
    figure.add_trace(
        go.Contour(
            x=data.steps, y=data.alphas, z=data.loss, customdata=data.accuracy, text=_accuracies(data),
            colorscale="Viridis",
            contours={"coloring": "heatmap", "showlabels": True, "labelfont": {"color": "white", "size": 11}},
            line={"color": "rgba(255,255,255,.6)", "width": 1}, colorbar=_colour_bar("mean loss"),
            hovertemplate=_CELL, name="mean loss",
        )
    )  # fmt: skip
    ridge = {"x": data.steps[1:], "y": data.ridge[1:], "mode": "lines", "name": "best α"}
    hover = "best α = %{y:.3g} after %{x} steps<extra></extra>"
    casing = {"line": {"color": "white", "width": 6, "shape": "hv"}, "hoverinfo": "skip"}
    add(figure, [ridge | casing, ridge | {"line": {"color": RIDGE, "width": 3, "shape": "hv"}, "hovertemplate": hover}])
    values = _ticks(data)
    return figure.update_layout(
        yaxis={"tickvals": values, "ticktext": [f"{value:g}" for value in values]}, xaxis_range=[0, int(data.steps[-1])]
    )


def _accuracies(data: Surface) -> np.ndarray:
    return np.array([[str(point) for point in line] for line in data.points])  # plotly makes one text of a list


def _alt_text(data: Surface) -> str:
    best = np.unravel_index(int(data.loss.argmax()), data.loss.shape)
    return (
        f"the mean PGD loss at ε={data.eps:g} over {len(data.alphas)} step sizes and {data.steps[-1]} iterations, "
        f"{counted(data.clips, 'clip')}. Greatest, {data.loss.max():.2f}, at α={data.alphas[best[0]]:.3g} and "
        f"{best[1]} iterations; {data.loss[-1, -1]:.2f} at the largest α={data.alphas[-1]:.3g}."
    )


def published_sensitivity(eps: float) -> go.Figure:
    """The published surface at one ε: a figure of its own, since its loss has another unit than ours.

    Raises:
        MissingRowsError: nothing was published at this ε.
    """
    import plotly.graph_objects as go

    data = published.sensitivity_numbers(eps)
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


def _ticks(data: Surface) -> list[float]:
    """Step sizes to write at a logarithmic axis."""
    return [value for value in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if data.alphas[0] <= value <= data.alphas[-1]]


def sensitivity_panels(rows: Sequence[Row]) -> list[Panel]:
    """Surface and map at each ε that was swept, and the published surface where there is one."""
    found = surfaces(rows)
    if not found:
        raise MissingRowsError(f"no trajectories: step 3 (sensitivity) is missing. {MISSING_STEP}")
    panels = []
    for data in found:
        panels += surface_panels(data)
        if published.sensitivity_numbers(data.eps):
            theirs = published_sensitivity(data.eps)
            panels.append(Panel(f"published {data.eps:g}", theirs, f"{PUBLISHED}ε = {data.eps:g}", published=True))
    return panels


def surface_panels(data: Surface) -> list[Panel]:
    """Surface and map at one ε, side by side."""
    name, group = f"sensitivity {data.eps:g}", f"ε = {data.eps:g}"
    return [Panel(f"{name} surface", _solid(data), group), Panel(f"{name} map", _map(data), group)]


def sensitivity_plots(rows: Sequence[Row]) -> list[Plot]:
    """The map at each ε for papers."""
    found = [data for data in surfaces(rows) if min(data.loss.shape) > 1]  # contours need both
    return [Plot(f"sensitivity-eps{data.eps:g}", lambda axes, data=data: _plot_map(axes, data)) for data in found]


def _plot_map(axes: Any, data: Surface) -> None:
    axes.grid(visible=False)
    mesh = axes.contourf(data.steps, data.alphas, data.loss, levels=24, cmap="viridis")
    lines = axes.contour(data.steps, data.alphas, data.loss, levels=7, colors="white", linewidths=0.4, alpha=0.7)
    axes.clabel(lines, fontsize=5)
    for colour, width in (("white", 2.4), (RIDGE, 1.2)):
        axes.step(data.steps[1:], data.ridge[1:], where="mid", color=colour, linewidth=width)
    axes.set(yscale="log", xlabel="iterations i", ylabel="step size α (1/255)")
    ticks = _ticks(data)
    axes.set_yticks(ticks, [f"{value:g}" for value in ticks])
    axes.minorticks_off()
    axes.figure.colorbar(mesh, ax=axes, label=f"mean loss at ε={data.eps:g}", pad=0.02)


def sensitivity_series(rows: Sequence[Row]) -> list[Series]:
    """The loss over α after the last iteration, at each ε."""
    return [
        Series(f"loss over α at ε={one.eps:g}, i={one.steps[-1]}", one.loss[:, -1].tolist()) for one in surfaces(rows)
    ]


SENSITIVITY_FIGURE = Figure(
    "sensitivity",
    "Sensitivity of PGD's parameters",
    "Sensitivity",
    "trajectory",
    "Mean loss after every step of PGD, one run of PGD for each step size; which iterate is best does not enter. "
    "The ridge is the step size of the greatest loss after each step.",
    sensitivity_panels,
    plots=sensitivity_plots,
    series=sensitivity_series,
    step="sensitivity",
)
