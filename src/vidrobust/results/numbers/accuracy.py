"""From rows to accuracies with their clips and intervals: points, and curves over ε or over the epochs.

All ε and α are in units of 1/255; accuracies are in [0, 1] and never without their clips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from vidrobust.results.numbers.intervals import interval
from vidrobust.results.numbers.outcomes import clustered
from vidrobust.results.numbers.selection import (
    PLAIN,
    WORST_CASE,
    attack_setting,
    derived,
    grouped,
    model_order,
    of_kind,
    plain,
)
from vidrobust.results.numbers.statistics import FEW, Estimate
from vidrobust.runs.rows import Row
from vidrobust.runs.wording import counted


@dataclass(frozen=True)
class Point:
    """An accuracy with its clips and interval, seeds pooled."""

    x: float
    """ε (1/255) or the epoch."""
    correct: int
    clips: int
    per_seed: tuple[tuple[int, float], ...]
    """(seed, accuracy)."""
    unattacked: int = 0
    """Clips that survived without having been attacked: their gradient was zero or not finite at every step."""
    rows: tuple[Row, ...] = field(default=(), repr=False, compare=False)
    """What it was pooled from."""

    @property
    def retried(self) -> int:
        """Clips that had no gradient under cross-entropy, and were attacked again under the margin loss."""
        return sum(row["retried"]["clips"] for row in self.rows if "retried" in row)

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.correct / self.clips

    @cached_property
    def estimate(self) -> Estimate | None:
        """The accuracy over sources and seeds; None where rows of earlier versions do not tell their clips' sources."""
        return clustered(self.rows)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval over sources and seeds; else Wilson's over the pooled clips, as if each were of its own."""
        found = self.estimate
        return interval(self.correct, self.clips) if found is None else (found.low, found.high)

    @property
    def over(self) -> str:
        """What the interval is over: sources and seeds, or clips."""
        return "clips" if self.estimate is None else self.estimate.over

    def __str__(self) -> str:
        """The accuracy as people must see it: with its interval, its clips and what the interval is over.

        >>> str(Point(8, 60, 100, ((0, 0.6),)))
        '60.0 % (50.2 to 69.1 over clips; 100 clips)'
        """
        low, high = self.interval
        warning = "; cannot be trusted" if self.estimate is not None and not self.estimate.trusted else ""
        bounds = f"{100 * low:.1f} to {100 * high:.1f} over {self.over}{warning}"
        return f"{100 * self.accuracy:.1f} % ({bounds}; {counted(self.clips, 'clip')})"


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


def intervals_of(points: Iterable[Point]) -> str:
    """What the intervals of accuracies are, and which clips were attacked twice, for a caption.

    >>> intervals_of([Point(8, 60, 100, ((0, 0.6),))])
    "95 % Wilson intervals over the clips, each as if of a source of its own: the rows do not say their clips' sources"
    """
    points = list(points)
    return _intervals([point.estimate for point in points]) + _attacked_again(points)


def _attacked_again(points: Sequence[Point]) -> str:
    most = max(points, key=lambda point: point.retried, default=None)
    if most is None or not most.retried:
        return ""
    return (
        f". Clips without a gradient under cross-entropy, up to {most.retried} of {most.clips}, were attacked again "
        "under the margin loss"
    )


def _intervals(estimates: Sequence[Estimate | None]) -> str:
    found = [one for one in estimates if one is not None]
    if not found:
        return (
            "95 % Wilson intervals over the clips, each as if of a source of its own: the rows do not say their clips' "
            "sources"
        )
    sources, seeds = ({getattr(one, what) for one in found} for what in ("sources", "seeds"))
    text = f"95 % intervals over {_range(sources, 'source')}"
    text += f" and {_range(seeds, 'seed')}" if max(seeds) > 1 else ""
    text += ", those of rows without sources over clips" if len(found) < len(estimates) else ""
    return text + (f". {untrusted(min(sources))}" if min(sources) < FEW else "")


def untrusted(sources: int) -> str:
    """The caveat for intervals over few sources."""
    return f"With fewer than {FEW} sources ({sources}) an interval cannot be trusted"


def _range(counts: set[int], what: str) -> str:
    low, high = min(counts), max(counts)
    return counted(low, what) if low == high else f"{low} to {high} {what}s"


def pooled(x: float, rows: Sequence[Row]) -> Point:
    """Pool rows of several seeds into one point."""
    per_seed = tuple(sorted((row.get("seed", 0), row["correct"] / row["clips"]) for row in rows))
    correct, clips = sum(row["correct"] for row in rows), sum(row["clips"] for row in rows)
    return Point(x, correct, clips, per_seed, sum(row.get("no_gradient", 0) for row in rows), tuple(rows))


def counted_point(x: float, rows: Sequence[Row], counts: Sequence[int], name: str) -> Point:
    """Pool one of several counts of rows, whose digits per clip are those that ``survived`` has under a name."""
    found = []
    for row, correct in zip(rows, counts, strict=True):
        one = {**row, "correct": correct, "survived": row.get("survived", {}).get(name)}
        if one["survived"] is None:
            del one["survived"]
        found.append(one)
    return pooled(x, found)


def trajectory_point(rows: Sequence[Row], steps: int) -> Point:
    """Pool ``trajectory`` rows of one ε and α into the accuracy after so many steps."""
    return counted_point(steps, rows, [row["correct"][steps] for row in rows], str(steps))


TOPS = {"top1": "right", "top5": "within"}
"""The counts of an ``accuracy`` row, and the digits per clip of each."""


def clean_point(rows: Sequence[Row], top: str) -> Point:
    """Pool ``accuracy`` rows of several seeds into one point: ``top1``, or ``top5`` for the first ``k``."""
    digits = TOPS[top]
    return pooled(
        0, [row | {"correct": row[top]} | ({"survived": row[digits]} if digits in row else {}) for row in rows]
    )


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
    return clean_and_attacked([row for row in of_kind(rows, kind) if row.get("split", "test") == split and plain(row)])


def clean_and_attacked(rows: Sequence[Row]) -> tuple[list[Row], dict[int, list[Row]]]:
    """The clean ones of rows, and the others by the number of iterations, ascending."""
    by_steps = grouped((row for row in rows if row["eps"] > 0), "steps")
    return [row for row in rows if row["eps"] == 0], {steps: by_steps[steps] for steps in sorted(by_steps)}


@derived
def worst_case_rows(rows: Iterable[Row]) -> list[Row]:
    """Rows on test clips under all attacks of a judgement: one for each model, seed and ε."""
    found = (row for row in of_kind(rows, "robustness") if row.get("split", "test") == "test")
    worst_case = replace(PLAIN, search=WORST_CASE, loss="")
    return one_each(row for row in found if attack_setting(row) == worst_case)


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
