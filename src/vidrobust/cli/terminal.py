"""What the verbs show in the terminal: accuracies that carry their intervals and clip counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from vidrobust.results.numbers.intervals import interval

if TYPE_CHECKING:
    from vidrobust.runs.rows import Row


def rate(correct: int, clips: int) -> str:
    """An accuracy as people must see it: with its interval and its clip count."""
    low, high = interval(correct, clips)
    return f"{correct / clips:.1%} [{low:.1%}, {high:.1%}] of {clips}"


def show_accuracy(rows: Sequence[Row], console: Console) -> None:
    """Print top-1 and top-k of each split."""
    table = Table("split", "top-1 [95 %]", "top-k [95 %]")
    for row in (row for row in rows if row["kind"] == "accuracy"):
        table.add_row(row["split"], rate(row["top1"], row["clips"]), f"k={row['k']}: {rate(row['top5'], row['clips'])}")
    console.print(table)


def show_robustness(name: str, rows: Sequence[Row], console: Console) -> None:
    """Print the accuracy under each attack, of clips or of videos."""
    table = Table("attack", "α", "accuracy [95 %]", title=name)
    for row in rows:
        of = f", {row['level']}s by {row['views']} views" if row["kind"] == "views" else ""
        on = f" on each {row['attacked']}" if of and row["attacked"] != "none" else ""
        alpha = f"{row['alpha']:.3g}" if row["alpha"] else ""
        table.add_row(row["attack"] + on, alpha, rate(row["correct"], row["clips"]) + of)
    console.print(table)


def show_certificates(rows: Sequence[Row], console: Console) -> None:
    """Print how many clips each certificate holds for, and how far."""
    table = Table("certificate", "certified [95 %]", "right", "abstained", "mean radius", "draws")
    for row in (row for row in rows if row["kind"] == "certificate"):
        held = sum(size > 0 for size in row["radius"])
        mean = f"{sum(row['radius']) / row['clips']:.3g} ({row['unit']}, {row['norm']})"
        counts = (str(row[name]) for name in ("correct", "abstained"))
        table.add_row(row["certificate"], rate(held, row["clips"]), *counts, mean, str(row["draws"]))
    console.print(table)


def printer(console: Console) -> Callable[[str], None]:
    """Says on the standard error what the user should know."""
    return lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)
