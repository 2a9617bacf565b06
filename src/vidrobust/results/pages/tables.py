"""Tables of a run for papers: LaTeX, CSV or Markdown, with intervals, and the best defence in bold."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vidrobust.errors import InputError, RunError
from vidrobust.results.figures import FIGURES
from vidrobust.results.figures.figure import Figure
from vidrobust.results.figures.table import Cell, Table
from vidrobust.results.numbers.costs import costs
from vidrobust.results.numbers.deciding import Claim
from vidrobust.results.pages.content import RunContent
from vidrobust.runs.directory import Run
from vidrobust.runs.files import write_atomic

TableFormat = Literal["latex", "csv", "markdown"]
TABLE_FORMATS = {"latex": ".tex", "csv": ".csv", "markdown": ".md"}


def tables(
    run: str | Path, fmt: TableFormat, out: str | Path | None = None, figures: Sequence[Figure] | None = None
) -> list[Path]:
    """Write the tables of a run: accuracies, step sizes, claims and costs.

    Args:
        run: the run directory.
        fmt: ``latex`` (needs the booktabs package), ``csv`` (a line for every number) or ``markdown``.
        out: the folder; ``tables`` in the run directory if not given.
        figures: whose tables; by default ``vr.figures.FIGURES``, to which you may add yours.

    Returns:
        The files written; tables whose rows are missing are left out.

    Raises:
        InputError: there is no such format.
        RunError: the folder is not a run directory, has nothing to tabulate, or a file cannot be written.
    """
    if fmt not in TABLE_FORMATS:
        raise InputError(f"there is no table format {fmt!r}. Choose one of: {', '.join(TABLE_FORMATS)}.")
    opened = Run.open(run)
    filled = run_tables(opened, FIGURES if figures is None else figures)
    if not filled:
        raise RunError(f"{opened.path} has no rows to tabulate yet. Go on with the command that wrote it.")
    folder = Path(out) if out is not None else opened.path / "tables"
    write = {"latex": latex, "csv": comma_separated, "markdown": markdown}[fmt]
    paths = [folder / f"{table.name}{TABLE_FORMATS[fmt]}" for table in filled]
    for path, table in zip(paths, filled, strict=True):
        write_atomic(path, write(table).encode())
    return paths


def run_tables(run: Run, figures: Sequence[Figure]) -> list[Table]:
    """The tables that a run has rows for: of each figure, then claims and costs."""
    content = RunContent(run)
    filled = [table for figure in figures for table in figure.tables(content.rows)]
    if run.kind == "study":
        filled.append(_claims(content.claims))
    filled.append(_costs(run))
    return [table for table in filled if table.lines]


def _claims(judged: Sequence[Claim]) -> Table:
    lines = tuple(
        (Cell(one.statement), Cell(one.verdict), Cell(one.statistic), Cell(one.reason), Cell(one.published))
        for one in judged
    )
    caption = "The claims of the slides and what this run says of each."
    return Table("claims", caption, ("Claim", "Verdict", "Statistic", "Reason", "Published"), lines)


def _costs(run: Run) -> Table:
    lines = tuple(
        (
            Cell(one.what),
            Cell(value=one.gradients, form=",.0f"),
            *(Cell(value=seconds / 60, form=".2f") for seconds in (one.seconds, one.cpu_seconds)),
        )
        for one in costs(run)
    )
    caption = "What each piece cost: gradients of single clips, minutes on the clock and of the processor."
    return Table("costs", caption, ("Job", "Clip gradients", "Minutes", "CPU minutes"), lines)


# --------------------------------------------------------------------------------------------------------- formats


def plain(text: object) -> str:
    r"""Text that Markdown shows as it is, in one line.

    >>> print(plain("a_b | <c>"))
    a\_b \| \<c\>
    """
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(str(text).split()))


def markdown(table: Table) -> str:
    """A table as Markdown (GitHub's)."""

    def written(cell: Cell) -> str:
        if cell.value is None:
            return plain(cell.text)
        number = f"**{cell.number}**" if cell.best else cell.number
        bounds = f" ({cell.interval})" if cell.interval else ""
        return number + bounds + (f" {cell.text}" if cell.text else "")

    lines = [table.head, ["---"] * len(table.head), *([written(cell) for cell in line] for line in table.lines)]
    first = " | ".join(plain(name) for name in table.head)
    body = [f"| {first} |"] + [f"| {' | '.join(line)} |" for line in lines[1:]]
    return f"{plain(table.caption)}\n\n" + "\n".join(body) + "\n"


def comma_separated(table: Table) -> str:
    """A table as CSV, a line for every number, so that nothing has to be taken apart again."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    if all(cell.value is None for line in table.lines for cell in line):
        out.writerow(table.head)
        out.writerows([_harmless(cell.text) for cell in line] for line in table.lines)
        return text.getvalue()
    out.writerow([table.head[0], "column", "value", "low", "high", "clips", "note"])
    for first, *cells in table.lines:
        for name, cell in zip(table.head[1:], cells, strict=True):
            if cell.value is not None:
                numbers = [cell.value, cell.low, cell.high, cell.clips]
                out.writerow(
                    [_harmless(first.text), name, *("" if n is None else f"{n:.6g}" for n in numbers), cell.text]
                )
    return text.getvalue()


def _harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@" and text else text


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\^{}", "~": r"$\sim$", "ε": r"$\varepsilon$", "α": r"$\alpha$", "*": r"$^*$", "×": r"$\times$", "–": "--",
    "−": "$-$", "≤": r"$\leq$", "²": "$^2$", "<": r"$<$", ">": r"$>$", "≥": r"$\geq$",
}  # fmt: skip


def escaped(text: str) -> str:
    r"""Any text for LaTeX.

    >>> print(escaped("CAL(ε~U(0,12),α=α*,i=5) & 50 %"))
    CAL($\varepsilon$$\sim$U(0,12),$\alpha$=$\alpha$$^*$,i=5) \& 50 \%
    """
    return "".join(_LATEX.get(character, character) for character in text)


def latex(table: Table) -> str:
    """A table as LaTeX, for the booktabs package."""

    def written(cell: Cell) -> str:
        if cell.value is None:
            return escaped(cell.text)
        number = rf"\textbf{{{cell.number}}}" if cell.best else cell.number
        bounds = rf" {{\scriptsize ({escaped(cell.interval)})}}" if cell.interval else ""
        return number + bounds + (f" {escaped(cell.text)}" if cell.text else "")

    numeric = [any(line[n].value is not None for line in table.lines) for n in range(len(table.head))]
    words = rf"p{{{0.9 / len(table.head):.2f}\linewidth}}"  # sentences break into lines
    columns = "".join("r" if number else "l" if any(numeric) else words for number in numeric)
    rows = [" & ".join(written(cell) for cell in line) + r" \\" for line in table.lines]
    return "\n".join([
        r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering", rf"\caption{{{escaped(table.caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(map(escaped, table.head)) + r" \\", r"\midrule",
        *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip
