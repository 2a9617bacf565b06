"""Figures over ε: the accuracy of every model under PGD, and the optimal step size α*."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrobust.results.figures.figure import Figure, Panel, Plot, Series
from vidrobust.results.figures.plots import (
    COLOURS,
    GREY,
    MARKERS,
    MISSING_STEP,
    SYMBOLS,
    Stop,
    Trace,
    accuracy_data,
    accuracy_trace,
    add,
    bars,
    clip_counts,
    legible,
    new_figure,
    plot_curve,
    published_data,
    published_trace,
    slide,
    style,
)
from vidrobust.results.figures.table import NONE, Cell, Table, accuracy_cell, with_best
from vidrobust.results.numbers.accuracy import Curve, intervals_of, main_steps, robustness_curves, untrusted
from vidrobust.results.numbers.fits import linear_fit, power_fit
from vidrobust.results.numbers.linearity import POINTS_NEEDED
from vidrobust.results.numbers.outcomes import on_sources
from vidrobust.results.numbers.selection import MissingRowsError, Rows, grouped, model_order, of_kind
from vidrobust.results.numbers.sensitivity import step_size_rows
from vidrobust.results.numbers.statistics import FEW
from vidrobust.results.published import numbers as published
from vidrobust.runs.wording import counted

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from vidrobust.runs.rows import Row


# ----------------------------------------------------------------------------------------------------- accuracies


def robustness(rows: Iterable[Row]) -> go.Figure:
    """Accuracy against ε of every model, with a slider over the iterations of the evaluating PGD.

    All published defences wait in the legend, those of our models with the same symbol, hollow.
    """
    rows = Rows.of(rows)
    curves = robustness_curves(rows)
    if not curves:
        raise MissingRowsError(f"no accuracies under attack: step 6 (accuracy against ε) is missing. {MISSING_STEP}")
    (models, left), every = legible(curve.model for curve in curves), sorted({curve.steps for curve in curves})
    found, theirs = {(curve.model, curve.steps): curve for curve in curves}, published.robustness_numbers()
    others = [name for name in model_order(model for model, _ in theirs) if name not in models]
    looks = style([*models, *others])
    known = [name for name in (*models, *others) if any((name, steps) in theirs for steps in (5, 20))]
    stops = {}
    for steps in every:
        chosen = {model: found[model, steps] for model in models if (model, steps) in found}
        data = [accuracy_data(chosen[m].points if m in chosen else (), m, "ε") for m in models]
        data += [published_data(theirs.get((model, steps), {}), model) for model in known]
        stops[f"i={steps}"] = Stop(data, left + _alt_text(steps, list(chosen.values())))
    figure = new_figure("Accuracy under attack", "", "ε (1/255)", "accuracy (%)", yaxis_range=[-2, 102])
    traces = [accuracy_trace(model, model, **looks[model]) for model in models]
    for model in known:
        marker = {"symbol": f"{looks[model]['symbol']}-open", "color": GREY, "size": 8}
        traces.append(published_trace(model, model, marker=marker, hovertemplate="%{text}<extra></extra>"))
    main = main_steps(rows)
    slide(figure, traces, "evaluated under PGD with ", stops, every.index(main) if main in every else 0)
    return figure


def _alt_text(steps: int, curves: Sequence[Curve]) -> str:
    points = [point for curve in curves for point in curve.points]
    clips, bars = clip_counts(points).replace("clips", f"{curves[0].split} clips"), intervals_of(points)
    lines = " ".join(_alt_line(curve) for curve in curves)
    return f"Accuracy against ε under PGD(i={steps}), {clips} for each seed; bars: {bars}. {lines}"


def _alt_line(curve: Curve) -> str:
    first, last = curve.points[0], curve.points[-1]
    return f"{curve.model}: {100 * first.accuracy:.0f} % at ε={first.x:g} to {100 * last.accuracy:.0f} % at {last.x:g}."


def robustness_tables(rows: Sequence[Row]) -> list[Table]:
    """Accuracy by model and ε, a table for every number of iterations, the main one first."""
    by_steps: dict[int, list[Curve]] = {}
    for curve in robustness_curves(rows):
        by_steps.setdefault(curve.steps, []).append(curve)
    main = main_steps(rows)
    tables = [_table(steps, by_steps[steps]) for steps in sorted(by_steps, key=lambda steps: (steps != main, -steps))]
    return tables if main is None else tables + _on_photographs(rows, main)


def _on_photographs(rows: Sequence[Row], steps: int) -> list[Table]:
    """The main table on photographs alone, where the data has others: rendered pictures might change the answer."""
    photographs = {source for row in of_kind(rows, "dataset") for source in row.get("photographs", ())}
    alone = on_sources(of_kind(rows, "robustness"), photographs)
    curves = [curve for curve in robustness_curves(alone) if curve.steps == steps] if alone else []
    if not curves:
        return []
    table, fold = _table(steps, curves), "On photographs alone"
    caption = f"{fold}. {table.caption}"
    return [replace(table, name="robustness-photographs", caption=caption, stop="", fold=fold)]


def _table(steps: int, curves: Sequence[Curve]) -> Table:
    eps = sorted({point.x for curve in curves for point in curve.points})
    lines = []
    for curve in curves:
        points = {point.x: point for point in curve.points}
        seeds = {seed for point in curve.points for seed, _ in point.per_seed}
        cells = (accuracy_cell(points.get(e)) for e in eps)
        lines.append((Cell(curve.model), Cell(str(len(seeds))), *cells))
    caption = (
        f"Accuracy (%) on {curves[0].split} clips under PGD(i={steps}) by ε in 1/255, with "
        f"{intervals_of(point for curve in curves for point in curve.points)}. Bold: the best defence."
    )
    head = ("Model", "Seeds", *(f"ε={e:g}" for e in eps))
    return Table(f"robustness-i{steps}", caption, head, with_best(lines), f"i={steps}")


def robustness_plots(rows: Sequence[Row]) -> list[Plot]:
    """Accuracy against ε for papers, one drawing for every number of iterations."""
    curves = robustness_curves(rows)
    looks = style(model_order(curve.model for curve in curves))

    def draw(steps: int, axes: Any) -> None:
        for curve in (curve for curve in curves if curve.steps == steps):
            look = looks[curve.model]
            plot_curve(axes, curve, curve.model, look["colour"], MARKERS[look["symbol"]])
        axes.set(xlabel="ε (1/255)", ylabel="accuracy (%)", ylim=(-2, 102))

    every = sorted({curve.steps for curve in curves})
    return [Plot(f"robustness-i{steps}", lambda axes, steps=steps: draw(steps, axes)) for steps in every]


ROBUSTNESS_FIGURE = Figure(
    "robustness",
    "Accuracy under attack",
    "Defences",
    "robustness",
    "Clips that are wrong without attack count as broken, and so do those that the same attack broke at a smaller ε "
    "listed in the row's cascade; of each attack its best iterate counts. Bars: 95 % intervals, clustered by source "
    "and seed where the rows tell the sources; the hover text has each seed.",
    lambda rows: [Panel("robustness", robustness(rows))],
    robustness_tables,
    robustness_plots,
    step="accuracy against ε",
    part="accuracy",
)


# -------------------------------------------------------------------------------------------------------------- α*


def step_size(rows: Iterable[Row]) -> go.Figure:
    """α* against ε for every number of iterations, with 95 % intervals, and a line and a power law through each."""
    found = step_size_rows(rows)
    if not found:
        raise MissingRowsError(f"no step sizes: step 4 (α* against ε) is missing. {MISSING_STEP}")
    traces, sentences = [], []
    for number, (steps, mine) in enumerate(_by_steps(found)):
        traces += _step_size_traces(mine, steps, COLOURS[number % len(COLOURS)], SYMBOLS[number % len(SYMBOLS)])
        ends = [mine[0], mine[-1]] if mine[0]["eps"] < mine[-1]["eps"] else [mine[0]]
        sentences.append(f"i={steps}: " + " to ".join(f"{row['alpha']:.2g} at ε={row['eps']:g}" for row in ends))
    counts = sorted({row["clips"] for row in found})
    clips = counted(counts[0], "clip") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} clips"
    alt = f"Optimal step size α* against ε, {clips}; bars: 95 % intervals from resampled {_drawn(found)}. "
    alt += f"{'; '.join(sentences)}."
    figure = new_figure(f"Optimal step size ({clips})", alt, "ε (1/255)", "α* (1/255)", yaxis_rangemode="tozero")
    x, y = published.step_size_numbers()
    line = linear_fit(x, y)
    traces.append(
        published_trace("α*", "published", x=x, y=y, mode="markers", hovertemplate="published α* = %{y}<br>ε = %{x}")
    )
    traces.append(published_trace(f"line, R² = {line.r2:.2f}", "published", x=x, y=line(x), mode="lines"))
    add(figure, traces)
    return figure


def _by_steps(rows: Iterable[Row]) -> list[tuple[int, list[Row]]]:
    """Estimates of α* by the number of iterations, each in the order of ε."""
    found = grouped(rows, "steps")
    return [(steps, sorted(found[steps], key=lambda row: row["eps"])) for steps in sorted(found)]


def _arrays(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ε, α* and whether the optimum lies inside the grid."""
    eps, alpha = np.array([row["eps"] for row in rows], float), np.array([row["alpha"] for row in rows], float)
    return eps, alpha, np.array([row["interior"] for row in rows], bool)


def _enough(eps: np.ndarray) -> bool:
    """Are there enough ε for a fit?"""
    return len(set(eps.tolist())) >= POINTS_NEEDED


def _step_size_traces(rows: Sequence[Row], steps: int, colour: str, symbol: str) -> list[Trace]:
    eps, alpha, inside = _arrays(rows)
    common = {"legendgroup": f"i={steps}", "meta": {"key": f"i={steps}", "published": False}}
    traces: list[Trace] = [common | {
        "name": f"i = {steps}", "x": eps, "y": alpha, "mode": "markers",
        "marker": {"color": colour, "size": 8, "symbol": [symbol if one else f"{symbol}-open" for one in inside]},
        "error_y": bars([row["high"] - row["alpha"] for row in rows], [row["alpha"] - row["low"] for row in rows]),
        "text": [_step_size_text(row) for row in rows], "hovertemplate": "%{text}<extra></extra>",
    }]  # fmt: skip
    if _enough(eps[inside]):
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


def step_size_tables(rows: Sequence[Row]) -> list[Table]:
    """α* by ε and iterations."""
    found = step_size_rows(rows)
    steps, eps = (sorted({row[name] for row in found}) for name in ("steps", "eps"))
    cells = {
        (row["eps"], row["steps"]): Cell(
            "" if row["interior"] else "edge", row["alpha"], row["low"], row["high"], row["clips"], form=".2f"
        )
        for row in found
    }
    lines = tuple((Cell(f"{e:g}"), *(cells.get((e, i), NONE) for i in steps)) for e in eps)
    caption = (
        "Optimal step size α* (1/255) by ε (1/255) and iterations, with 95 % intervals from resampled "
        f"{_drawn(found)}; edge: on the edge of the grid, a bound."
    )
    return [Table("step-sizes", caption, ("ε", *(f"i={i}" for i in steps)), lines)] if lines else []


