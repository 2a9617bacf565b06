"""A run in the terminal: the answers of the page as tables and sparklines; plain text where there is no terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidrobust.errors import RunError
from vidrobust.results.numbers.accuracy import evaluated, evaluated_split, main_steps, pooled, share
from vidrobust.results.numbers.claims import claims
from vidrobust.results.numbers.costs import costs
from vidrobust.results.numbers.masking import masking_flags
from vidrobust.results.numbers.selection import model_order, of_kind
from vidrobust.results.numbers.sensitivity import step_size_rows, surface, surface_eps
from vidrobust.results.pages.overview import headline, lacks
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import Row

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


BARS = "▁▂▃▄▅▆▇█"
_COLOURS = {"reproduced": "green", "not reproduced": "red", "undecided": "yellow"}


def sparkline(values: Sequence[float], low: float | None = None, high: float | None = None) -> str:
    """Numbers as a row of bars.

    Args:
        values: one bar each.
        low: the value of the lowest bar; the least value if not given.
        high: the value of the highest; the greatest value if not given.

    >>> sparkline([0, 1, 2, 3, 4, 5, 6, 7])
    '▁▂▃▄▅▆▇█'
    >>> sparkline([5, 5]), sparkline([])
    ('▁▁', '')
    """
    if not values:
        return ""
    least = min(values) if low is None else low
    span = (max(values) if high is None else high) - least
    return "".join(BARS[min(7, max(0, int(8 * (value - least) / span)))] if span > 0 else BARS[0] for value in values)


def show(run: str | Path, console: Console | None = None) -> None:
    """Print what a run found: accuracies, claims, checks, curves and cost.

    Args:
        run: the run directory; one that is not finished shows what it has.
        console: where to; what is not a terminal gets tables without colours and frames.

    Raises:
        RunError: the folder is not a run directory, or damaged.
    """
    opened, console = Run.open(run), console or _console()
    rows = opened.rows()
    data = next(iter(of_kind(rows, "dataset")), None)
    about = (
        f"{data['name']}, {len(data['classes'])} classes, {data['clips']['test']} test clips" if data else "no data yet"
    )
    _print(console, f"{opened.path.resolve().name}: {opened.kind}; {about}")
    found = headline(rows)
    if found:
        steps, eps, ranked = found
        best = next((curve for curve in ranked if not curve.model.startswith(("standard", "single"))), ranked[0])
        point = next(point for point in best.points if point.x == eps)
        _print(
            console, f"most robust at ε={eps:g} under PGD(i={steps}): {best.model}, {share(point.correct, point.clips)}"
        )
    for lacking in lacks(opened, rows):
        _print(console, f"missing: {lacking}")
    parts = (_accuracies(rows, console), _claims(opened, rows, console), _checks(rows, console), _curves(rows, console))
    for title, table in (part for part in parts if part is not None):
        console.print()
        _print(console, title)
        if table.row_count:
            console.print(table)
    spent = costs(opened)
    if spent:
        gradients, minutes = sum(one.gradients for one in spent), sum(one.seconds for one in spent) / 60
        _print(console, f"cost: {gradients:,} gradients of single clips, {minutes:.1f} minutes of work")


def list_runs(folder: str | Path, console: Console | None = None) -> None:
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
        _print(console, f"no runs in {where}")
        return
    console.print(table)


def _listed(path: Path, where: Path) -> list[str]:
    name = str(path.relative_to(where)) if path != where else str(path)
    try:
        run = Run.open(path)
        rows = run.rows()
        models = len({row["model"] for row in of_kind(rows, "accuracy") + of_kind(rows, "robustness")})
        version = str(run.provenance.get("versions", {}).get("vidrobust", "?"))
        return [
            _plain(name),
            run.kind,
            version,
            str(models),
            str(len(rows)),
            _plain(", ".join(lacks(run, rows)) or "–"),
        ]
    except RunError as error:
        return [_plain(name), "damaged", "", "", "", _plain(str(error))]


# ------------------------------------------------------------------------------------------------------------ parts


def _console() -> Console:
    from rich.console import Console

    return Console(emoji=False)


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)


def _plain(text: str) -> str:
    """Text in which nothing is markup, and nothing moves the cursor."""
    from rich.markup import escape

    return escape("".join(character if character.isprintable() else "�" for character in text))


def _table(console: Console, *head: str) -> Table:
    from rich import box
    from rich.table import Table

    frame = box.SIMPLE_HEAD if console.is_terminal else None
    table = Table(box=frame, show_edge=False, pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold", no_wrap=name == "Model" and console.width >= 80)
    return table


def _accuracies(rows: Sequence[Row], console: Console) -> tuple[str, Table] | None:
    steps = main_steps(rows)
    if steps is None:
        return None
    split = evaluated_split(rows)
    chosen = evaluated(rows, steps, split=split)
    eps = sorted({row["eps"] for row in chosen})
    sizes = sorted({pooled(0, [r for r in chosen if (r["model"], r["eps"]) == one]).clips
                    for one in {(r["model"], r["eps"]) for r in chosen}})  # fmt: skip
    clips = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    title = f"Accuracy (%) on {clips} {split} clips under PGD(i={steps}), by ε; 95 % intervals, seeds pooled"
    table = _table(console, "Model", *(f"ε={e:g}" for e in eps), "Curve")
    for model in model_order(row["model"] for row in chosen):
        found = [[row for row in chosen if (row["model"], row["eps"]) == (model, e)] for e in eps]
        points = [pooled(e, some) if some else None for e, some in zip(eps, found, strict=True)]
        cells = [
            f"{100 * p.accuracy:.0f}\n{100 * p.interval[0]:.0f}–{100 * p.interval[1]:.0f}" if p else "–" for p in points
        ]
        curve = sparkline([p.accuracy for p in points if p], 0, 1)
        table.add_row(_plain(model), *cells, curve)
    return title, table


def _claims(run: Run, rows: Sequence[Row], console: Console) -> tuple[str, Table] | None:
    judged = [one for one in claims(rows) if run.kind == "study" or one.value is not None]
    if not judged:
        return None
    table = _table(console, "Claim", "Verdict", "Why")
    for one in judged:
        colour = _COLOURS[one.verdict]
        table.add_row(_plain(one.statement), f"[{colour}]{one.verdict}[/{colour}]", _plain(one.reason))
    return "Claims of the slides", table


def _checks(rows: Sequence[Row], console: Console) -> tuple[str, Table] | None:
    flags = masking_flags(rows)
    if not flags:
        return None
    failed = [flag for flag in flags if not flag.passed]
    title = f"Checks for masked gradients: {len(flags) - len(failed)} of {len(flags)} passed"
    table = _table(console, "Model", "Not passed", "Measured")
    for flag in failed:
        table.add_row(_plain(flag.model), flag.check, _plain(flag.sentence))
    return title, table


def _curves(rows: Sequence[Row], console: Console) -> tuple[str, Table] | None:
    """Sensitivity, α* and training as sparklines."""
    table = _table(console, "What", "Curve", "From", "To")

    def add(what: str, values: Sequence[float], form: str) -> None:
        if values:
            table.add_row(_plain(what), sparkline(values), format(values[0], form), format(values[-1], form))

    for eps in surface_eps(rows):
        data = surface(rows, eps)
        add(f"loss over α at ε={eps:g}, i={data.steps[-1]}", data.loss[:, -1].tolist(), ".2f")
    sizes = step_size_rows(rows)
    for steps in sorted({row["steps"] for row in sizes}):
        mine = sorted((row for row in sizes if row["steps"] == steps), key=lambda row: row["eps"])
        add(f"α* over ε, i={steps}", [row["alpha"] for row in mine], ".2f")
    epochs = of_kind(rows, "epoch")
    for model in model_order(row["model"] for row in epochs):
        mine = [row for row in epochs if row["model"] == model]
        seed = min(row["seed"] for row in mine)
        losses = [row["loss"] for row in sorted(mine, key=lambda row: row["epoch"]) if row["seed"] == seed]
        add(f"training loss, {model}, seed {seed}", losses, ".2f")
    return ("Curves", table) if table.row_count else None
