"""Accuracies from rows of several clips per video: of clips and of whole videos, attacked clip by clip or as a whole.

Such rows are of the kind ``views`` (:func:`vidrobust.evaluation.videos.evaluate_views`). What they count depends on
their level, so every accuracy here says whether it is of clips or of videos.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vidrobust.results.numbers.accuracy import Point, evaluated, evaluated_split, evaluation_steps, pooled
from vidrobust.results.numbers.attacks import CLEAN, attack_label, point_of
from vidrobust.results.numbers.selection import derived, grouped, model_order, of_kind
from vidrobust.runs.rows import Row
from vidrobust.runs.wording import counted

Way = tuple[str, str]
"""What is counted (clip, video), and what the attack saw (clip, video)."""

WAYS: dict[Way, str] = {
    ("clip", "clip"): "clips",
    ("video", "clip"): "videos, each clip attacked",
    ("video", "video"): "videos, the answer attacked",
}


@dataclass(frozen=True)
class Viewing:
    """How videos were looked at.

    >>> str(Viewing(10, "logits")), str(Viewing("sliding", None))
    ('10 clips per video, mean logits', 'sliding clips')
    """

    views: int | str
    average: str | None
    """None where no video was counted."""

    def __str__(self) -> str:
        several = f"{counted(self.views, 'clip')} per video" if isinstance(self.views, int) else "sliding clips"
        return several + (f", mean {self.average}" if self.average else "")


@derived
def viewings(rows: Iterable[Row]) -> dict[Viewing, list[Row]]:
    """The ``views`` rows of one split by how videos were looked at; those of clips stand in every average over them."""
    found = of_kind(rows, "views")
    split = evaluated_split(found, "views")
    found = [row for row in found if row.get("split", "test") == split]
    averages: dict[int | str, set[str]] = defaultdict(set)
    for row in found:
        averages[row["views"]] |= {row["average"]} - {None}
    return {
        Viewing(views, average): [r for r in found if r["views"] == views and r["average"] in (average, None)]
        for views, several in sorted(averages.items(), key=lambda item: str(item[0]).zfill(9))
        for average in sorted(several) or [None]
    }


def by_way(rows: Iterable[Row]) -> dict[tuple[str, Way], list[Row]]:
    """Rows of one viewing by model and way, in the order of both; clean rows stand in every way of their level."""
    found = grouped(rows, "model", "level", "attacked")
    return {
        (model, (level, attacked)): some
        for model in model_order(model for model, _, _ in found)
        for level, attacked in WAYS
        if (some := found.get((model, level, "none"), []) + found.get((model, level, attacked), []))
    }


def view_steps(rows: Iterable[Row]) -> list[int]:
    """The iterations of PGD that the rows of a viewing were made under; 0 alone if all are clean."""
    return evaluation_steps(rows, "views") or [0]


def view_points(rows: Sequence[Row], steps: int) -> tuple[Point, ...]:
    """Accuracy against ε under PGD with so many steps, of the rows of one viewing, model and way; seeds pooled."""
    by_eps = grouped(evaluated(rows, steps, "views", evaluated_split(rows, "views")), "eps")
    return tuple(pooled(eps, by_eps[eps]) for eps in sorted(by_eps))


def view_cells(rows: Sequence[Row]) -> dict[str, Point]:
    """Accuracy under each attack, PGD or not, of the rows of one viewing, model and way: ``{attack: point}``.

    Seeds are pooled; of an attack that was made more than once, the largest set counts.
    """
    cells = grouped((row | {"": attack_label(row)} for row in rows), "")
    return {label: point_of(cells[label]) for label in sorted(cells, key=lambda label: label != CLEAN)}