def _drawn(rows: Sequence[Row]) -> str:
    """What the intervals of α* were resampled from: earlier versions drew clips."""
    counts = sorted({row.get("sources", 0) for row in rows})
    if not counts or counts[0] == 0:
        return "clips"
    count = f"{counts[0]} sources" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} sources"
    return count + (f" ({untrusted(counts[0]).lower()})" if counts[0] < FEW else "")


def step_size_plots(rows: Sequence[Row]) -> list[Plot]:
    """α* against ε for papers."""
    found = step_size_rows(rows)

    def draw(axes: Any) -> None:
        for number, (steps, mine) in enumerate(_by_steps(found)):
            eps, alpha, inside = _arrays(mine)
            below, above = [row["alpha"] - row["low"] for row in mine], [row["high"] - row["alpha"] for row in mine]
            bounds = np.maximum([below, above], 0)
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[SYMBOLS[number % len(SYMBOLS)]]
            for some, face in ((inside, colour), (~inside, "white")):
                if some.any():
                    axes.errorbar(
                        eps[some], alpha[some], bounds[:, some], fmt=marker, color=colour, markerfacecolor=face,
                        linewidth=0.7, label=f"i = {steps}" if face == colour else None,
                    )  # fmt: skip
            if _enough(eps[inside]):
                line = linear_fit(eps[inside], alpha[inside])
                label = f"i = {steps}: line, R² = {line.r2:.2f}"
                axes.plot(eps, line(eps), color=colour, linewidth=0.8, label=label)
        axes.set(xlabel="ε (1/255)", ylabel="α* (1/255)")
        axes.set_ylim(bottom=0)

    return [Plot("step-size", draw)] if found else []


def step_size_series(rows: Sequence[Row]) -> list[Series]:
    """α* over ε for every number of iterations."""
    return [
        Series(f"α* over ε, i={steps}", [row["alpha"] for row in mine])
        for steps, mine in _by_steps(step_size_rows(rows))
    ]


STEP_SIZE_FIGURE = Figure(
    "step-size",
    "Optimal step size",
    "α*",
    "step_size",
    "α* is the vertex of a parabola in log α through the grid points around the greatest mean loss; its bar comes from "
    "resampling the sources of the clips. Lines: least squares in the space of α*.",
    lambda rows: [Panel("step-size", step_size(rows))],
    step_size_tables,
    step_size_plots,
    step_size_series,
    step="α* against ε",
)
