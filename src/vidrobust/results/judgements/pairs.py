"""Two judgements, clip for clip on those that both saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidrobust.errors import InputError
from vidrobust.results.judgements.record import Judgement, key_of, stands, threat_name
from vidrobust.results.numbers.needed import Needed
from vidrobust.results.numbers.statistics import Estimate, holm, paired_difference

MATTERS = 0.05
"""The difference of accuracies that "undecided" is measured by."""


@dataclass(frozen=True)
class PairedDifference:
    """How much more often the first model is right than the second, on the same clips.

    Attributes:
        what: the threat, or ``clean``.
        first, second: clips that each gets right.
        found: the paired difference with its interval.
        p: adjusted for all differences of the comparison (Holm).
        more: what would make the interval as narrow as a difference of 5 points, if it is not.
    """

    what: str
    first: int
    second: int
    found: Estimate
    p: float
    more: Needed | None

    def __str__(self) -> str:
        low, high = 100 * self.found.low, 100 * self.found.high
        clips = f"{self.first} and {self.second} of {self.found.clips} clips of {self.found.sources} sources"
        text = f"{self.what}: {100 * self.found.value:+.1f} points [{low:+.1f}, {high:+.1f}], {clips}, p = {self.p:.2g}"
        if self.p <= 0.05:
            return text
        return text + "; undecided" + (f", {self.more} would tell 5 points" if self.more else "")


def compared(first: Judgement, second: Judgement) -> list[PairedDifference]:
    """The differences between two judgements: clean, and under each threat that both have.

    Clips are the same where their pixels are, by their hash.

    Raises:
        InputError: they have no clips or no threats in common.
    """
    rows = _common(first, second)
    of = [first.sources[one] for one, _ in rows]
    measured = [("clean", _digits(first), _digits(second))]
    for threat in first.record["threats"]:
        other = second.threat(key_of(threat))
        if other is not None:
            measured.append((threat_name(*key_of(threat)), stands(threat), stands(other)))
    if len(measured) == 1:
        raise InputError(f"{first.path} and {second.path} have no threat in common: judge them under the same ones.")
    found = []
    for what, one, two in measured:
        pair = [one[row] for row, _ in rows], [two[row] for _, row in rows]
        found.append((what, *pair, paired_difference(*pair, of)))
    adjusted = holm([estimate.p for *_, estimate in found])
    return [
        PairedDifference(what, sum(one), sum(two), estimate, p, estimate.more_for(MATTERS))
        for (what, one, two, estimate), p in zip(found, adjusted, strict=True)
    ]


def left_out(first: Judgement, second: Judgement) -> list[str]:
    """What of either judgement :func:`compared` does not use, in words: clips and threats that the other lacks."""
    both, texts = len(_common(first, second)), []
    for judgement, other in ((first, second), (second, first)):
        clips = len(judgement.record["clips"]["list"])
        keys = [key_of(threat) for threat in judgement.record["threats"]]
        lacking = [threat_name(*key) for key in keys if other.threat(key) is None]
        parts = [f"{clips - both} of {clips} clips"] if clips > both else []
        if parts or lacking:
            texts.append(f"left out of {judgement.path.parent}: {', '.join((*parts, *lacking))}.")
    return texts


def _common(first: Judgement, second: Judgement) -> Sequence[tuple[int, int]]:
    """The numbers, in either record, of clips with the same pixels and label."""
    known = {(clip["sha256"], clip["label"]): number for number, clip in enumerate(second.record["clips"]["list"])}
    rows = [
        (number, known[clip["sha256"], clip["label"]])
        for number, clip in enumerate(first.record["clips"]["list"])
        if (clip["sha256"], clip["label"]) in known
    ]
    if not rows:
        raise InputError(
            f"{first.path} and {second.path} have no clip in common: judge both models on the same data, split, frames "
            "and size."
        )
    return rows


def _digits(judgement: Judgement) -> list[int]:
    return [int(digit) for digit in judgement.record["clean"]["right"]]
