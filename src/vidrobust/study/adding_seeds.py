"""Adding seeds to a study until all claims that seeds can decide are decided, or the time is up.

The claims are judged after each seed, with intervals that hold however often one looks
(:mod:`vidrobust.results.numbers.sequences`). A further seed trains only the models of undecided claims that seeds may
decide: not of those for which sources vary too much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidrobust.errors import InputError
from vidrobust.notation import parse_policy
from vidrobust.results.numbers.claims import GAP_GROWS, claims
from vidrobust.results.numbers.sequences import anytime
from vidrobust.runs.wording import counted
from vidrobust.study.config import UNTIL_DECIDED

if TYPE_CHECKING:
    from vidrobust.results.numbers.deciding import Claim
    from vidrobust.runs.rows import Row
    from vidrobust.study.config import StudyConfig


@dataclass(frozen=True)
class AddedSeed:
    """One more seed of some of a study's models.

    Attributes:
        seed: of the trainings.
        policies: that are trained and evaluated.
        gap: is the training that is watched by epoch one of them?
    """

    seed: int
    policies: tuple[str, ...]
    gap: bool


@dataclass(frozen=True)
class OpenClaims:
    """The undecided claims of a study.

    Attributes:
        by_seeds: those that more seeds of the study's models may decide.
        others: those that no seed decides.
    """

    by_seeds: tuple[Claim, ...]
    others: tuple[Claim, ...]


def open_claims(config: StudyConfig, rows: Sequence[Row]) -> OpenClaims:
    """The undecided claims, by whether seeds may decide them."""
    trained = {str(parse_policy(text)) for text in config.policies}

    def may(one: Claim) -> bool:
        here = config.gap.seeds > 0 if one.name == GAP_GROWS else trained.issuperset(one.models)
        return one.seeds_may_decide and here

    left = [one for one in claims(rows, anytime) if one.verdict == "undecided"]
    return OpenClaims(tuple(filter(may, left)), tuple(one for one in left if not may(one)))


def added_seed(config: StudyConfig, rows: Sequence[Row], seed: int) -> AddedSeed | None:
    """What is trained with the next seed; None where no seed would decide anything more."""
    left = open_claims(config, rows).by_seeds
    about = {model for one in left if one.name != GAP_GROWS for model in one.models}
    policies = tuple(text for text in config.policies if str(parse_policy(text)) in about)
    gap = any(one.name == GAP_GROWS for one in left)
    return AddedSeed(seed, policies, gap) if policies or gap else None


def check_hours(config: StudyConfig, hours: float | None) -> None:
    """Refuse seeds without an end, and an end without such seeds.

    Raises:
        InputError: one of the two is given without the other, or ``hours`` is not positive.
    """
    if (config.seeds == UNTIL_DECIDED) != (hours is not None):
        raise InputError(
            f"--seeds {UNTIL_DECIDED} and --hours H go together: seeds are added until every claim is decided or H "
            "hours are over."
        )
    if hours is not None and not 0 < hours < float("inf"):
        raise InputError(f"--hours must be positive, but is {hours:g}.")


class TimeLeft:
    """How long seeds may still be added.

    Args:
        hours: from now on, which is the start of the study.
        spent: clip-gradients spent so far.
    """

    def __init__(self, hours: float, spent: Callable[[], int]) -> None:
        self.hours, self._spent = hours, spent
        self._begun, self._before = time.monotonic(), spent()

    def enough_for(self, gradients: int) -> bool:
        """Whether this many clip-gradients fit into the remaining time, at the speed so far."""
        elapsed, spent = time.monotonic() - self._begun, self._spent() - self._before
        seconds = gradients * elapsed / spent if spent else 0.0
        return elapsed + seconds <= 3600 * self.hours


def ending(config: StudyConfig, rows: Sequence[Row], hours: float) -> str:
    """The message when no more seeds are added: what is undecided, and what would decide it."""
    left = open_claims(config, rows)
    said = "every claim that more seeds can decide is decided"
    if left.by_seeds:
        said = f"no further seed fits into {hours:g} hours; {_listed(left.by_seeds)}"
    return said + (f"; {_listed(left.others)}, which seeds cannot decide" if left.others else "") + "."


def _listed(undecided: Sequence[Claim]) -> str:
    reasons = "; ".join(f"{one.statement} {one.reason}" for one in undecided)
    return f"{counted(len(undecided), 'claim')} undecided: {reasons}"
