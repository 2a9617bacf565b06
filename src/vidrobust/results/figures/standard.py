"""Accuracy without attack, a table alone."""

from __future__ import annotations

from collections.abc import Sequence

from vidrobust.results.figures.figure import Figure
from vidrobust.results.figures.table import NONE, Cell, Table, accuracy_cell, with_best
from vidrobust.results.numbers.accuracy import TOPS, clean_point, intervals_of
from vidrobust.results.numbers.selection import grouped, model_order, of_kind
from vidrobust.runs.rows import Row


def clean_tables(rows: Sequence[Row]) -> list[Table]:
    """Top-1 and top-k of every model on each split."""
    found = of_kind(rows, "accuracy")
    if not found:
        return []
    met = {row["split"] for row in found}
    splits = [split for split in ("train", "val", "test") if split in met]
    k = max(row["k"] for row in found)
    cells, by_model = grouped(found, "model", "split"), grouped(found, "model")
    lines = []
    for model in model_order(by_model):
        seeds = len({row["seed"] for row in by_model[model]})
        counts = [_cell(cells.get((model, split), []), top) for split in splits for top in TOPS]
        lines.append((Cell(model), Cell(str(seeds)), *counts))
    head = ["Model", "Seeds", *(f"{split} top-{top}" for split in splits for top in (1, k))]
    points = [clean_point(some, top) for some in cells.values() for top in TOPS]
    caption = f"Accuracy (%) on clean clips, with {intervals_of(points)}. Bold: the best defence."
    return [Table("clean", caption, tuple(head), with_best(lines))]


def _cell(rows: Sequence[Row], top: str) -> Cell:
    return accuracy_cell(clean_point(rows, top)) if rows else NONE


STANDARD_FIGURE = Figure(
    "standard",
    "Standard training, and every model without attack",
    "Standard",
    "accuracy",
    "Top-1 and top-k of the centre clips of all seeds.",
    None,
    clean_tables,
    step="standard accuracy",
)
