"""What the verbs show in the terminal: accuracies that carry their intervals and clip counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table

from vidrobust.results.figures.certificates import certificate_tables
from vidrobust.results.figures.severity import corruption_tables
from vidrobust.results.numbers.accuracy import TOPS, Point, clean_point, intervals_of, pooled
from vidrobust.results.numbers.selection import of_kind

if TYPE_CHECKING:
    from vidrobust.results.figures.table import Table as FigureTable
    from vidrobust.runs.rows import Row


def rate(point: Point) -> str:
    """An accuracy as people must see it: with its interval and its clip count."""
    low, high = point.interval
    return f"{point.accuracy:.1%} [{low:.1%}, {high:.1%}] of {point.clips}"


def show_accuracy(rows: Sequence[Row], console: Console) -> None:
    """Print top-1 and top-k of each split."""
    found = {row["split"]: [clean_point([row], top) for top in TOPS] for row in of_kind(rows, "accuracy")}
    caption = intervals_of(point for both in found.values() for point in both)
    table = Table("split", "top-1 [95 %]", "top-k [95 %]", caption=caption)
    for row in of_kind(rows, "accuracy"):
        first, more = map(rate, found[row["split"]])
        table.add_row(row["split"], first, f"k={row['k']}: {more}")
    console.print(table)


def show_robustness(name: str, rows: Sequence[Row], console: Console) -> None:
    """Print the accuracy under each attack, of clips or of videos; ``rows`` has the manifests of the clips, too."""
    found = [row for kind in ("robustness", "views") for row in of_kind(rows, kind)]
    points = [pooled(row["eps"], [row]) for row in found]
    table = Table("attack", "α", "accuracy [95 %]", title=name, caption=intervals_of(points))
    for row, point in zip(found, points, strict=True):
        of = f", {row['level']}s by {row['views']} views" if row["kind"] == "views" else ""
        on = f" on each {row['attacked']}" if of and row["attacked"] != "none" else ""
        alpha = f"{row['alpha']:.3g}" if row["alpha"] else ""
        table.add_row(row["attack"] + on, alpha, rate(point) + of)
    console.print(table)


def show_certificates(rows: Sequence[Row], console: Console) -> None:
    """Print how many clips each certificate holds for, how far, and what attacks leave at each ε."""
    table = Table("certificate", "certified [95 %]", "right", "abstained", "mean radius", "draws")
    for row in of_kind(rows, "certificate"):
        held = "".join("1" if size > 0 else "0" for size in row["radius"])
        share = pooled(0.0, [{**row, "correct": held.count("1"), "survived": held}])
        mean = f"{sum(row['radius']) / row['clips']:.3g} ({row['unit']}, {row['norm']})"
        counts = (str(row[name]) for name in ("correct", "abstained"))
        table.add_row(row["certificate"], rate(share), *counts, mean, str(row["draws"]))
    console.print(table)
    if of_kind(rows, "robustness"):
        show_tables(certificate_tables(rows), console)


def show_corruptions(rows: Sequence[Row], console: Console) -> None:
    """Print what each convention of corruptions adds up to, and the accuracy under each kind by severity."""
    show_tables(corruption_tables(rows), console)


def show_tables(tables: Sequence[FigureTable], console: Console) -> None:
    """Print the tables of a figure."""
    for contents in tables:
        rendered = Table(*(Column(name, overflow="fold") for name in contents.head), title=contents.caption)
        for line in contents.lines:
            rendered.add_row(*(cell.text or f"{cell.number} [{cell.interval}]".removesuffix(" []") for cell in line))
        console.print(rendered)


def show_files(files: Sequence[Row], codec: str, console: Console) -> None:
    """Print how many adversarial clips survive as files."""
    table = Table("as", "wrong [95 %]", title=f"adversarial files ({codec})")
    names = {
        "unrounded": "clips, before rounding",
        "rounded": "frames of 8 bits",
        "decoded": "files, as the data pipeline decodes them",
    }

    def share(count: int) -> str:
        return rate(pooled(0.0, [{"seed": 0, "correct": count, "clips": len(files)}]))

    for name, words in names.items():
        table.add_row(words, share(sum(one[name] for one in files)))
    moved, windows = (sum(one[name] for one in files) for name in ("moved", "windows"))
    table.add_row("three windows of each file, from first to last", f"{moved} of {windows}")
    table.add_row("clean clips, through the same codec", share(sum(not one["clean"] for one in files)))
    console.print(table)


def printer(console: Console) -> Callable[[str], None]:
    """Says on the standard error what the user should know."""
    return lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)
