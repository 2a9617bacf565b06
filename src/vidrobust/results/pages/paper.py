"""The figures of a run for papers, drawn with matplotlib: one and two columns wide, fonts embedded, no titles.

matplotlib comes with ``pip install "vidrobust[paper]"``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vidrobust.errors import InputError, MissingExtraError, RunError
from vidrobust.results.figures import FIGURES
from vidrobust.results.figures.figure import Figure, Plot
from vidrobust.runs.directory import Run
from vidrobust.runs.files import write_atomic
from vidrobust.runs.rows import Row

FigureFormat = Literal["pdf", "svg", "png"]
FIGURE_FORMATS = ("pdf", "svg", "png")
WIDTHS = {"1col": 3.35, "2col": 6.9}
"""Inches: the columns of the usual two-column papers."""

LOOK = {
    "font.family": "sans-serif", "font.size": 7, "axes.labelsize": 7, "legend.fontsize": 6, "xtick.labelsize": 6,
    "ytick.labelsize": 6, "axes.linewidth": 0.6, "lines.linewidth": 1.0, "lines.markersize": 3, "grid.linewidth": 0.3,
    "grid.color": "#d0d0d0", "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False, "pdf.fonttype": 42, "svg.fonttype": "path",
    "svg.hashsalt": "vidrobust", "errorbar.capsize": 1.5,
}  # fmt: skip


def paper_figures(
    run: str | Path, fmt: FigureFormat, out: str | Path | None = None, figures: Sequence[Figure] | None = None
) -> list[Path]:
    """Draw every figure that a run has rows for, each one and two columns wide.

    Args:
        run: the run directory.
        fmt: ``pdf`` and ``svg`` stay lines, with their fonts inside; ``png`` has 300 dots an inch.
        out: the folder; ``figures`` in the run directory if not given.
        figures: whose drawings; by default ``vr.figures.FIGURES``, to which you may add yours.

    Returns:
        The files written.

    Raises:
        InputError: there is no such format.
        MissingExtraError: matplotlib is not installed.
        RunError: the folder is not a run directory, has nothing to draw, or a file cannot be written.
    """
    if fmt not in FIGURE_FORMATS:
        raise InputError(f"there is no figure format {fmt!r}. Choose one of: {', '.join(FIGURE_FORMATS)}.")
    opened = Run.open(run)
    folder = Path(out) if out is not None else opened.path / "figures"
    paths = []
    for plot in plots(opened.rows(), FIGURES if figures is None else figures):
        for width, inches in WIDTHS.items():
            path = folder / f"{plot.name}-{width}.{fmt}"
            write_atomic(path, drawn(plot, inches, fmt))
            paths.append(path)
    if not paths:
        raise RunError(f"{opened.path} has no rows to draw yet. Go on with the command that wrote it.")
    return paths


def plots(rows: Sequence[Row], figures: Sequence[Figure] = FIGURES) -> list[Plot]:
    """The drawings that rows suffice for."""
    return [plot for figure in figures for plot in figure.plots(rows)]


def drawn(plot: Plot, inches: float, fmt: str) -> bytes:
    """One drawing as a file, the same for the same rows."""
    try:
        import matplotlib
        from matplotlib.figure import Figure as Canvas
    except ImportError:
        raise MissingExtraError("matplotlib", "paper", "a figure for a paper") from None
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}[fmt]
    with matplotlib.rc_context(LOOK):
        figure = Canvas(figsize=(inches, 0.68 * min(inches, 4.4)), layout="constrained")
        axes = figure.add_subplot()
        plot.draw(axes)
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
