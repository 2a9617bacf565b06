"""The figure over severities: a heat map of the accuracy under each kind of corruption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vidrobust.results.figures.figure import Figure, Panel, Plot
from vidrobust.results.figures.plots import legible, new_figure
from vidrobust.results.figures.table import NONE, Cell, Table
from vidrobust.results.numbers.corruptions import CorruptionGrid, grids, reference_of, robustness, scores
from vidrobust.results.numbers.selection import MissingRowsError
from vidrobust.results.numbers.statistics import Estimate

if TYPE_CHECKING:
    from typing import Any

    import plotly.graph_objects as go

    from vidrobust.runs.rows import Row


def corruptions(rows: Sequence[Row], model: str, convention: str) -> go.Figure:
    """Accuracy of one model under each kind of one convention, against the severity; severity 0 is clean.

    Raises:
        MissingRowsError: it was not measured.
    """
    found = [grid for grid in grids(rows) if (grid.model, grid.convention) == (model, convention)]
    if not found:
        raise MissingRowsError(f"no accuracies of {model} under {convention}: `vidrobust evaluate RUN --corruption`.")
    return _heat_map(found[0])


def _heat_map(grid: CorruptionGrid) -> go.Figure:
    import plotly.graph_objects as go

    kinds, severities = grid.kinds[::-1], [0, *grid.severities]
    summary = scores(grid)
    found = [[grid.at(kind, severity) if severity else summary.clean for severity in severities] for kind in kinds]
    worst = min(grid.kinds, key=lambda kind: grid.of_kind(kind).mean())
    alt = (
        f"{grid.model} under {grid.convention}: {100 * summary.clean.value:.0f} % of {summary.clean.clips} clean clips "
        f"right, {100 * summary.mpc.value:.0f} % on average under corruption. "
        f"Hardest: {_words(worst)}, {100 * grid.of_kind(worst).mean():.0f} %."
    )
    figure = new_figure(f"{grid.model}, {grid.convention}", alt, "severity (0: clean)", "", showlegend=False)
    figure.add_trace(
        go.Heatmap(
            x=[str(severity) for severity in severities], y=[_words(kind) for kind in kinds],
            z=[[None if one is None else 100 * one.value for one in line] for line in found],
            customdata=[[_hover(one) for one in line] for line in found], zmin=0, zmax=100, colorscale="Viridis",
            texttemplate="%{z:.0f}", colorbar={"title": {"text": "accuracy (%)", "side": "right"}, "thickness": 10},
            hovertemplate="%{y}, severity %{x}<br>%{customdata}<extra></extra>", xgap=1, ygap=1,
        )
    )  # fmt: skip
    return figure.update_layout(
        xaxis_type="category",
        yaxis={"automargin": True, "tickfont": {"size": 11}},
        margin={"l": 130, "r": 10, "t": 50, "b": 50},
    )


def _hover(found: Estimate | None) -> str:
    if found is None:
        return "not measured"
    low, high = 100 * found.low, 100 * found.high
    return f"{100 * found.value:.1f} % ({low:.1f} to {high:.1f})<br>{found.clips} clips of {found.sources} sources"


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def corruption_panels(rows: Sequence[Row]) -> list[Panel]:
    """A heat map of each model, convention by convention."""
    found = grids(rows)
    if not found:
        raise MissingRowsError(
            "no accuracies under corruptions: `vidrobust evaluate RUN --corruption ucf101-p` adds them."
        )
    models, _ = legible(grid.model for grid in found)
    chosen = [grid for grid in found if grid.model in models]
    return [Panel(f"corruptions {grid.convention}", _heat_map(grid), grid.convention) for grid in chosen]


def corruption_tables(rows: Sequence[Row]) -> list[Table]:
    """Of each convention what its grids add up to; then of each grid every accuracy."""
    found = grids(rows)
    conventions = list(dict.fromkeys(grid.convention for grid in found))
    tables = [_summary([grid for grid in found if grid.convention == name], found, name) for name in conventions]
    return tables + [_cells(grid, number) for number, grid in enumerate(found, 1)]


def _summary(own: Sequence[CorruptionGrid], found: Sequence[CorruptionGrid], convention: str) -> Table:
    reference = reference_of(found, convention)
    lines = []
    for grid in own:
        summary = scores(grid, reference)
        cells = [
            _percent(summary.clean),
            _percent(summary.mpc),
            _percent(summary.rpc),
            _share(summary.absolute),
            _share(summary.relative),
        ]
        lines.append((Cell(grid.model), Cell(str(len(grid.counted or grid.kinds))), *cells, _percent(summary.mce)))
    unit = f"mCE (%) against {reference.model}" if reference else "mCE (no reference)"
    caption = (
        f"What {convention} adds up to on {own[0].split} clips, over the kinds that count and the severities measured; "
        f"95 % intervals {_clustered(own)}"
    )
    head = ("Model", "Kinds", "Clean (%)", "mPC (%)", "rPC (%)", "γᵃ", "γʳ", unit)
    return Table(f"corruptions-{convention}", caption, head, tuple(lines))


def _cells(grid: CorruptionGrid, number: int) -> Table:
    lines = []
    for kind in grid.kinds:
        absolute, relative = robustness(grid, [kind])
        beside = "" if kind in grid.counted or not grid.counted else " (beside)"
        cells = [_percent(grid.at(kind, severity)) for severity in grid.severities]
        lines.append((Cell(_words(kind) + beside), *cells, _share(absolute), _share(relative)))
    head = ("Kind", *(f"severity {severity}" for severity in grid.severities), "γᵃ", "γʳ")
    caption = (
        f"Accuracy (%) of {grid.model} under {grid.convention}, {len(grid.clean)} clips, 95 % intervals "
        f"{_clustered([grid])}; a kind beside does not count in means over kinds"
    )
    return Table(f"corruptions-{grid.convention}-{number}", caption, head, tuple(lines))


def _clustered(own: Sequence[CorruptionGrid]) -> str:
    """What the intervals of some grids are clustered by, in words."""
    return "clustered by source" + (" and seed" if any(len({*grid.seeds}) > 1 for grid in own) else "")


def _percent(found: Estimate | None) -> Cell:
    return NONE if found is None else _cell(found, 100.0, ".1f")


def _share(found: Estimate | None) -> Cell:
    return NONE if found is None else _cell(found, 1.0, ".2f")


def _cell(found: Estimate, unit: float, form: str) -> Cell:
    bounds = (unit * found.low, unit * found.high) if found.freedom else (None, None)
    return Cell("", unit * found.value, *bounds, found.clips, form=form)


def corruption_plots(rows: Sequence[Row]) -> list[Plot]:
    """The heat maps for papers."""
    return [
        Plot(f"corruptions-{grid.convention}-{number}", lambda axes, grid=grid: _plot(axes, grid))
        for number, grid in enumerate(grids(rows), 1)
    ]


def _plot(axes: Any, grid: CorruptionGrid) -> None:
    severities = [0, *grid.severities]
    clean = scores(grid).clean
    found = [[grid.at(kind, severity) if severity else clean for severity in severities] for kind in grid.kinds]
    values = [[float("nan") if one is None else 100 * one.value for one in line] for line in found]
    axes.grid(visible=False)
    image = axes.imshow(values, vmin=0, vmax=100, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(severities)), [str(severity) for severity in severities])
    axes.set_yticks(range(len(grid.kinds)), [_words(kind) for kind in grid.kinds], fontsize=5)
    axes.set(xlabel="severity (0: clean)")
    axes.figure.colorbar(image, ax=axes, label="accuracy (%)", pad=0.02)


CORRUPTIONS_FIGURE = Figure(
    "corruptions",
    "Accuracy under corruptions",
    "Corruptions",
    "corruption",
    "Each clip is corrupted with random draws of its own, the same for all models. mPC is the mean accuracy over kinds "
    "and severities, rPC its share of the clean accuracy (Yi et al. 2021); γᵃ = 1 − (clean − corrupted) and γʳ = 1 − "
    "(clean − corrupted) / clean (Schiappa et al. 2023); mCE is the mean over kinds of the errors over those of the "
    "reference (Hendrycks and Dietterich 2019). Intervals are clustered by source and, of several trainings, by seed.",
    corruption_panels,
    corruption_tables,
    corruption_plots,
)
