"""Rows to accuracies with what is behind them: points, and curves over ε or over the epochs.

All ε and α are in units of 1/255; accuracies are in [0, 1] and never without their clips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vidrobust.results.numbers.intervals import interval
from vidrobust.results.numbers.selection import derived, grouped, model_order, of_kind, plain
from vidrobust.runs.rows import Row
from vidrobust.runs.wording import counted


@dataclass(frozen=True)
class Point:
    """An accuracy with what is behind it, seeds pooled."""

    x: float
    """ε (1/255) or the epoch."""
    correct: int
    clips: int
    per_seed: tuple[tuple[int, float], ...]
    """(seed, accuracy)."""
    unattacked: int = 0
    """Clips that survived without having been attacked: their gradient was zero or not finite at every step."""

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


def accuracy_text(correct: int, clips: int) -> str:
    """An accuracy as people must see it: with its 95 % interval and its clips.

    >>> accuracy_text(60, 100)
    '60.0 % (50.2 to 69.1, 100 clips)'
    """
    low, high = interval(correct, clips)
    return f"{100 * correct / clips:.1f} % ({100 * low:.1f} to {100 * high:.1f}, {counted(clips, 'clip')})"


def pooled(x: float, rows: Sequence[Row]) -> Point:
    """Pool rows of several seeds into one point."""
    per_seed = tuple(sorted((row["seed"], row["correct"] / row["clips"]) for row in rows))
    correct, clips = sum(row["correct"] for row in rows), sum(row["clips"] for row in rows)
    return Point(x, correct, clips, per_seed, sum(row.get("no_gradient", 0) for row in rows))


def strongest(rows: Iterable[Row]) -> Row:
    """Of several measurements of the same thing the one that counts: most clips, and there fewest that are right."""
    return min(rows, key=lambda row: (-row["clips"], row["correct"]))


@derived
def evaluation_steps(rows: Iterable[Row], kind: str = "robustness") -> list[int]:
    """The iterations of PGD that models were evaluated under, ascending."""
    return sorted({row["steps"] for row in of_kind(rows, kind) if row["eps"] > 0 and plain(row)})


@derived
def main_steps(rows: Iterable[Row], kind: str = "robustness") -> int | None:
    """The iterations of PGD under which most models were evaluated, of several such the most; None if there are none.

    One model evaluated under more iterations does not stand for all.
    """
    models = defaultdict(set)
    for row in of_kind(rows, kind):
        if row["eps"] > 0 and plain(row):
            models[row["steps"]].add(row["model"])
    return max(models, key=lambda steps: (len(models[steps]), steps), default=None)


@derived
def evaluated(rows: Iterable[Row], steps: int, kind: str = "robustness", split: str = "test") -> list[Row]:
    """Rows under PGD with so many steps, and the clean ones (ε = 0): one for each model, seed and ε.

    Where a model was evaluated more than once at an ε, the largest set of clips counts, and there the strongest attack.
    """
    clean, by_steps = evaluations(rows, kind, split)
    return one_each(clean + by_steps.get(steps, []))


@derived
def evaluations(
    rows: Iterable[Row], kind: str = "robustness", split: str = "test"
) -> tuple[list[Row], dict[int, list[Row]]]:
    """The clean rows of a split, and those under PGD by the number of iterations, ascending."""
    found = [row for row in of_kind(rows, kind) if row.get("split", "test") == split and plain(row)]
    by_steps = grouped((row for row in found if row["eps"] > 0), "steps")
    return [row for row in found if row["eps"] == 0], {steps: by_steps[steps] for steps in sorted(by_steps)}


def one_each(rows: Iterable[Row]) -> list[Row]:
    """Of each model, seed, contrast and ε the measurement that counts."""
    return [strongest(some) for some in grouped(rows, "model", "seed", "contrast", "eps").values()]


@derived
def evaluated_split(rows: Iterable[Row], kind: str = "robustness") -> str:
    """The split that models were evaluated on: test clips where there are any."""
    splits = list(dict.fromkeys(row.get("split", "test") for row in of_kind(rows, kind)))
    return "test" if "test" in splits or not splits else splits[0]


@derived
def robustness_curves(rows: Iterable[Row]) -> list[Curve]:
    """Accuracy against ε: one curve for every model and every number of evaluating steps, seeds pooled."""
    rows = of_kind(rows, "robustness")
    split, curves = evaluated_split(rows), []
    found, by_steps = evaluations(rows, split=split)
    clean = grouped(found, "model")
    for steps, attacked in by_steps.items():
        by_model = grouped(attacked, "model")
        for model in model_order(by_model):
            by_eps = grouped(one_each(clean.get(model, []) + by_model[model]), "eps")
            curves.append(Curve(model, tuple(pooled(eps, by_eps[eps]) for eps in sorted(by_eps)), steps, split))
    return curves


@derived
def gap_curves(rows: Iterable[Row]) -> list[Curve]:
    """Accuracy against the epoch, for every model, ε and split (``train``, ``val``), seeds pooled.

    Where a model was watched under several numbers of iterations, the most count.
    """
    by_curve = grouped((row for row in of_kind(rows, "gap") if plain(row)), "model", "eps", "split")
    curves = []
    for (model, eps, split), found in by_curve.items():
        steps = max(row["steps"] for row in found)
        by_epoch = grouped((row for row in found if row["steps"] == steps), "epoch")
        points = tuple(pooled(epoch, _one_a_seed(by_epoch[epoch])) for epoch in sorted(by_epoch))
        curves.append(Curve(model, points, steps, split, eps))
    return sorted(curves, key=lambda curve: (curve.model, curve.eps or 0.0, curve.split))


def _one_a_seed(rows: Iterable[Row]) -> list[Row]:
    return [strongest(some) for some in grouped(rows, "seed").values()]
