"""What the verbs show in the terminal: progress, and accuracies that carry their intervals and clip counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from vidrobust.analysis import interval
from vidrobust.progress import Display

if TYPE_CHECKING:
    from vidrobust.evaluation import Progress
    from vidrobust.runs import Row


@contextmanager
def counting(total: int, console: Console) -> Iterator[Progress]:
    """A progress display over ``total`` clip-gradients."""
    spent = 0
    with Display(total, console) as display:

        def progress(gradients: int) -> None:
            nonlocal spent
            spent += gradients
            display.spent(spent)

        yield progress


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
    """Print the accuracy under each attack."""
    table = Table("attack", "α", "accuracy [95 %]", title=name)
    for row in rows:
        table.add_row(row["attack"], f"{row['alpha']:.3g}" if row["eps"] else "", rate(row["correct"], row["clips"]))
    console.print(table)
