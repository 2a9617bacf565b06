"""A table of a figure's numbers, before it becomes HTML, LaTeX, CSV, Markdown or lines of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vidrobust.results.numbers.accuracy import Point
from vidrobust.results.numbers.selection import CONTROLS


@dataclass(frozen=True)
class Cell:
    """A number with its interval and its clips, or a text.

    Attributes:
        text: instead of a number, or a note beside it.
        value, low, high: the number and its 95 % interval.
        clips: how many clips (or what ``of`` says) stand behind the number.
        correct: how many of them were right, of an accuracy.
        of: what was counted.
        best: is it the best of its column?
        form: how the number and its bounds are printed.
    """

    text: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    clips: int | None = None
    correct: int | None = None
    of: str = "clips"
    best: bool = False
    form: str = ".1f"

    @property
    def number(self) -> str:
        """The number as text."""
        return "" if self.value is None else format(self.value, self.form)

    @property
    def interval(self) -> str:
        """The interval as text; empty where there is none."""
        return "" if self.low is None or self.high is None else f"{self.low:{self.form}}–{self.high:{self.form}}"


NONE = Cell("–")
"""Not measured."""


@dataclass(frozen=True)
class Table:
    """Numbers with their intervals, a line each.

    Attributes:
        name: of its file.
        caption: what the numbers are, of what, and what their intervals are.
        head: the columns.
        lines: the first cell of each is its name.
        stop: of the figure's slider where the table has the numbers that are drawn; empty where it is for all stops.
        fold: what a page calls it where it folds it away below a drawing.
    """

    name: str
    caption: str
    head: tuple[str, ...]
    lines: tuple[tuple[Cell, ...], ...]
    stop: str = ""
    fold: str = "The numbers as a table"


def accuracy_cell(point: Point | None, of: str = "clips") -> Cell:
    """An accuracy in per cent; clips that survived without having been attacked are named beside it."""
    if point is None:
        return NONE
    low, high = point.interval
    note = f"{point.unattacked} not attacked" if point.unattacked else ""
    return Cell(note, 100 * point.accuracy, 100 * low, 100 * high, point.clips, point.correct, of)


def with_best(lines: Sequence[tuple[Cell, ...]]) -> tuple[tuple[Cell, ...], ...]:
    """Mark the greatest number of each column among the defences, ties included; a control is never the best."""
    defences = [line for line in lines if not line[0].text.startswith(CONTROLS)]
    width = len(lines[0]) if lines else 0
    top = [max((line[n].value or 0.0 for line in defences), default=None) for n in range(width)]
    return tuple(
        tuple(
            replace(
                cell, best=cell.value is not None and cell.value == top[n] and not line[0].text.startswith(CONTROLS)
            )
            for n, cell in enumerate(line)
        )
        for line in lines
    )
