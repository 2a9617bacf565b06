"""The figure of transfer: a map of the accuracy of each target over the surrogate on which clips were perturbed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from vidrobust.results.figures.figure import Figure, Panel, Plot
from vidrobust.results.figures.plots import new_figure
from vidrobust.results.figures.table import Cell, Table, accuracy_cell
from vidrobust.results.numbers.accuracy import intervals_of
from vidrobust.results.numbers.selection import MissingRowsError
from vidrobust.results.numbers.transfer import TransferMatrix, transfer_matrices

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from vidrobust.runs.rows import Row


def transfer_maps(rows: Iterable[Row]) -> list[go.Figure]:
    """A heat map for each attack: targets against surrogates.

    Raises:
        MissingRowsError: no clips were transferred.
    """
    found = transfer_matrices(rows)
    if not found:
        raise MissingRowsError('no transferred clips: `vidrobust transfer A B --attack "MIFGSM(ε=8)" --out DIR` has.')
    return [_map(matrix) for matrix in found]


def _map(matrix: TransferMatrix) -> Any:
    import plotly.graph_objects as go

    cells = [[matrix.points.get((name, target)) for target in matrix.targets] for name in matrix.surrogates]
    figure = new_figure(escape(matrix.attack), _alt_text(matrix), "shown to (target)", "perturbed on (surrogate)")
    hover = "on %{y}<br>shown to %{x}<br>%{customdata}<extra></extra>"
    figure.add_trace(
        go.Heatmap(
            x=[escape(name) for name in matrix.targets],
            y=[escape(name) for name in matrix.surrogates],
            z=[[None if point is None else 100 * point.accuracy for point in line] for line in cells],
            text=[["" if point is None else f"{100 * point.accuracy:.0f}" for point in line] for line in cells],
            customdata=[["" if point is None else f"{point} over {point.over}" for point in line] for line in cells],
            texttemplate="%{text}",
            hovertemplate=hover,
            colorscale="Viridis",
            zmin=0,
            zmax=100,
            colorbar={"title": {"text": "accuracy (%)", "side": "right"}},
        )
    )
    return figure.update_layout(yaxis={"autorange": "reversed", "automargin": True}, xaxis={"automargin": True})


def _alt_text(matrix: TransferMatrix) -> str:
    sentences = [
        f"On {name}: "
        + ", ".join(
            f"{target} {100 * point.accuracy:.0f} %"
            for target in matrix.targets
            if (point := matrix.points.get((name, target))) is not None
        )
        for name in matrix.surrogates
    ]
    return f"Accuracy of each target under {matrix.attack} on each surrogate. {'. '.join(sentences)}."


def transfer_tables(rows: Sequence[Row]) -> list[Table]:
    """Accuracy of the targets by surrogate, a table for each attack."""
    tables = []
    for number, matrix in enumerate(transfer_matrices(rows)):
        clean = (Cell("none"), *(accuracy_cell(matrix.clean.get(target)) for target in matrix.targets))
        lines = tuple(
            (Cell(name), *(accuracy_cell(matrix.points.get((name, target))) for target in matrix.targets))
            for name in matrix.surrogates
        )
        bars = intervals_of([*matrix.clean.values(), *matrix.points.values()])
        caption = f"Accuracy (%) of each target on clips perturbed on each surrogate by {matrix.attack}, with {bars}"
        tables.append(Table(f"transfer-{number + 1}", caption, ("Perturbed on", *matrix.targets), (clean, *lines)))
    return tables


def transfer_plots(rows: Sequence[Row]) -> list[Plot]:
    """The maps for papers."""
    found = enumerate(transfer_matrices(rows))
    return [Plot(f"transfer-{number + 1}", lambda axes, matrix=matrix: _draw(axes, matrix)) for number, matrix in found]


def _draw(axes: Any, matrix: TransferMatrix) -> None:
    cells = [[matrix.points.get((name, target)) for target in matrix.targets] for name in matrix.surrogates]
    values = [[float("nan") if point is None else 100 * point.accuracy for point in line] for line in cells]
    axes.grid(visible=False)
    image = axes.imshow(values, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            if value == value:
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", color="w" if value < 60 else "k")
    axes.set_xticks(range(len(matrix.targets)), [*map(_short, matrix.targets)], rotation=45, ha="right")
    axes.set_yticks(range(len(matrix.surrogates)), [*map(_short, matrix.surrogates)])
    axes.set(xlabel="shown to (target)", ylabel="perturbed on (surrogate)")
    axes.figure.colorbar(image, ax=axes, label="accuracy (%)")


def _short(name: str, most: int = 14) -> str:
    """A name that leaves room for the map: a column of a paper is narrow."""
    return name if len(name) <= most else name[: most - 1] + "…"


TRANSFER_FIGURE = Figure(
    "transfer",
    "Transfer between models",
    "Transfer",
    "transfer",
    "Clips are perturbed on one model, or on the mean logits of several, and shown to all; on the model itself the "
    "attack is white-box. What is wrong without attack counts as broken. Intervals of 95 % are clustered by source and "
    "seed where the rows tell the sources.",
    lambda rows: [Panel(f"transfer {n}", drawing) for n, drawing in enumerate(transfer_maps(rows), 1)],
    transfer_tables,
    transfer_plots,
)
