"""What a run cost: gradients and minutes, from the timings that its jobs left behind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vidrobust.runs.directory import Run
from vidrobust.runs.rows import read_lines


@dataclass(frozen=True)
class Cost:
    """The cost of one row of the tables, its seeds added up."""

    what: str
    """The job, such as ``train AT(ε=8,α=8,i=3)``."""
    jobs: int
    gradients: int
    """Gradients of single clips, of the weights or of the pixels."""
    seconds: float
    """On the clock, with whatever else the machine did."""
    cpu_seconds: float


def costs(run: Run) -> list[Cost]:
    """What each piece of a run cost, the dearest first; empty where no timings were kept.

    Raises:
        RunError: a file of timings is damaged.
    """
    found: dict[str, list] = {}
    for file in sorted(run.path.glob("jobs/*/timings.jsonl")):
        for row in read_lines(file):
            found.setdefault(without_seed(row["title"]), []).append(row)
    made = [
        Cost(
            what,
            len(rows),
            *(sum(row.get(name, 0) for row in rows) for name in ("gradients", "seconds", "cpu_seconds")),
        )
        for what, rows in found.items()
    ]
    return sorted(made, key=lambda cost: (-cost.gradients, -cost.seconds, cost.what))


def without_seed(title: str) -> str:
    """A job's title without its seed.

    >>> without_seed("train AT(ε=8,α=8,i=3), seed 0"), without_seed("α* at ε=4")
    ('train AT(ε=8,α=8,i=3)', 'α* at ε=4')
    """
    return re.sub(r", seed \d+", "", title)
