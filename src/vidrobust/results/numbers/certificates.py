"""Rows of certificates and of attacks on the same clips to brackets: certified ≤ true ≤ attacked, for each ε."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vidrobust.results.numbers.accuracy import Point
from vidrobust.results.numbers.selection import attack_setting, derived, grouped, model_order, of_kind
from vidrobust.runs.rows import Row

STEPS = 12
"""Points of a curve whose radii differ from clip to clip."""


@dataclass(frozen=True)
class Between:
    """What is known at one ε.

    Attributes:
        certified: right for certain.
        attacked: right after every attack of at most this ε; None where none was made.
        open: indices of the clips that are neither certified nor broken.
        contradicted: clips that are certified and broken all the same: one of the two is wrong.
    """

    certified: Point
    attacked: Point | None
    open: tuple[int, ...] = ()
    contradicted: int = 0


@dataclass(frozen=True)
class Bracket:
    """What is known of one model under one threat.

    Attributes:
        model: its name; that of a smoothed one says so.
        norm, support, unit: of the radii.
        certificates: the texts of the certificates, each of which holds.
        points: by ascending ε.
        radius: the mean over the clips of the radius, 0 where a clip is wrong or not certified (ACR).
        largest: the largest radius of a clip.
        abstained: clips without a class.
        videos: the clips' videos, in the order of the indices; empty where the run has no manifest of them.
    """

    model: str
    norm: str
    support: str
    unit: str
    certificates: tuple[str, ...]
    points: tuple[Between, ...]
    radius: float
    largest: float
    abstained: int
    videos: tuple[str, ...]

    @property
    def label(self) -> str:
        """Model and threat in words."""
        where = "" if self.support == "WholeClip" else f" on {self.support}"
        return f"{self.model}: {self.norm}{where}"


@derived
def brackets(rows: Iterable[Row]) -> list[Bracket]:
    """One bracket for each model, seed, threat and set of clips that has a certificate."""
    rows = list(rows)
    found = of_kind(rows, "certificate")
    order = model_order(row["model"] for row in found)
    of = grouped(found, "model", "seed", "split", "defence", "norm", "support", "unit", "clips_of")
    several = len({row["seed"] for row in found}) > 1
    return [_bracket(some, rows, several) for _, some in sorted(of.items(), key=lambda item: order.index(item[0][0]))]


def _bracket(certified: Sequence[Row], rows: Sequence[Row], several: bool) -> Bracket:
    first = certified[0]
    radius = np.max([row["radius"] for row in certified], axis=0)
    hits = [row for row in of_kind(rows, "robustness") if _beside(row, first)]
    right = max(row["correct"] for row in certified)
    points = tuple(_between(eps, radius, right, hits, first["seed"]) for eps in _grid(radius, hits))
    listed = next((row["list"] for row in of_kind(rows, "manifest") if row["clips_of"] == first["clips_of"]), [])
    return Bracket(
        first["model"] + (f", seed {first['seed']}" if several else ""),
        first["norm"],
        first["support"],
        first["unit"],
        tuple(dict.fromkeys(row["certificate"] for row in certified)),
        points,
        float(radius.mean()),
        float(radius.max()),
        max(row["abstained"] for row in certified),
        tuple(clip["video"] for clip in listed),
    )


def _beside(row: Row, certified: Row) -> bool:
    """Was an attack made on the same model, clips and threat?"""
    same = all(row.get(name) == certified[name] for name in ("model", "seed", "split", "clips_of", "clips"))
    setting = attack_setting(row)
    threat = (setting.norm, setting.support) == (certified["norm"], certified["support"]) or row["eps"] == 0
    return same and threat and setting.defence == certified["defence"] and "survived" in row and not setting.targeted


def _grid(radius: np.ndarray, hits: Sequence[Row]) -> list[float]:
    """Where the curves have points: 0, each attacked ε, and each radius or, of many, some evenly spaced."""
    sizes = sorted(set(radius[radius > 0].tolist()))
    if len(sizes) > STEPS:
        sizes = [math.floor(1000 * size) / 1000 for size in np.linspace(0, sizes[-1], STEPS + 1)[1:]]
    return sorted({0.0, *sizes, *(row["eps"] for row in hits)})


def _between(eps: float, radius: np.ndarray, right: int, hits: Sequence[Row], seed: int) -> Between:
    held = (radius >= eps) & (radius > 0)
    standing = [[digit == "1" for digit in row["survived"]] for row in hits if row["eps"] <= eps]
    count = max(right, int(held.sum())) if eps == 0 else int(held.sum())
    certified = _point(eps, count, len(radius), seed)
    if not standing:
        return Between(certified, None)
    left = np.all(standing, axis=0)
    known = np.flatnonzero(left & ~held) if eps else np.array([], int)
    return Between(
        certified,
        _point(eps, int(left.sum()), len(radius), seed),
        tuple(known.tolist()),
        int((held & ~left).sum()),
    )


def _point(eps: float, correct: int, clips: int, seed: int) -> Point:
    return Point(eps, correct, clips, ((seed, correct / clips),))
