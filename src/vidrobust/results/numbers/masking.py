"""Checks for masked gradients, and for impossible tables of accuracies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vidrobust.results.numbers.accuracy import clean_and_attacked, evaluated_split, one_each
from vidrobust.results.numbers.attacks import attack_label
from vidrobust.results.numbers.outcomes import survived_clips
from vidrobust.results.numbers.selection import Rows, derived, grouped, model_order, of_kind, plain, same_clips
from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class Flag:
    """One check of whether a model's robustness can be trusted."""

    model: str
    check: str
    passed: bool
    sentence: str


def by_chance(clips: int) -> int:
    """How many clips may go against a check by chance: 3 %, at least 2."""
    return max(2, math.ceil(0.03 * clips))


@derived
def masking_flags(rows: Iterable[Row]) -> list[Flag]:
    """Checks for masked gradients and for tables that cannot be, a sentence each, for every model with rows."""
    rows = Rows.of(rows)
    measured = of_kind(rows, "robustness")
    split = evaluated_split(measured)
    curves = grouped((row for row in measured if row.get("split", "test") == split and plain(row)), "model")
    attacked = grouped((row for row in rows if row["kind"] in ATTACKED and "no_gradient" in row), "model")
    extra = grouped(of_kind(rows, "masking"), "model")
    tested = grouped(of_kind(rows, "self_test"), "model")
    flags = []
    for model in model_order([*curves, *attacked, *extra, *tested]):
        if model in tested:
            flags.append(_self_test_flag(model, tested[model]))
        if model in curves:
            flags += _table_flags(model, curves[model])
        if model in attacked:
            flags.append(_attacked_flag(model, attacked[model]))
        if model in extra:
            flags += _gradient_flags(model, extra[model])
    return flags


ATTACKED_CHECK = "every clip attacked"
ATTACKED = ("robustness", "difficulty", "views")
"""Kinds of rows that count the clips which survived without having been attacked."""


SELF_TEST_CHECK = "self-test"


def _self_test_flag(model: str, rows: Sequence[Row]) -> Flag:
    """Does the self-test find that numbers measured with the model are wrong?"""
    found = list(dict.fromkeys(text for row in rows for text in row["found"]))
    sentence = " ".join(found) or "no fault found on random clips"
    return Flag(model, SELF_TEST_CHECK, not found, sentence.removesuffix("."))


def _attacked_flag(model: str, rows: Sequence[Row]) -> Flag:
    """Was every clip that survived really attacked?"""
    worst = max(rows, key=lambda row: row["no_gradient"])
    count = worst["no_gradient"]
    sentence = "every clip that survived had a gradient"
    if count:
        sentence = f"{count} of {worst['clips']} clips under {attack_label(worst)} {UNATTACKED}"
    again = max((row for row in rows if "retried" in row), key=lambda row: row["retried"]["clips"], default=None)
    if again is not None:
        found = again["retried"]
        of = f"{found['clips']} of {again['clips']} clips under {attack_label(again)}"
        sentence += f"; {of} {RETRIED}, which broke {found['broken']}"
    return Flag(model, ATTACKED_CHECK, count == 0, sentence)


RETRIED = "had no gradient under cross-entropy and were attacked again under the margin loss"
NOT_ATTACKED = "was never attacked: its gradient was zero or not finite at every step"
UNATTACKED = "survived without having been attacked: their gradient was zero or not finite at every step"


def _table_flags(model: str, rows: Sequence[Row]) -> list[Flag]:
    """Checks of the curves over ε, seed by seed; only what was measured on the same clips is compared."""
    every = [row["steps"] for row in rows if row["eps"] > 0]
    fewest, most = min(every, default=0), max(every, default=0)
    above, rising, regained = [], [], []  # (clips that go against a check, of how many)
    for mine in grouped(rows, "seed", "clips", "clips_of").values():
        clips = mine[0]["clips"]
        clean, by_steps = clean_and_attacked(mine)
        curves = {steps: {r["eps"]: r for r in one_each(clean + some)} for steps, some in by_steps.items()}
        for curve in curves.values():
            order = [curve[eps]["correct"] for eps in sorted(curve)]
            if 0 in curve:
                above.append((max(0, *(correct - order[0] for correct in order)), clips))
            rising += [(max(0, b - a), clips) for a, b in zip(order, order[1:], strict=False)]
        for eps in (curves.get(fewest, {}).keys() & curves.get(most, {}).keys()) - {0} if fewest < most else ():
            more, fewer = curves[most][eps], curves[fewest][eps]
            if same_clips(more, fewer):
                regained.append((int((survived_clips(more) > survived_clips(fewer)).sum()), clips))
    found = [
        _count_flag(model, "robust ≤ clean", above, "more clips right under attack than clean"),
        _count_flag(model, "falling in ε", rising, "more clips right at a larger ε"),
    ]
    if regained:
        text = f"clips that {fewest} steps broke survive {most} steps"
        found.append(_count_flag(model, "more steps never help", regained, text))
    return found


def _count_flag(model: str, check: str, counts: Sequence[tuple[int, int]], text: str) -> Flag:
    """A check passes where no more clips go against it than by chance, in whatever set of clips."""
    worst = max((count for count, _ in counts), default=0)
    passed = all(count <= by_chance(clips) for count, clips in counts)
    return Flag(model, check, passed, f"at most {worst} {text}" if worst else f"no {text}")


def _gradient_flags(model: str, rows: Sequence[Row]) -> list[Flag]:
    clips = sum(row["clips"] for row in rows)
    total = {
        name: sum(r[name] for r in rows) for name in ("zero_gradient", "noise_correct", "pgd_correct", "huge_correct")
    }
    noise, huge = rows[0]["noise_eps"], rows[0]["huge_eps"]
    zero, left = total["zero_gradient"], total["huge_correct"]
    return [
        Flag(
            model,
            "PGD beats noise",
            total["noise_correct"] >= total["pgd_correct"] - by_chance(clips),
            f"{total['noise_correct']} of {clips} clips right under noise at ε={noise:g}, "
            f"{total['pgd_correct']} under PGD",
        ),
        Flag(
            model,
            "huge ε breaks all",
            left <= by_chance(clips),
            f"{left} of {clips} clips right under PGD at ε={huge:g}",
        ),
        Flag(model, "no zero gradients", zero == 0, f"{zero} of {clips} clips without any input gradient"),
    ]
