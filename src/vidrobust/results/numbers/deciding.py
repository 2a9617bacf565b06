"""Verdicts on a family of claims from differences with their intervals.

Of each claim two things are tested, one-sided: that the difference is above 0, and that it is below a margin, the
smallest difference that would matter. A verdict is given where either is sure. All tests of a family (the claims of one
name) are adjusted together by Holm's method, so that of a whole family a wrong verdict is given in at most 5 % of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vidrobust.results.numbers.accuracy import untrusted
from vidrobust.results.numbers.needed import Needed
from vidrobust.results.numbers.statistics import FEW, Estimate, holm

ClaimVerdict = Literal["reproduced", "not reproduced", "undecided"]

LEVEL = 0.05
"""How often a family of claims may get a wrong verdict."""


@dataclass(frozen=True)
class Claim:
    """One claim of the slides and what this run says of it."""

    name: str
    statement: str
    statistic: str
    """What decides, in words with its numbers."""
    value: float | None
    low: float | None
    high: float | None
    """95 % interval of ``value``."""
    seeds: int
    """Trained models of each policy behind it; 1 where one model is attacked."""
    clips: int
    verdict: ClaimVerdict
    reason: str
    published: str
    """The published numbers' own value of the statistic, or why there is none."""
    sources: int = 0
    """Sources of the clips; 0 where they are not known."""
    p: float | None = None
    """Of the verdict's test, or of the nearer one, adjusted for the family."""
    more: Needed | None = None
    """What would decide it if the difference stays as it is."""
    models: tuple[str, ...] = ()
    """Whose trainings it is about; none where no training is involved."""

    @property
    def seeds_may_decide(self) -> bool:
        """Could more trainings of its models decide it? Not where sources are too few, or vary too much."""
        few = 0 < self.sources < FEW
        return bool(self.models) and self.more is not None and not self.more.sources and not few


@dataclass(frozen=True)
class ClaimRule:
    """What is concluded from a difference.

    Attributes:
        margin: the smallest difference that would matter; below it counts as none.
        above, below: verdict and reason where the difference is surely above 0, and surely below the margin.
        first: which of the two counts where both are sure.
    """

    margin: float
    above: tuple[ClaimVerdict, str]
    below: tuple[ClaimVerdict, str]
    first: Literal["above", "below"] = "above"


@dataclass(frozen=True)
class Comparison:
    """A claim that a difference decides, before its family is looked at as a whole.

    Attributes:
        name, statement, statistic, published: as :class:`Claim` has them.
        found: the difference.
        rule: what is concluded from it.
        seeds, clips: behind it.
        sources: 0 where they are not known.
        seeds_needed: to speak of training.
        models: whose trainings it is about.
        unit: what ``found`` counts as sources: of rows of earlier versions, each clip or each seed.
    """

    name: str
    statement: str
    statistic: str
    published: str
    found: Estimate
    rule: ClaimRule
    seeds: int
    clips: int
    sources: int
    seeds_needed: int = 0
    models: tuple[str, ...] = ()
    unit: str = "source"

    def judged(self, verdict: ClaimVerdict, reason: str, p: float | None = None, more: Needed | None = None) -> Claim:
        """The claim with its verdict."""
        found = self.found
        return Claim(
            self.name, self.statement, self.statistic, found.value, found.low, found.high, self.seeds, self.clips,
            verdict, reason, self.published, self.sources, p, more, self.models,
        )  # fmt: skip

    @property
    def blocked(self) -> Claim | None:
        """The claim where it cannot be decided whatever the difference: too few seeds or sources."""
        if self.seeds < self.seeds_needed:
            count = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
            reason = f"{count}: {self.seeds_needed} are needed to speak of training"
            enough = Needed(seeds=self.seeds_needed - self.seeds)
            return self.judged("undecided", reason, more=enough)
        if 0 < self.sources < FEW:
            reason = untrusted(self.sources).lower()
            return self.judged("undecided", reason, more=Needed(sources=FEW - self.sources))
        return None

    @property
    def distance(self) -> float:
        """How far the difference is from that of 0 and the margin which is farther off, so is excluded first."""
        return max(self.found.value, self.rule.margin - self.found.value)


def decided(family: Sequence[Claim | Comparison]) -> list[Claim]:
    """The verdicts on the claims of one family; those that are decided already stay as they are."""
    found = [one.blocked or one if isinstance(one, Comparison) else one for one in family]
    open_ = [one for one in found if isinstance(one, Comparison)]
    adjusted = holm([p for one in open_ for p in (one.found.above(0.0), one.found.below(one.rule.margin))])
    pairs = iter(zip(adjusted[::2], adjusted[1::2], strict=True))
    return [_judged(one, *next(pairs), len(open_)) if isinstance(one, Comparison) else one for one in found]


def _judged(one: Comparison, above: float, below: float, family: int) -> Claim:
    sure = {name: p for name, p in (("above", above), ("below", below)) if p <= LEVEL}
    if sure:
        name = one.rule.first if one.rule.first in sure else next(iter(sure))
        verdict, reason = getattr(one.rule, name)
        return one.judged(verdict, f"{reason} (p = {sure[name]:.2g}{_among(family)})", sure[name])
    margin = one.rule.margin
    nearer = "more than 0" if above <= below else f"less than {100 * margin:g} points" if margin else "less than 0"
    reason = f"neither sign is sure: that the difference is {nearer} has p = {min(above, below):.2g}{_among(family)}"
    alpha = LEVEL / (2 * max(1, family))  # the first step of Holm's method, which is the strictest
    more = one.found.more_for(one.distance, alpha) if one.distance > 0 else None
    reason += f"; about {str(more).replace('source', one.unit)} would decide" if more else ""
    return one.judged("undecided", reason, min(above, below), more)


def _among(family: int) -> str:
    return f" among {family} claims" if family > 1 else ""


def undecided(name: str, statement: str, reason: str, published_text: str = "", clips: int = 0) -> Claim:
    """A claim that cannot be looked at."""
    return Claim(name, statement, "not measured", None, None, None, 0, clips, "undecided", reason, published_text)
