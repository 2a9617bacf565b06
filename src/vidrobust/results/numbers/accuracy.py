"""Rows to accuracies with what is behind them: points, and curves over ε or over the epochs.

All ε and α are in units of 1/255; accuracies are in [0, 1] and never without their clips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vidrobust.results.numbers.intervals import interval
from vidrobust.results.numbers.selection import grouped, model_order, of_kind, plain_pgd
from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class Point:
    """An accuracy with what is behind it, seeds pooled."""

    x: float
    """ε (1/255) or the epoch."""
    correct: int
    clips: int
    per_seed: tuple[tuple[int, float], ...]
    """(seed, accuracy)."""

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.correct / self.clips

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval over the pooled clips."""
        return interval(self.correct, self.clips)


@dataclass(frozen=True)
class Curve:
    """Accuracies of one model: against ε under so many steps of PGD, or against the epoch."""

    model: str
    points: tuple[Point, ...]
    steps: int = 0
    """Iterations of the evaluating attack."""
    split: str = "test"
    eps: float | None = None
    """The ε of a curve over epochs."""


def pooled(x: float, rows: Sequence[Row]) -> Point:
    """Pool rows of several seeds into one point."""
    per_seed = tuple(sorted((row["seed"], row["correct"] / row["clips"]) for row in rows))
    return Point(x, sum(row["correct"] for row in rows), sum(row["clips"] for row in rows), per_seed)


def evaluation_steps(rows: Iterable[Row], kind: str = "robustness") -> list[int]:
    """The iterations of PGD that models were evaluated under, ascending."""
    return sorted({row["steps"] for row in of_kind(rows, kind) if row["eps"] > 0 and plain_pgd(row)})


def evaluated(rows: Iterable[Row], steps: int, kind: str = "robustness", split: str = "test") -> list[Row]:
    """Rows under PGD with so many steps, and the clean ones (ε = 0): one for each model, seed and ε.

    A model that was evaluated more than once counts with the largest set of clips, and there with the strongest attack.
    """
    chosen = [
        row
        for row in of_kind(rows, kind)
        if row.get("split", "test") == split and plain_pgd(row) and (row["eps"] == 0 or row["steps"] == steps)
    ]
    most: dict[tuple, int] = defaultdict(int)
    for row in chosen:
        most[_who(row)] = max(most[_who(row)], row["clips"])
    kept: dict[tuple, Row] = {}
    for row in chosen:
        key = (*_who(row), row["eps"])
        if row["clips"] == most[_who(row)] and (key not in kept or row["correct"] < kept[key]["correct"]):
            kept[key] = row
    return list(kept.values())


def _who(row: Row) -> tuple:
    return row["model"], row["seed"], row.get("contrast")


def evaluated_split(rows: Iterable[Row], kind: str = "robustness") -> str:
    """The split that models were evaluated on: test clips where there are any."""
    splits = list(dict.fromkeys(row.get("split", "test") for row in of_kind(rows, kind)))
    return "test" if "test" in splits or not splits else splits[0]


def robustness_curves(rows: Iterable[Row]) -> list[Curve]:
    """Accuracy against ε: one curve for every model and every number of evaluating steps, seeds pooled."""
    rows, curves = list(rows), []
    split = evaluated_split(rows)
    for steps in evaluation_steps(rows):
        by_model = grouped(evaluated(rows, steps, split=split), "model")
        for model in model_order(by_model):
            by_eps = grouped(by_model[model], "eps")
            curves.append(Curve(model, tuple(pooled(eps, by_eps[eps]) for eps in sorted(by_eps)), steps, split))
    return curves


def gap_curves(rows: Iterable[Row]) -> list[Curve]:
    """Accuracy against the epoch, for every model, ε and split (``train``, ``val``), seeds pooled."""
    by_curve = defaultdict(list)
    for row in of_kind(rows, "gap"):
        by_curve[row["model"], row["eps"], row["split"]].append(row)
    curves = []
    for (model, eps, split), chosen in by_curve.items():
        by_epoch = grouped(chosen, "epoch")
        points = tuple(pooled(epoch, by_epoch[epoch]) for epoch in sorted(by_epoch))
        curves.append(Curve(model, points, chosen[0]["steps"], split, eps))
    return sorted(curves, key=lambda curve: (curve.model, curve.eps or 0.0, curve.split))
