"""The verdict *trust* or *do not trust, because …* by the rules, with remedies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vidrobust.results.numbers.rules import RULES, Measured, Scope
from vidrobust.results.numbers.statistics import FEW


@dataclass(frozen=True)
class Reason:
    """Why a number is not to be trusted, and what would help."""

    rule: str
    text: str
    remedy: str
    threat: str = ""

    def __str__(self) -> str:
        return (f"{self.threat}: " if self.threat else "") + self.text


@dataclass(frozen=True)
class Verdict:
    """Whether the numbers can be trusted.

    Attributes:
        trust: is there no reason against it?
        reasons: all reasons against it.
        notes: what one should know that is no reason.
    """

    trust: bool
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "trust" if self.trust else "do not trust"


def verdict(
    model: Iterable[Measured], threats: Mapping[str, tuple[int, Sequence[Measured]]], notes: Iterable[str] = ()
) -> Verdict:
    """The verdict on a judgement.

    Args:
        model: what was counted of the model and its data.
        threats: by name, how many clips stand, and what was counted of the search.
        notes: further things to know.

    >>> found = verdict([], {"Linf(8)": (5, [Measured("noise", 1, 6)])})
    >>> print(found), print(found.reasons[0])
    do not trust
    Linf(8): random noise broke 1 of 6 clips that all attacks had left standing
    (None, None)
    >>> print(verdict([], {"Linf(8)": (0, [Measured("unavailable gradients", 6, 6)])}))  # 0 % is proven
    trust
    """
    model = list(model)
    reasons = list(_reasons(model, ""))
    note_texts = [*notes, *(_text(one) for one in model if _spoken(one, "note"))]
    for name, (standing, measured) in threats.items():
        measured = list(measured)
        reasons += _reasons(measured, name) if standing else []
        note_texts += [f"{name}: {_text(one)}" for one in measured if _spoken(one, "note")]
    return Verdict(not reasons, tuple(reasons), tuple(dict.fromkeys(note_texts)))


def _reasons(measured: Iterable[Measured], threat: str) -> Iterable[Reason]:
    for one in measured:
        if _spoken(one, "model") or _spoken(one, "search"):
            yield Reason(one.name, _text(one), RULES[one.name].remedy, threat)


def _spoken(measured: Measured, scope: Scope) -> bool:
    rule = RULES[measured.name]
    return rule.scope == scope and rule.speaks(measured)


def _text(measured: Measured) -> str:
    text = RULES[measured.name].because.format(count=measured.count, of=measured.of)
    return f"{text} ({measured.told})" if measured.told else text


def add_up(measured: Iterable[Measured]) -> list[Measured]:
    """Counts of the same name added up, as of parts of the clips; what is true of the model is counted once.

    >>> add_up([Measured("noise", 1, 6), Measured("noise", 0, 5, "x")])
    [Measured(name='noise', count=1, of=11, told='x')]
    """
    found: dict[str, Measured] = {}
    for one in measured:
        known = found.get(one.name)
        if known is None:
            found[one.name] = one
        elif not RULES[one.name].counted:
            found[one.name] = known if known.count >= one.count else one
        else:
            note_texts = "; ".join(dict.fromkeys(text for text in (known.told, one.told) if text))
            found[one.name] = Measured(one.name, known.count + one.count, known.of + one.of, note_texts)
    return list(found.values())


def better_class_order(confusion: Sequence[Sequence[int]]) -> Measured:
    """How many more clips would be right under the best order of the classes.

    Counted only where most of what is lost would be won: at least half of the clips would be right, and twice as many
    as are. Few clips of many classes can always be put into a somewhat better order.

    Args:
        confusion: how often clips of a class (rows) are given another (columns).

    >>> better_class_order([[0, 9, 1], [1, 0, 9], [9, 0, 1]]).count
    26
    >>> better_class_order([[9, 1, 0], [0, 9, 1], [1, 0, 9]]).count
    0
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    table = np.asarray(confusion)
    clips, plain = int(table.sum()), int(np.trace(table))
    best = int(table[linear_sum_assignment(table, maximize=True)].sum())
    return Measured("class order", best - plain if 2 * best >= clips and best >= 2 * plain else 0, clips)


def chance_accuracy(correct: int, clips: int, classes: int) -> Measured:
    """Whether clean accuracy is no better than chance.

    >>> chance_accuracy(2, 20, 10).count, chance_accuracy(12, 20, 10).count
    (1, 0)
    """
    return Measured("chance", int(correct * classes <= clips), 1)


def missing_sources(count: int) -> Measured:
    """How many more sources an interval needs.

    >>> missing_sources(7).count, missing_sources(12).count
    (3, 0)
    """
    return Measured("few sources", max(0, FEW - count), 1)
