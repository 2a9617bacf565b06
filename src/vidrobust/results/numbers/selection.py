"""Which rows a number is made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from vidrobust.errors import VidrobustError
from vidrobust.runs.rows import Row

CONTROLS = ("standard", "single frame")
"""Models that are not a defence; listed before the defences."""


class MissingRowsError(VidrobustError):
    """A figure or a statistic needs rows that the run does not (yet) have."""


def of_kind(rows: Iterable[Row], kind: str) -> list[Row]:
    """Rows of one kind, without those that no clip stands behind."""
    return [row for row in rows if row["kind"] == kind and row.get("clips", 1)]


def model_order(models: Iterable[str]) -> list[str]:
    """Each model once: the controls first, then in the order in which they were met."""
    met = list(dict.fromkeys(models))
    return [name for name in CONTROLS if name in met] + [name for name in met if name not in CONTROLS]


def plain_pgd(row: Row) -> bool:
    """Is a row of accuracy about no attack, or about L∞ PGD on the whole clip? Only these make curves over ε."""
    attack = row.get("attack") or "none"
    if "threat=" in attack:
        return attack.startswith("PGD(") and "Linf()" in attack and "support=WholeClip()" in attack
    return attack == "none" or attack.startswith("PGD(")


def grouped(rows: Iterable[Row], field: str) -> dict[Any, list[Row]]:
    """Rows by the value of a field, in the order in which the values were met."""
    found = defaultdict(list)
    for row in rows:
        found[row[field]].append(row)
    return found
