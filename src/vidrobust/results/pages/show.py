"""A run in the terminal: the answers of the page as tables and sparklines; plain text where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidrobust.errors import RunError
from vidrobust.results.figures import FIGURES
from vidrobust.results.figures.figure import Figure
from vidrobust.results.figures.table import Cell
from vidrobust.results.figures.table import Table as Numbers
from vidrobust.results.numbers.costs import costs
from vidrobust.results.numbers.masking import masking_flags
from vidrobust.results.numbers.selection import CONTROLS, of_kind
from vidrobust.results.pages.content import RunContent
from vidrobust.results.pages.overview import at, headline, lacks
from vidrobust.runs.collector import collector_paused
from vidrobust.runs.directory import Run
from vidrobust.runs.wording import counted

if TYPE_CHECKING:
    from rich.table import Table

    from vidrobust.results.pages.console import SafeConsole

_COLOURS = {"reproduced": "green", "not reproduced": "red", "undecided": "yellow"}
_COLUMNS = 12
"""Columns of a table that a terminal has room for."""
_LINES = 60
"""Lines of a table that a terminal shows; the page has all."""


def show(run: str | Path, console: SafeConsole | None = None, figures: Sequence[Figure] | None = None) -> None:
    """Print what a run found: accuracies, claims, checks, curves and cost.

    Args:
        run: the run directory; one that is not finished shows what it has.
        console: where to; what is not a terminal gets tables without colours and frames.
        figures: whose numbers; by default ``vr.figures.FIGURES``, to which you may add yours.

    Raises:
        RunError: the folder is not a run directory, or damaged.
    """
    content, console = RunContent(Run.open(run)), console or _console()
    with collector_paused():
        _show(content, console, FIGURES if figures is None else figures)


def _show(content: RunContent, console: SafeConsole, figures: Sequence[Figure]) -> None:
    for line in _summary(content):
        console.print(line)
    for title, table in (*_tables(content, console, figures), *_claims(content, console), *_checks(content, console),
                         *_series(content, console, figures)):  # fmt: skip
        console.print()
        console.print(title)
        if table.row_count:
            console.print(table)
    spent = costs(content.run)
    if spent:
        gradients, minutes = sum(one.gradients for one in spent), sum(one.seconds for one in spent) / 60
        console.print(f"cost: {gradients:,} gradients of single clips, {minutes:.1f} minutes of work")


def list_runs(folder: str | Path, console: SafeConsole | None = None) -> None:
    """Print the run directories in a folder, however deep, with what they are and how far they came.

    Args:
        folder: where to look; a run directory itself is listed too.
        console: where to.

    Raises:
        RunError: the folder does not exist.
    """
    where, console = Path(folder), console or _console()
    if not where.is_dir():
        raise RunError(f"{where} does not exist. Give the folder that your run directories lie in.")
    table = _table(console, "Run", "Kind", "Version", "Models", "Rows", "Missing")
    found = sorted(file.parent for file in where.rglob("run.json"))
    for path in found:
        table.add_row(*_listed(path, where))
    if not found:
        console.print(f"no runs in {where}")
        return
    console.print(table)


def _listed(path: Path, where: Path) -> list[str]:
    name = str(path.relative_to(where)) if path != where else str(path)
    try:
        content = RunContent(Run.open(path))
        models = len({row["model"] for row in content.rows if row["kind"] in ("accuracy", "robustness")})
        version = content.provenance.get("versions", {})
        version = str(version.get("vidrobust", "?")) if isinstance(version, dict) else "?"
        lacking = ", ".join(lacks(content)) or "–"
        return [name, content.run.kind, version, str(models), str(len(content.rows)), lacking]
    except RunError as error:
        return [name, "damaged", "", "", "", str(error)]


# ------------------------------------------------------------------------------------------------------------ parts


def _console() -> SafeConsole:
    from vidrobust.results.pages.console import SafeConsole

    return SafeConsole()


def _summary(content: RunContent) -> Iterator[str]:
    """What the run is, its most robust model, and what it lacks."""
    data = next(iter(of_kind(content.rows, "dataset")), None)
    clips = data["clips"].get("test", 0) if data else 0
    about = (
        f"{data['name']}, {counted(len(data['classes']), 'class')}, {counted(clips, 'test clip')}"
        if data
        else "no data yet"
    )
    yield f"{content.name}: {content.run.kind}; {about}"
    found = headline(content.rows)
    if found:
        steps, eps, ranked = found
        best = next((curve for curve in ranked if not curve.model.startswith(CONTROLS)), ranked[0])
        point = at(best, eps)
        assert point is not None  # a headline has this ε in every curve
        yield f"most robust at ε={eps:g} under PGD(i={steps}): {best.model}, {point}"
    if content.run.note:
        yield content.run.note
    for lacking in lacks(content):
        yield f"missing: {lacking}"
    if content.left_out:
        yield f"left out, as damaged or measured anew: {len(content.left_out)} lines, the first: {content.left_out[0]}"


def _table(console: SafeConsole, *head: str) -> Table:
    from rich import box
    from rich.table import Table

    frame = box.SIMPLE_HEAD if console.is_terminal else None
    table = Table(box=frame, show_edge=False, pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold", no_wrap=name == "Model" and console.width >= 80)
    return table


def _tables(content: RunContent, console: SafeConsole, figures: Sequence[Figure]) -> Iterator[tuple[str, Table]]:
    """The main table of each figure that is not shown as a row of bars."""
    from vidrobust.results.pages.console import sparkline

    for figure in figures:
        tables = [] if figure.series(content.rows) else figure.tables(content.rows)
        for numbers in tables[:1]:
            columns = _columns(numbers)
            counts = {(cell.clips, cell.of) for line in numbers.lines for cell in line if cell.clips is not None}
            each = "; of {} {} each".format(*next(iter(counts))) if len(counts) == 1 else ""
            table = _table(console, *(numbers.head[n] for n in columns), *(["Curve"] if numbers.stop else []))
            for line in numbers.lines[:_LINES]:
                values = [cell.value for cell in line if cell.value is not None]
                bars = [sparkline(values, 0, 100, 48)] if numbers.stop else []
                table.add_row(*(_cell(line[n], not each) for n in columns), *bars)
            left = len(numbers.lines) - _LINES
            more = f" ({left} further lines on the page)" if left > 0 else ""
            yield numbers.caption.removesuffix(". Bold: the best defence.") + each + more, table


def _columns(numbers: Numbers) -> list[int]:
    """The columns that a terminal has room for: the name, then those with numbers."""
    filled = [n for n in range(1, len(numbers.head)) if any(line[n].value is not None for line in numbers.lines)]
    words = [n for n in range(1, len(numbers.head)) if n not in filled and numbers.head[n] != "Seeds"]
    return [0, *words, *filled][:_COLUMNS]


def _cell(cell: Cell, counted: bool) -> str:
    """A number, its interval and, where they differ from cell to cell, its clips below each other."""
    if cell.value is None or cell.low is None or cell.high is None:
        return cell.text
    below = [f"{cell.low:.0f}–{cell.high:.0f}", f"of {cell.clips}" if counted else "", cell.text]
    return "\n".join([f"{cell.value:.0f}", *(one for one in below if one)])


def _claims(content: RunContent, console: SafeConsole) -> Iterator[tuple[str, Table]]:
    from rich.text import Text

    table = _table(console, "Claim", "Verdict", "Why")
    for one in content.judged:
        table.add_row(one.statement, Text(one.verdict, _COLOURS[one.verdict]), one.reason)
    if table.row_count:
        yield "Claims of the slides", table


def _checks(content: RunContent, console: SafeConsole) -> Iterator[tuple[str, Table]]:
    flags = masking_flags(content.rows)
    failed = [flag for flag in flags if not flag.passed]
    table = _table(console, "Model", "Not passed", "Measured")
    for flag in failed[:_LINES]:
        table.add_row(flag.model, flag.check, flag.sentence)
    if flags:
        yield f"Checks for masked gradients: {len(flags) - len(failed)} of {len(flags)} passed", table


def _series(content: RunContent, console: SafeConsole, figures: Sequence[Figure]) -> Iterator[tuple[str, Table]]:
    """Sensitivity, α* and training as rows of bars."""
    from vidrobust.results.pages.console import sparkline

    table = _table(console, "What", "Curve", "From", "To")
    every = [one for figure in figures for one in figure.series(content.rows)]
    for one in every[:_LINES]:
        table.add_row(one.name, sparkline(one.values, width=48), f"{one.values[0]:.2f}", f"{one.values[-1]:.2f}")
    if table.row_count:
        left = len(every) - _LINES
        yield "Curves" + (f" ({left} further ones on the page)" if left > 0 else ""), table
