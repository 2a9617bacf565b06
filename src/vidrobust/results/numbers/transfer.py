"""Rows of transferred clips to matrices: accuracy of each target by the surrogate on which the clips were perturbed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vidrobust.results.numbers.accuracy import Point, evaluated_split
from vidrobust.results.numbers.attacks import point_of
from vidrobust.results.numbers.selection import derived, grouped, model_order, of_kind
from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class TransferMatrix:
    """How one attack transfers.

    Attributes:
        attack: its text.
        surrogates, targets: in the order in which they are shown; ensembles stand last.
        clean: accuracy of the targets without attack.
        points: accuracy by (surrogate, target), seeds pooled.
    """

    attack: str
    surrogates: tuple[str, ...]
    targets: tuple[str, ...]
    clean: dict[str, Point]
    points: dict[tuple[str, str], Point]


@derived
def transfer_matrices(rows: Iterable[Row]) -> list[TransferMatrix]:
    """A matrix for each attack, in the order of the rows."""
    found = of_kind(rows, "transfer")
    split = evaluated_split(found, "transfer")
    found = [row for row in found if row.get("split", "test") == split]
    targets = tuple(model_order(row["model"] for row in found))
    clean = {name: point_of(some) for name, some in grouped([r for r in found if r["eps"] == 0], "model").items()}
    matrices = []
    for attack, some in grouped([row for row in found if row["eps"] > 0], "attack").items():
        met = list(dict.fromkeys(row["surrogate"] for row in some))
        surrogates = tuple(name for name in targets if name in met) + tuple(name for name in met if name not in targets)
        points = {key: point_of(cell) for key, cell in grouped(some, "surrogate", "model").items()}
        matrices.append(TransferMatrix(attack, surrogates, targets, clean, points))
    return matrices
