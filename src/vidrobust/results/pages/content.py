"""A run with what pages need of it, read once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vidrobust.results.numbers.advantages import SEEDS_NEEDED, fixed
from vidrobust.results.numbers.claims import claims
from vidrobust.results.numbers.costs import read_timings
from vidrobust.results.numbers.deciding import Claim
from vidrobust.results.numbers.selection import Rows
from vidrobust.results.numbers.sequences import anytime
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import Reading, Row
from vidrobust.runs.schema import KINDS


@dataclass(frozen=True)
class RunContent:
    """A run, its rows and what they say of the claims.

    Attributes:
        run: the run directory.
        label: its name among the runs of a page.
        ahead: rows that count though their turn in the run's file has not come yet.
    """

    run: Run
    label: str = ""
    ahead: tuple[Row, ...] = ()

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.run.path.resolve().name

    @cached_property
    def _reading(self) -> Reading:
        reading = self.run.read(strict=False)
        for row in self.ahead:
            if not reading.holds(row):
                reading.add(row)
        return reading

    @cached_property
    def rows(self) -> Rows:
        """The rows that count, each of a model and a seed."""
        return Rows(map(_complete, self._reading.rows))

    @cached_property
    def left_out(self) -> list[str]:
        """The lines of its files that no number is made of, and why."""
        rows = [f"rows.jsonl, line {number}: {reason}" for number, reason in self._reading.left_out]
        return rows + read_timings(self.run)[1]

    @cached_property
    def config(self) -> dict[str, Any]:
        """What it was asked for; empty where that is no object."""
        found = self.run.config
        return found if isinstance(found, dict) else {}

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Versions, seed, source revision and machine; empty where that is no object."""
        found = self.run.provenance
        return found if isinstance(found, dict) else {}

    @cached_property
    def asked(self) -> list[tuple[str, int]]:
        """The models and seeds that a study was asked for."""
        policies, first, seeds = (self.config.get(name) for name in ("policies", "seed", "seeds"))
        seeds = SEEDS_NEEDED if seeds == "until-decided" else 1 if seeds is None else seeds
        first = 0 if first is None else first
        if not isinstance(policies, list) or not isinstance(seeds, int) or not isinstance(first, int) or seeds > _SEEDS:
            return []
        return [(model, first + seed) for model in policies if isinstance(model, str) for seed in range(seeds)]

    @cached_property
    def claims(self) -> list[Claim]:
        """The verdicts on the claims of the slides."""
        grown = self.config.get("seeds") == "until-decided"  # looked at after every seed
        return claims(self.rows, anytime if grown else fixed)

    @property
    def judged(self) -> list[Claim]:
        """The claims that this run is about: of a single step, those that it measured."""
        return [one for one in self.claims if self.run.kind == "study" or one.value is not None]


def _complete(row: Row) -> Row:
    """A row with the model and seed that a hand-made one may lack, and with ε as it was asked.

    >>> _complete({"kind": "robustness", "eps": 16.000001})
    {'kind': 'robustness', 'eps': 16.0, 'model': 'unnamed', 'seed': 0}
    """
    lacking: Row = (
        {name: value for name, value in _UNNAMED.items() if name not in row} if row["kind"] in _OF_MODELS else {}
    )
    eps = row.get("eps")
    if isinstance(eps, float) and (asked := float(f"{eps:.6g}")) != eps:  # earlier versions wrote float32's 16.000001
        lacking["eps"] = asked
    return {**row, **lacking} if lacking else row


_UNNAMED = {"model": "unnamed", "seed": 0}
_OF_MODELS = {name for name, kind in KINDS.items() if {"model", "seed"} <= kind.fields.keys()} - {
    "trajectory",
    "step_size",
}

_SEEDS = 1000
"""No study has more: a configuration that says so is damaged."""
