"""Rows of attacks without gradients to success against queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vidrobust.results.numbers.accuracy import Point, evaluated_split, pooled
from vidrobust.results.numbers.attacks import attack_label
from vidrobust.results.numbers.selection import CLIP_SOURCES, derived, grouped, model_order, of_kind
from vidrobust.runs.rows import Row


@derived
def counted_queries(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """The rows that count their queries, by model and attack, of the split that was evaluated."""
    every = of_kind(rows, "robustness")
    split = evaluated_split(every)
    found = [row for row in every if any(row.get("queries", ())) and row.get("split", "test") == split]
    cells = grouped((row | {"": attack_label(row)} for row in found if "survived" in row), "model", "")
    order = {model: place for place, model in enumerate(model_order(row["model"] for row in found))}
    return dict(sorted(cells.items(), key=lambda cell: order[cell[0][0]]))


def successes(rows: Iterable[Row]) -> list[int]:
    """The queries after which each broken clip broke, ascending."""
    return sorted(
        queries
        for row in rows
        for queries, survived in zip(row["queries"], row["survived"], strict=True)
        if queries and survived == "0"
    )


def broken_within(rows: Sequence[Row], queries: int) -> Point:
    """Of the clips that were attacked, the share broken after so many queries, seeds pooled.

    >>> row = {"seed": 0, "clips": 4, "survived": "0010", "queries": [5, 0, 50, 20]}
    >>> [broken_within([row], queries).accuracy for queries in (1, 5, 20)]
    [0.0, 0.3333333333333333, 0.6666666666666666]
    """
    return pooled(queries, [_broken(row, queries) for row in rows])


def _broken(row: Row, queries: int) -> Row:
    """A row of the attacked clips, with a 1 for each that was broken."""
    kept = [place for place, spent in enumerate(row["queries"]) if spent]
    broken = "".join("01"[row["survived"][place] == "0" and row["queries"][place] <= queries] for place in kept)
    found: Row = {"seed": row["seed"], "clips": len(kept), "survived": broken, "correct": broken.count("1")}
    return found | ({CLIP_SOURCES: tuple(row[CLIP_SOURCES][place] for place in kept)} if CLIP_SOURCES in row else {})
