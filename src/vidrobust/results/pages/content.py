"""A run with what pages need of it, read once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vidrobust.results.numbers.claims import Claim, claims
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class RunContent:
    """A run, its rows and what they say of the claims.

    Attributes:
        run: the run directory.
        label: how it is told from the other runs of a page.
    """

    run: Run
    label: str = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.run.path.resolve().name

    @cached_property
    def rows(self) -> list[Row]:
        """The rows that count."""
        return self.run.rows()

    @property
    def left_out(self) -> list[str]:
        """The lines of its files that no number is made of, and why."""
        return []

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
        policies, seeds = self.config.get("policies", ()), self.config.get("seeds", 1)
        if not isinstance(policies, list) or not isinstance(seeds, int) or seeds > _SEEDS:
            return []
        return [(model, seed) for model in policies if isinstance(model, str) for seed in range(seeds)]

    @cached_property
    def claims(self) -> list[Claim]:
        """The verdicts on the claims of the slides."""
        return claims(self.rows)

    @property
    def judged(self) -> list[Claim]:
        """The claims that this run is about: of a single step, those that it measured."""
        return [one for one in self.claims if self.run.kind == "study" or one.value is not None]


_SEEDS = 1000
"""No study has more: a configuration that says so is damaged."""
