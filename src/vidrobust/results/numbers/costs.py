"""The cost of a run in gradients and minutes, from the timings of its jobs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vidrobust.runs.directory import Run
from vidrobust.runs.fields import LARGEST
from vidrobust.runs.rows import Row, numbered


@dataclass(frozen=True)
class Cost:
    """The cost of one row of the tables, its seeds added up."""

    what: str
    """The job, such as ``train AT(ε=8,α=8,i=3)``."""
    jobs: int
    gradients: int
    """Gradients of single clips, of the weights or of the pixels, which the runs that ended its jobs spent."""
    seconds: float
    """On the clock, with whatever else the machine did."""
    cpu_seconds: float


def costs(run: Run) -> list[Cost]:
    """What each piece of a run cost, the dearest first; empty where no timings were kept."""
    found: dict[str, list[Row]] = {}
    for row in read_timings(run)[0]:
        found.setdefault(without_seed(row["title"]), []).append(row)
    table = [
        Cost(what, len(rows), *(sum(row.get(name, 0) for row in rows) for name in _SPENT))
        for what, rows in found.items()
    ]
    return sorted(table, key=lambda cost: (-cost.gradients, -cost.seconds, cost.what))


def read_timings(run: Run) -> tuple[list[Row], list[str]]:
    """The timings of a run's jobs, and which lines were left out as damaged."""
    rows, left_out = [], []
    for file in sorted(run.path.glob("jobs/*/timings.jsonl")):
        faults: list[tuple[int, str]] = []
        for number, row in numbered(file, faults):
            wrong = _fault(row)
            if wrong:
                faults.append((number, wrong))
            else:
                rows.append(row)
        left_out += [f"{file.relative_to(run.path)}, line {number}: {reason}" for number, reason in sorted(faults)]
    return rows, left_out


_SPENT = ("gradients", "seconds", "cpu_seconds")


def _fault(row: object) -> str:
    """What is wrong with a line of timings; empty if nothing is."""
    if not isinstance(row, dict) or not isinstance(row.get("title"), str):
        return "it has no title"
    numbers = [row.get(name, 0) for name in _SPENT]
    return "" if all(type(one) in (int, float) and 0 <= one <= LARGEST for one in numbers) else "a number is damaged"


def without_seed(title: str) -> str:
    """A job's title without its seed.

    >>> without_seed("train AT(ε=8,α=8,i=3), seed 0"), without_seed("α* at ε=4")
    ('train AT(ε=8,α=8,i=3)', 'α* at ε=4')
    """
    return re.sub(r", seed \d+", "", title)
