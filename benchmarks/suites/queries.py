"""How many queries black-box attacks need: the share of clips that they break within so many, on models of the zoo.

Every attack has the same ε and may ask as often; the last query confirms what was found, and counts. Shares are of the
clips that are right without attack, with 95 % intervals clustered by source.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from torch import nn

from benchmarks.measuring import Stage
from vidrobust.attacks.key_regions import KeyRegions
from vidrobust.attacks.rays import RayS
from vidrobust.attacks.square import Square
from vidrobust.attacks.vbad import VBAD, Transferred
from vidrobust.data.clips import Clips
from vidrobust.evaluation.clips import evaluate
from vidrobust.evaluation.manifest import manifest_row
from vidrobust.results.numbers.accuracy import Point
from vidrobust.results.numbers.queries import broken_within, successes
from vidrobust.results.numbers.selection import Rows, of_kind
from vidrobust.study.trained import Trained
from vidrobust.threats import Linf, Threat
from vidrobust.types import PIXEL

MODELS = ("motion-standard", "motion-at")
THREAT = Threat(Linf(), 16 * PIXEL)
CLIPS, QUERIES = 32, 300
SHOWN = (20, 50, 100, 200, QUERIES)
"""Queries at which the table gives the share of broken clips."""

SAMPLES = 16
"""Of an estimate of V-BAD, whose default is meant for more queries."""


def measure(stage: Stage) -> None:
    """Each model under each attack."""
    for name in MODELS:
        found = Trained.find(Path(f"zoo:{name}"))
        clips = found.clips("test", 4 if stage.tiny else CLIPS)
        (other,) = (one for one in MODELS if one != name)
        for title, attack in attacks(20 if stage.tiny else QUERIES, other).items():
            row = f"{name}: {title}"
            if stage.wants(row):
                with stage.trying(row):
                    value = {"clips": len(clips), **_line(found.model, clips, attack)}
                    stage.add(kind="figure", row=row, what="table", value=value)


def attacks(queries: int, other: str) -> Mapping[str, Any]:
    """The attacks by what the table calls them; ``other`` is the model that gives V-BAD its directions."""
    square = Square(THREAT, queries)
    directions = Transferred(Trained.find(Path(f"zoo:{other}")).model)
    return {
        "Square": square,
        "Square in 4 key frames": KeyRegions(square, frames=4, share=1.0),
        "Square in half of the regions": KeyRegions(square, frames=8, share=0.5, grid=2),
        "V-BAD, static": VBAD(THREAT, queries, "static", samples=SAMPLES),
        "V-BAD, random": VBAD(THREAT, queries, "random", samples=SAMPLES),
        f"V-BAD, directions of {other}": VBAD(THREAT, queries, directions, samples=SAMPLES),
        "RayS, time first": RayS(THREAT, queries),
        "RayS, space first": RayS(THREAT, queries, blocks="space"),
    }


def _line(model: nn.Module, clips: Clips, attack: Any) -> dict[str, str]:
    """Shares broken within so many queries, the median of those that broke, and the time."""
    begun = time.process_time()
    rows = evaluate(model, clips, [attack])
    seconds = time.process_time() - begun
    named = [{**row, "model": "one", "seed": 0, "split": "test"} for row in rows]
    counted = [row for row in of_kind(Rows([manifest_row(clips), *named]), "robustness") if "queries" in row]
    shares = {f"≤ {budget}": _share(broken_within(counted, budget)) for budget in SHOWN}
    broke = successes(counted)
    return {**shares, "median": f"{median(broke):.0f}" if broke else "–", "CPU seconds": f"{seconds:.0f}"}


def _share(point: Point) -> str:
    low, high = point.interval
    return f"{100 * point.accuracy:.0f} [{100 * low:.0f}, {100 * high:.0f}]"
