"""Tables of a run for papers: LaTeX, CSV or Markdown, with intervals, and the best defence in bold."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vidrobust.errors import InputError, RunError
from vidrobust.results.numbers.accuracy import evaluated, evaluated_split, evaluation_steps, pooled
from vidrobust.results.numbers.claims import claims
from vidrobust.results.numbers.costs import costs
from vidrobust.results.numbers.selection import CONTROLS, model_order, of_kind
from vidrobust.results.numbers.sensitivity import step_size_rows
from vidrobust.runs.directory import Run
from vidrobust.runs.files import write_atomic
from vidrobust.runs.rows import Row

Format = Literal["latex", "csv", "markdown"]
FORMATS = {"latex": ".tex", "csv": ".csv", "markdown": ".md"}


@dataclass(frozen=True)
class Cell:
    """A number with its interval, or a text."""

    text: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    clips: int | None = None
    best: bool = False
    form: str = ".1f"
    """How the number and its bounds are printed."""


@dataclass(frozen=True)
class Table:
    """A table before it is written."""

    name: str
    caption: str
    head: tuple[str, ...]
    lines: tuple[tuple[Cell, ...], ...]


def tables(run: str | Path, fmt: Format, out: str | Path | None = None) -> list[Path]:
    """Write the tables of a run: accuracies, step sizes, claims and costs.

    Args:
        run: the run directory.
        fmt: ``latex`` (needs the booktabs package), ``csv`` (a line for every number) or ``markdown``.
        out: the folder; ``tables`` in the run directory if not given.

    Returns:
        The files written; tables whose rows are missing are left out.

    Raises:
        InputError: there is no such format.
        RunError: the folder is not a run directory, has nothing to tabulate, or a file cannot be written.
    """
    if fmt not in FORMATS:
        raise InputError(f"there is no table format {fmt!r}. Choose one of: {', '.join(FORMATS)}.")
    opened = Run.open(run)
    made = run_tables(opened)
    if not made:
        raise RunError(f"{opened.path} has no rows to tabulate yet. Go on with the command that wrote it.")
    folder = Path(out) if out is not None else opened.path / "tables"
    write = {"latex": latex, "csv": comma_separated, "markdown": markdown}[fmt]
    paths = [folder / f"{table.name}{FORMATS[fmt]}" for table in made]
    for path, table in zip(paths, made, strict=True):
        write_atomic(path, write(table).encode())
    return paths


def run_tables(run: Run) -> list[Table]:
    """The tables that a run has rows for."""
    rows = run.rows()
    made = [_clean(rows), *(_robust(rows, steps) for steps in evaluation_steps(rows)), _step_sizes(rows)]
    if run.kind == "study":
        made.append(_claims(rows))
    made.append(_costs(run))
    return [table for table in made if table.lines]


def _clean(rows: Sequence[Row]) -> Table:
    found = of_kind(rows, "accuracy")
    splits = [split for split in ("train", "val", "test") if any(row["split"] == split for row in found)]
    lines = []
    for model in model_order(row["model"] for row in found):
        mine = [[row for row in found if (row["model"], row["split"]) == (model, split)] for split in splits]
        lines.append((Cell(model), *(_accuracy([r | {"correct": r["top1"]} for r in some]) for some in mine)))
    caption = "Accuracy (top-1, per cent) on clean clips, with 95 % intervals; seeds pooled. Bold: the best defence."
    return Table("clean", caption, ("Model", *splits), _with_best(lines))


def _robust(rows: Sequence[Row], steps: int) -> Table:
    split = evaluated_split(rows)
    chosen = evaluated(rows, steps, split=split)
    eps = sorted({row["eps"] for row in chosen})
    lines = [
        (Cell(model), *(_accuracy([r for r in chosen if (r["model"], r["eps"]) == (model, e)]) for e in eps))
        for model in model_order(row["model"] for row in chosen)
    ]
    caption = (
        f"Accuracy (per cent) on {split} clips under PGD with {steps} iterations, by ε in 1/255, with 95 % Wilson "
        "intervals over the clips; seeds pooled. Bold: the best defence."
    )
    return Table(f"robustness-i{steps}", caption, ("Model", *(f"ε={e:g}" for e in eps)), _with_best(lines))


def _accuracy(rows: Sequence[Row]) -> Cell:
    if not rows:
        return Cell("–")
    point = pooled(0, rows)
    low, high = point.interval
    return Cell(value=100 * point.accuracy, low=100 * low, high=100 * high, clips=point.clips)


def _with_best(lines: Sequence[tuple[Cell, ...]]) -> tuple[tuple[Cell, ...], ...]:
    """Mark the greatest number of each column among the defences, ties included."""
    defences = [line for line in lines if not line[0].text.startswith(CONTROLS)]
    width = len(lines[0]) if lines else 0
    top = [max((line[n].value or 0.0 for line in defences), default=None) for n in range(width)]
    return tuple(
        tuple(replace(cell, best=line in defences and cell.value is not None and cell.value == top[n])
              for n, cell in enumerate(line))
        for line in lines
    )  # fmt: skip


def _step_sizes(rows: Sequence[Row]) -> Table:
    found = step_size_rows(rows)
    steps, eps = (sorted({row[name] for row in found}) for name in ("steps", "eps"))
    cells = {
        (row["eps"], row["steps"]): Cell(
            "" if row["interior"] else "edge", row["alpha"], row["low"], row["high"], row["clips"], form=".2f"
        )
        for row in found
    }
    lines = tuple((Cell(f"{e:g}"), *(cells.get((e, i), Cell("–")) for i in steps)) for e in eps)
    caption = "Optimal step size α* (1/255) by ε (1/255) and iterations, with 95 % intervals from resampled clips."
    return Table("step-sizes", caption, ("ε", *(f"i={i}" for i in steps)), lines)


def _claims(rows: Sequence[Row]) -> Table:
    lines = tuple(
        (Cell(one.statement), Cell(one.verdict), Cell(one.statistic), Cell(one.reason), Cell(one.published))
        for one in claims(rows)
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


def _number(cell: Cell) -> str:
    return format(cell.value, cell.form)


def _interval(cell: Cell) -> str:
    return "" if cell.low is None or cell.high is None else f"{cell.low:{cell.form}}–{cell.high:{cell.form}}"


def markdown(table: Table) -> str:
    """A table as Markdown (GitHub's)."""

    def plain(text: str) -> str:
        return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text).replace("\n", " ")

    def written(cell: Cell) -> str:
        if cell.value is None:
            return plain(cell.text)
        number = f"**{_number(cell)}**" if cell.best else _number(cell)
        bounds = f" ({_interval(cell)})" if _interval(cell) else ""
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
        number = rf"\textbf{{{_number(cell)}}}" if cell.best else _number(cell)
        bounds = rf" {{\scriptsize ({escaped(_interval(cell))})}}" if _interval(cell) else ""
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
