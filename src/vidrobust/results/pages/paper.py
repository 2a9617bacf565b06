"""The figures of a run for papers, drawn with matplotlib: one and two columns wide, fonts embedded, no titles.

matplotlib comes with ``pip install "vidrobust[paper]"``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vidrobust.errors import InputError, RunError
from vidrobust.results.figures.plots import COLOURS, GREY, style
from vidrobust.results.numbers.accuracy import Curve, gap_curves, robustness_curves
from vidrobust.results.numbers.advantages import difficulty_points
from vidrobust.results.numbers.claims import DIFFICULTY, POINTS_NEEDED
from vidrobust.results.numbers.fits import linear_fit
from vidrobust.results.numbers.selection import model_order, of_kind
from vidrobust.results.numbers.sensitivity import step_size_rows, surface, surface_eps
from vidrobust.runs.directory import Run
from vidrobust.runs.files import write_atomic
from vidrobust.runs.rows import Row

Format = Literal["pdf", "svg", "png"]
FORMATS = ("pdf", "svg", "png")
WIDTHS = {"1col": 3.35, "2col": 6.9}
"""Inches: the columns of the usual two-column papers."""

MARKERS = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "x": "x", "star": "*", "cross": "+",
           "triangle-down": "v"}  # fmt: skip
LOOK = {
    "font.family": "sans-serif", "font.size": 7, "axes.labelsize": 7, "legend.fontsize": 6, "xtick.labelsize": 6,
    "ytick.labelsize": 6, "axes.linewidth": 0.6, "lines.linewidth": 1.0, "lines.markersize": 3, "grid.linewidth": 0.3,
    "grid.color": "#d0d0d0", "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False, "pdf.fonttype": 42, "svg.fonttype": "path",
    "svg.hashsalt": "vidrobust", "errorbar.capsize": 1.5,
}  # fmt: skip

Draw = Callable[[Any], None]
"""Draws into axes."""


def paper_figures(run: str | Path, fmt: Format, out: str | Path | None = None) -> list[Path]:
    """Draw every figure that a run has rows for, each one and two columns wide.

    Args:
        run: the run directory.
        fmt: ``pdf`` and ``svg`` stay lines, with their fonts inside; ``png`` has 300 dots an inch.
        out: the folder; ``figures`` in the run directory if not given.

    Returns:
        The files written.

    Raises:
        InputError: there is no such format, or matplotlib is not installed.
        RunError: the folder is not a run directory, has nothing to draw, or a file cannot be written.
    """
    if fmt not in FORMATS:
        raise InputError(f"there is no figure format {fmt!r}. Choose one of: {', '.join(FORMATS)}.")
    opened = Run.open(run)
    folder = Path(out) if out is not None else opened.path / "figures"
    paths = []
    for name, draw in drawings(opened.rows()):
        for width, inches in WIDTHS.items():
            path = folder / f"{name}-{width}.{fmt}"
            write_atomic(path, drawn(draw, inches, fmt))
            paths.append(path)
    if not paths:
        raise RunError(f"{opened.path} has no rows to draw yet. Go on with the command that wrote it.")
    return paths


def drawn(draw: Draw, inches: float, fmt: str) -> bytes:
    """One figure as a file, the same for the same rows."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError('figures for papers need matplotlib: pip install "vidrobust[paper]"') from None
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}[fmt]
    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(inches, 0.68 * min(inches, 4.4)), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            wide = max(map(len, labels)) * 0.055 + 0.35  # inches that a label takes
            columns = max(1, min(len(labels), int(inches / wide)))
            rows = -(-len(labels) // columns)
            figure.set_figheight(figure.get_figheight() + 0.12 * rows)
            figure.legend(handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.0)
        file = io.BytesIO()
        figure.savefig(file, format=fmt, dpi=300, metadata=dates)
    return file.getvalue()


def drawings(rows: Sequence[Row]) -> Iterator[tuple[str, Draw]]:
    """The figures that rows suffice for: (name, what draws it)."""
    for eps in surface_eps(rows):
        yield f"sensitivity-eps{eps:g}", lambda axes, eps=eps: _map(axes, rows, eps)
    if step_size_rows(rows):
        yield "step-size", lambda axes: _step_sizes(axes, step_size_rows(rows))
    curves = robustness_curves(rows)
    looks = style(model_order(curve.model for curve in curves))
    for steps in sorted({curve.steps for curve in curves}):
        mine = [curve for curve in curves if curve.steps == steps]
        yield f"robustness-i{steps}", lambda axes, mine=mine: _robustness(axes, mine, looks)
    gaps = gap_curves(rows)
    for eps in sorted({curve.eps or 0.0 for curve in gaps}):
        mine = [curve for curve in gaps if curve.eps == eps]
        yield f"gap-eps{eps:g}", lambda axes, mine=mine: _gap(axes, mine)
    epochs = of_kind(rows, "epoch")
    if epochs:
        yield "training-loss", lambda axes: _by_epoch(axes, epochs, "loss", "loss on the training batches")
        attacked = [row for row in epochs if row["model"] in {one["model"] for one in epochs if one["eps"]}]
        if attacked:
            yield "schedules-eps", lambda axes: _by_epoch(axes, attacked, "eps", "ε as drawn (1/255)")
    if any(difficulty_points(rows, first, second) for _, first, second in DIFFICULTY):
        yield "difficulty", lambda axes: _difficulty(axes, rows)


def _map(axes: Any, rows: Sequence[Row], eps: float) -> None:
    data = surface(rows, eps)
    axes.grid(visible=False)
    mesh = axes.contourf(data.steps, data.alphas, data.loss, levels=24, cmap="viridis")
    lines = axes.contour(data.steps, data.alphas, data.loss, levels=7, colors="white", linewidths=0.4, alpha=0.7)
    axes.clabel(lines, fontsize=5)
    for colour, width in (("white", 2.4), (COLOURS[5], 1.2)):
        axes.step(data.steps[1:], data.ridge[1:], where="mid", color=colour, linewidth=width)
    axes.set(yscale="log", xlabel="iterations i", ylabel="step size α (1/255)")
    ticks = [value for value in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if data.alphas[0] <= value <= data.alphas[-1]]
    axes.set_yticks(ticks, [f"{value:g}" for value in ticks])
    axes.minorticks_off()
    axes.figure.colorbar(mesh, ax=axes, label=f"mean loss at ε={eps:g}", pad=0.02)


def _step_sizes(axes: Any, rows: Sequence[Row]) -> None:
    for number, steps in enumerate(sorted({row["steps"] for row in rows})):
        mine = sorted((row for row in rows if row["steps"] == steps), key=lambda row: row["eps"])
        colour = COLOURS[number % len(COLOURS)]
        x, y = np.array([row["eps"] for row in mine], float), np.array([row["alpha"] for row in mine])
        inside = np.array([row["interior"] for row in mine], bool)
        bounds = np.array([[row["alpha"] - row["low"] for row in mine], [row["high"] - row["alpha"] for row in mine]])
        for some, face in ((inside, colour), (~inside, "white")):
            if some.any():
                axes.errorbar(
                    x[some], y[some], bounds[:, some], fmt="o", color=colour, markerfacecolor=face, linewidth=0.7,
                    label=f"i = {steps}" if face == colour else None,
                )  # fmt: skip
        if inside.sum() >= POINTS_NEEDED:
            line = linear_fit(x[inside], y[inside])
            axes.plot(x, line(x), color=colour, linewidth=0.8, label=f"i = {steps}: line, R² = {line.r2:.2f}")
    axes.set(xlabel="ε (1/255)", ylabel="α* (1/255)")
    axes.set_ylim(bottom=0)


def _curve(axes: Any, curve: Curve, name: str, colour: str, marker: str, dash: str = "-") -> None:
    shares = np.array([100 * point.accuracy for point in curve.points])
    low, high = (np.array([100 * point.interval[n] for point in curve.points]) for n in (0, 1))
    x = [point.x for point in curve.points]
    bounds = np.maximum([shares - low, high - shares], 0)
    axes.errorbar(x, shares, bounds, label=name, color=colour, marker=marker, linestyle=dash, elinewidth=0.6)


def _robustness(axes: Any, curves: Sequence[Curve], looks: dict[str, dict[str, str]]) -> None:
    for curve in curves:
        look = looks[curve.model]
        _curve(axes, curve, curve.model, look["colour"], MARKERS[look["symbol"]])
    axes.set(xlabel="ε (1/255)", ylabel="accuracy (%)", ylim=(-2, 102))


def _gap(axes: Any, curves: Sequence[Curve]) -> None:
    models, names = model_order(curve.model for curve in curves), {"train": "training clips", "val": "validation clips"}
    for curve in curves:
        colour, trained = COLOURS[models.index(curve.model) % len(COLOURS)], curve.split == "train"
        name = f"{curve.model}, {names.get(curve.split, curve.split)}"
        _curve(axes, curve, name, colour, "o" if trained else "D", "-" if trained else "--")
    axes.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(-2, 102))


def _by_epoch(axes: Any, rows: Sequence[Row], field: str, label: str) -> None:
    models = model_order(row["model"] for row in rows)
    looks = style(models)
    for model in models:
        mine = [row for row in rows if row["model"] == model]
        epochs = sorted({row["epoch"] for row in mine})
        means = [float(np.mean([row[field] for row in mine if row["epoch"] == epoch])) for epoch in epochs]
        axes.plot(epochs, means, label=model, color=looks[model]["colour"], marker=MARKERS[looks[model]["symbol"]])
    axes.set(xlabel="epoch", ylabel=label)


def _difficulty(axes: Any, rows: Sequence[Row]) -> None:
    axes.axhline(0, color=GREY, linewidth=0.6)
    for (label, first, second), colour in zip(DIFFICULTY, COLOURS, strict=False):
        points = [point for point in difficulty_points(rows, first, second) if point.eps is None]
        if points:
            values = np.array([100 * point.advantage.value for point in points])
            low = np.array([100 * point.advantage.low for point in points])
            high = np.array([100 * point.advantage.high for point in points])
            x = [point.contrast for point in points]
            axes.errorbar(x, values, [values - low, high - values], label=label, color=colour, marker="o")
    axes.set(xlabel="mean contrast (less is harder)", ylabel="difference of accuracy (points)")
