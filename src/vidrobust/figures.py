"""Rows to the figures of the slides: interactive plotly figures, for a notebook and for the report.

Each figure takes the rows of a run (any kinds mixed). Published numbers, where a figure has them, are traces of their
own: dashed and hollow, named ``published (slides): …``, and hidden until asked for. ``layout.meta["alt"]`` says in
words what is to be seen. A figure without rows raises :class:`~vidrobust.analysis.MissingRowsError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrobust import published
from vidrobust.analysis import MissingRowsError, linear_fit, power_fit, step_size_rows, surface
from vidrobust.claims import DIFFICULTY, POINTS_NEEDED
from vidrobust.curves import Curve, Point, difficulty_points, gap_curves, model_order, of_kind, robustness_curves
from vidrobust.plots import (
    COLOURS,
    GREY,
    PUBLISHED,
    SYMBOLS,
    Trace,
    accuracy_data,
    accuracy_trace,
    add,
    bars,
    new_figure,
    published_data,
    published_trace,
    slide,
    style,
)  # fmt: skip

if TYPE_CHECKING:
    import plotly.graph_objects as go

Row = dict[str, Any]

MISSING_STEP = "The same vidrobust command with the same --out goes on where it stopped."


# -------------------------------------------------------------------------------------------------- sensitivity


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
    best = np.unravel_index(int(data.loss.argmax()), data.loss.shape)
    alt = (
        f"Surface of the mean PGD loss at ε={eps:g} over {len(data.alphas)} step sizes and {data.steps[-1]} "
        f"iterations, {data.clips} clips. Greatest, {data.loss.max():.2f}, at α={data.alphas[best[0]]:.3g} and "
        f"{best[1]} iterations; "
        f"{data.loss[-1, -1]:.2f} at the largest α={data.alphas[-1]:.3g}."
    )
    figure = new_figure(f"PGD loss at ε={eps:g} ({data.clips} clips)", alt, "", "")
    hover = "α = %{y:.3g}<br>iterations = %{x}<br>mean loss = %{z:.3f}<br>accuracy = %{customdata:.1%}<extra></extra>"
    bar = _colour_bar("mean loss")
    surfaced = go.Surface(
        x=data.steps, y=data.alphas, z=data.loss, customdata=data.accuracy, colorscale="Viridis", colorbar=bar,
        hovertemplate=hover, name="mean loss",
    )  # fmt: skip
    ridge = go.Scatter3d(
        x=data.steps[1:], y=data.ridge[1:], z=data.loss.max(axis=0)[1:], mode="lines", name="best α",
        line={"color": COLOURS[5], "width": 6}, hovertemplate="best α = %{y:.3g} after %{x} steps<extra></extra>",
    )  # fmt: skip
    figure.add_traces([surfaced, ridge])
    return figure.update_layout(scene=_scene("mean loss"), showlegend=False, margin={"l": 0, "r": 0, "t": 40, "b": 0})


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
    return {"title": {"text": title, "side": "top"}, "orientation": "h", "len": 0.8, "thickness": 10, "y": 1.0}


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
        first, last = mine[0], mine[-1]
        said.append(f"i={steps}: {first['alpha']:.2g} at ε={first['eps']:g} to {last['alpha']:.2g} at {last['eps']:g}")
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


# --------------------------------------------------------------------------------------------------- accuracies


def robustness(rows: Iterable[Row]) -> go.Figure:
    """Accuracy against ε of every model, with a slider over the iterations of the evaluating PGD."""
    curves = robustness_curves(rows)
    if not curves:
        raise MissingRowsError(f"no accuracies under attack: step 6 (accuracy against ε) is missing. {MISSING_STEP}")
    models, every = model_order(curve.model for curve in curves), sorted({curve.steps for curve in curves})
    looks, found = style(models), {(curve.model, curve.steps): curve for curve in curves}
    shown = [name for name in model_order(key[0] for key in published.robustness()) if name in models]
    states = {}
    for steps in every:
        ours = [accuracy_data(_points(found.get((model, steps))), model, "ε") for model in models]
        theirs = [published_data(published.robustness().get((model, steps), {}), model) for model in shown]
        states[f"i={steps}"] = (ours + theirs, {})
    clips = max(point.clips // len(point.per_seed) for curve in curves for point in curve.points)
    alt = f"Accuracy against ε under PGD(i={every[-1]}), {clips} test clips for each seed. " + " ".join(
        _alt_line(found[model, every[-1]]) for model in models if (model, every[-1]) in found
    )
    figure = new_figure("Accuracy under attack", alt, "ε (1/255)", "accuracy (%)", yaxis_range=[-2, 102])
    add(figure, [accuracy_trace(model, model, **looks[model]) for model in models])
    for model in shown:
        marker = {"symbol": f"{looks[model]['symbol']}-open", "color": GREY, "size": 8}
        add(figure, [published_trace(model, model, marker=marker, hovertemplate="%{text}<extra></extra>")])
    slide(figure, "evaluated under PGD with ", states, len(states) - 1)
    return figure


def _points(curve: Curve | None) -> tuple[Point, ...]:
    return curve.points if curve else ()


def _alt_line(curve: Curve) -> str:
    first, last = curve.points[0], curve.points[-1]
    return f"{curve.model}: {100 * first.accuracy:.0f} % at ε={first.x:g} to {100 * last.accuracy:.0f} % at {last.x:g}."


def gap(rows: Iterable[Row]) -> go.Figure:
    """Train and validation accuracy by epoch, with a slider over ε.

    The published run took 175 epochs: its curves are drawn on an axis of their own, at the top.
    """
    curves = gap_curves(rows)
    if not curves:
        raise MissingRowsError(f"no accuracies by epoch: step 7 (generalisation gap) is missing. {MISSING_STEP}")
    models, every = model_order(curve.model for curve in curves), sorted({curve.eps or 0.0 for curve in curves})
    pairs = [(model, split) for model in models for split in ("train", "val")]
    found = {(curve.model, curve.split, curve.eps): curve for curve in curves}
    names = {"train": "training clips", "val": "validation clips"}
    states = {}
    for eps in every:
        ours = [
            accuracy_data(_points(found.get((*pair, eps))), f"{pair[0]}, {names[pair[1]]}", "epoch") for pair in pairs
        ]
        theirs = [published_data(published.gap().get((eps, split), {}), names[split]) for split in names]
        states[f"ε={eps:g}"] = (ours + theirs, {})
    last = [curve for curve in curves if curve.eps == every[-1]]
    alt = (
        f"Accuracy by epoch on training and validation clips, under PGD(i={curves[0].steps}) at ε={every[-1]:g}. "
        + " ".join(
            f"{curve.model}, {names.get(curve.split, curve.split)}: {100 * curve.points[-1].accuracy:.0f} % at the end."
            for curve in last
        )
    )
    figure = new_figure("Generalisation gap", alt, "epoch", "accuracy (%)", yaxis_range=[-2, 102])
    for number, (model, split) in enumerate(pairs):
        colour, symbol = COLOURS[number // 2 % len(COLOURS)], ("circle", "diamond-open")[number % 2]
        add(figure, [accuracy_trace(f"{model}, {names[split]}", model, colour, symbol, ("solid", "dash")[number % 2])])
    top = {"overlaying": "x", "side": "top", "title": {"text": "epoch (published)"}, "showgrid": False, "dtick": 25}
    for split, dash in (("train", "dash"), ("val", "dot")):
        line = {"color": GREY, "dash": dash, "width": 1.5}
        add(
            figure,
            [
                published_trace(
                    names[split], published.GAP_MODEL, xaxis="x2", line=line, hovertemplate="%{text}<extra></extra>"
                )
            ],
        )
    figure.update_layout(xaxis2=top)
    slide(figure, "under PGD at ", states, 0)
    return figure


def difficulty(rows: Iterable[Row]) -> go.Figure:
    """Advantage of a rising over a fixed ε, and of a small over a large one, against the contrast of the data."""
    rows = of_kind(rows, "difficulty")
    pairs = {label: difficulty_points(rows, first, second) for label, first, second in DIFFICULTY}
    pairs = {label: points for label, points in pairs.items() if points}
    if not pairs:
        raise MissingRowsError(
            "no accuracies at several contrasts: this run has no difficulty rows; the full profile measures them."
        )
    every = [None, *sorted({point.eps for points in pairs.values() for point in points if point.eps is not None})]
    states = {}
    for eps in every:
        label = "mean over ε" if eps is None else f"ε={eps:g}"
        states[label] = ([_advantage_data([p for p in points if p.eps == eps]) for points in pairs.values()], {})
    said = []
    for label, points in pairs.items():
        mean = [f"{100 * p.advantage.value:+.1f} points at contrast {p.contrast:g}" for p in points if p.eps is None]
        said.append(f"{label}: {', '.join(mean)}.")
    alt = "Difference of accuracy under attack against the contrast of the clips. " + " ".join(said)
    figure = new_figure(
        "Advantage against difficulty", alt, "mean contrast (less is harder)", "difference of accuracy (points)"
    )
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    for label, colour, symbol in zip(pairs, COLOURS, SYMBOLS, strict=False):
        add(figure, [accuracy_trace(label, label, colour, symbol)])
    slide(figure, "", states, 0)
    return figure


def _advantage_data(points: Sequence[Any]) -> Trace:
    found = [(point.contrast, point.advantage) for point in points]
    return {
        "x": [contrast for contrast, _ in found], "y": [100 * one.value for _, one in found],
        "error_y.array": [100 * (one.high - one.value) for _, one in found],
        "error_y.arrayminus": [100 * (one.value - one.low) for _, one in found],
        "text": [
            f"contrast {contrast:g}: {100 * one.value:+.1f} points ({100 * one.low:+.1f} to {100 * one.high:+.1f})"
            f"<br>{len(one.per_seed)} seeds, {one.clips} clips each, "
            f"interval over {'seeds' if one.over_seeds else 'clips'}"
            for contrast, one in found
        ],
    }  # fmt: skip


def training(rows: Iterable[Row]) -> go.Figure:
    """Training by epoch, with a slider over what is drawn: loss, accuracy as attacked, and ε, α, i as drawn."""
    found = of_kind(rows, "epoch")
    if not found:
        raise MissingRowsError(f"no training epochs: steps 2 and 5 (training) are missing. {MISSING_STEP}")
    models = model_order(row["model"] for row in found)
    looks, states = style(models), {}
    for label, axis, value in _TRAINED:
        data = [_epoch_data([row for row in found if row["model"] == model], value) for model in models]
        states[label] = (data, {"yaxis.title.text": axis})
    clips = max(row["clips"] for row in found)
    epochs = max(row["epoch"] for row in found)
    alt = f"Training curves of {len(models)} models over up to {epochs} epochs of {clips} clips."
    figure = new_figure("Training", alt, "epoch", "loss")
    for model in models:
        trace = accuracy_trace(model, model, **looks[model])
        del trace["error_y"]
        add(figure, [trace | {"hovertemplate": f"{escape(model)}<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>"}])
    slide(figure, "showing ", states, 0)
    return figure


_TRAINED = (
    ("loss", "loss on the training batches", lambda row: row["loss"]),
    ("accuracy", "accuracy on the training batches as attacked (%)", lambda row: 100 * row["correct"] / row["clips"]),
    ("ε", "ε as drawn (1/255)", lambda row: row["eps"]),
    ("α", "α as drawn (1/255)", lambda row: row["alpha"]),
    ("i", "iterations as drawn", lambda row: row["steps"]),
)


def _epoch_data(rows: Sequence[Row], value: Any) -> Trace:
    """Mean over the seeds, epoch by epoch; an epoch without an attack has no ε, α and i."""
    epochs, means = sorted({row["epoch"] for row in rows}), []
    for epoch in epochs:
        values = [value(row) for row in rows if row["epoch"] == epoch]
        values = [one for one in values if one is not None]
        means.append(float(np.mean(values)) if values else None)
    return {"x": epochs, "y": means}
