"""Rows of certificates and of attacks on the same clips to brackets: certified ≤ true ≤ attacked, for each ε."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vidrobust.results.numbers.accuracy import Point, pooled
from vidrobust.results.numbers.outcomes import survived_clips
from vidrobust.results.numbers.selection import attack_setting, derived, grouped, model_order, of_kind
from vidrobust.runs.rows import Row
from vidrobust.runs.wording import counted

STEPS = 12
"""Points of a curve whose radii differ from clip to clip."""


@dataclass(frozen=True)
class Between:
    """What is known at one ε.

    Attributes:
        certified: right for certain.
        attacked: right after every attack of at most this ε; None where none was made.
        open: indices of the clips that are neither certified nor broken.
        contradicted: indices of clips that are certified and broken all the same: one of the two is wrong.
    """

    certified: Point
    attacked: Point | None
    open: tuple[int, ...] = ()
    contradicted: tuple[int, ...] = ()


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
        certified: the radius of each clip.
        broken: the smallest ε at which each clip was broken; None where no attack broke it.
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
    certified: tuple[float, ...]
    broken: tuple[float | None, ...]

    @property
    def label(self) -> str:
        """Model and threat in words."""
        where = "" if self.support == "WholeClip" else f" on {self.support}"
        return f"{self.model}: {self.norm}{where}"

    def named(self, clips: Iterable[int]) -> list[str]:
        """The videos of some clips, by their indices."""
        return [self.videos[index] if self.videos else f"clip {index}" for index in clips]


@derived
def brackets(rows: Iterable[Row]) -> list[Bracket]:
    """One bracket for each model, seed, threat and set of clips that has a certificate."""
    rows = list(rows)
    found = of_kind(rows, "certificate")
    order = model_order(row["model"] for row in found)
    of = grouped(found, "model", "seed", "split", "defence", "norm", "support", "unit", "clips_of")
    several = len({row["seed"] for row in found}) > 1
    return [_bracket(some, rows, several) for _, some in sorted(of.items(), key=lambda item: order.index(item[0][0]))]


def contradictions(rows: Iterable[Row]) -> list[str]:
    """A sentence for each bracket with clips that are certified and yet broken by an attack; none if all is well."""
    return [told for bracket in brackets(rows) if (told := _contradiction(bracket))]


def _contradiction(bracket: Bracket) -> str:
    found = sorted({index for point in bracket.points for index in point.contradicted})
    if not found:
        return ""
    reason = (
        "one clip in a thousand may be, by chance"
        if "Smoothing" in "".join(bracket.certificates)
        else "the model was run in less than float32, or the certificate is wrong"
    )
    return (
        f"Contradiction: {counted(len(found), 'clip')} of {bracket.label} certified and yet broken by an attack within "
        f"the certified radius ({', '.join(bracket.named(found[:3]))}{' …' if found[3:] else ''}): {reason}."
    )


def _bracket(certified: Sequence[Row], rows: Sequence[Row], several: bool) -> Bracket:
    first = max(certified, key=lambda row: row["correct"])
    radius = np.max([row["radius"] for row in certified], axis=0)
    hits = [row for row in of_kind(rows, "robustness") if _beside(row, first)]
    points = tuple(_between(eps, radius, first, hits) for eps in _grid(radius, hits))
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
        tuple(radius.tolist()),
        tuple(
            min((row["eps"] for row in hits if row["survived"][index] == "0"), default=None)
            for index in range(len(radius))
        ),
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


def _between(eps: float, radius: np.ndarray, certified: Row, hits: Sequence[Row]) -> Between:
    held = (radius >= eps) & (radius > 0)
    lower = _point(eps, held, certified) if eps else _right(certified)
    standing = [survived_clips(row) > 0 for row in hits if row["eps"] <= eps]
    if not standing:
        return Between(lower, None)
    left = np.all(standing, axis=0)
    known = np.flatnonzero(left & ~held) if eps else np.array([], int)
    upper, wrong = _point(eps, left, certified), np.flatnonzero(held & ~left)
    return Between(lower, upper, tuple(known.tolist()), tuple(wrong.tolist()))


def _right(certified: Row) -> Point:
    """Right answers, certified or not."""
    return pooled(0.0, [{**certified, **({"survived": certified["right"]} if "right" in certified else {})}])


def _point(eps: float, standing: np.ndarray, certified: Row) -> Point:
    digits = "".join("1" if one else "0" for one in standing)
    return pooled(eps, [{**certified, "correct": int(standing.sum()), "survived": digits}])
