"""The claims of the slides, each decided by a statistic of this run's rows: no verdict is entered by hand.

A verdict is ``reproduced``, ``not reproduced`` or ``undecided``; ``undecided`` always comes with its reason. What the
published numbers give for the same statistic stands beside it, and takes no part in the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidrobust.notation.slides import (
    FALLING,
    FAST_5,
    FAST_20,
    LARGE,
    RISING,
    RISING_5,
    RISING_10,
    RISING_20,
    SMALL,
    STRONG,
    WEAK,
)
from vidrobust.results.numbers.accuracy import evaluated, main_steps, worst_case_rows
from vidrobust.results.numbers.advantages import (
    SEEDS_NEEDED,
    Effect,
    Estimator,
    advantage,
    common_eps,
    fixed,
    gap_growth,
)
from vidrobust.results.numbers.deciding import Claim, ClaimRule, Comparison, decided, undecided
from vidrobust.results.numbers.linearity import linearity_claims
from vidrobust.results.numbers.outcomes import ClipValues, sources, tells_sources
from vidrobust.results.numbers.selection import Rows, grouped, of_kind
from vidrobust.results.numbers.sensitivity import surface_rows
from vidrobust.results.numbers.spread import ClusterLabels
from vidrobust.results.numbers.statistics import equivalent, mean
from vidrobust.results.published import numbers as published
from vidrobust.runs.rows import Row

STRONGER_WEAKER = ((STRONG, WEAK), (RISING_20, RISING_5), (FAST_20, FAST_5))
"""Pairs of a stronger and a weaker training attack."""

RISING_FIXED = (
    (RISING, WEAK),
    (RISING, SMALL),
    (RISING, LARGE),
    (RISING_5, WEAK),
    (RISING_5, FAST_5),
    (RISING_10, STRONG),
    (RISING_20, FAST_20),
)
"""Pairs of a rising and a fixed ε: first under the same rule of the attack (α=ε, i=i*: i*(8)=3, i*(4)=5, i*(12)=2),
then α=α* against AT(8,8,3), then at the same iterations."""

RISING_FALLING = ((RISING, FALLING),)
DIFFICULTY = (
    ("stronger − weaker", STRONG, WEAK),
    ("rising − fixed", RISING, WEAK),
    ("rising − falling", RISING, FALLING),
    ("small − large ε", SMALL, LARGE),
)
"""What the difficulty figure compares: (label, first, second)."""

MARGIN = 0.02
"""The smallest difference of accuracies that matters: a defence that is better by less does not count as better. It was
set before any run that it judges; two trainings of one policy with other seeds differ by about as much."""

BETTER = ClaimRule(
    MARGIN,
    ("reproduced", "the advantage is above 0"),
    ("not reproduced", f"an advantage of {100 * MARGIN:g} points or more is excluded"),
)
NOT_BETTER = ClaimRule(
    MARGIN,
    ("not reproduced", "the stronger attack makes a better defence"),
    ("reproduced", f"the stronger attack's advantage is less than {100 * MARGIN:g} points"),
    first="below",
)
FALLS = ClaimRule(
    0.0,
    ("reproduced", "the optimum is interior and the fall is above 0"),
    ("not reproduced", "the loss does not fall towards the largest α"),
)
ON_AN_EDGE = ClaimRule(
    0.0,
    ("undecided", "the greatest mean loss is on an edge of the grid, but the loss of other clips is greater inside"),
    ("not reproduced", "the greatest loss is on an edge of the grid"),
)
GROWS = ClaimRule(
    MARGIN,
    ("reproduced", "the growth is above 0"),
    ("not reproduced", f"a growth of {100 * MARGIN:g} points or more is excluded"),
)


@dataclass(frozen=True)
class _Family:
    """Comparisons of trainings that are judged together.

    Attributes:
        name: of the family.
        statement: the slides' claim.
        pairs: the policies compared; the first pair is always judged, the others where the run has them.
        rule: what is concluded from a difference.
    """

    name: str
    statement: str
    pairs: tuple[tuple[str, str], ...]
    rule: ClaimRule


TRAINING = (
    _Family(
        "better attacks do not make better defences",
        "A stronger training attack does not defend better than a weaker one.",
        STRONGER_WEAKER,
        NOT_BETTER,
    ),
    _Family("rising beats fixed", "A rising ε defends better than a fixed ε.", RISING_FIXED, BETTER),
    _Family("rising beats falling", "A rising ε defends better than a falling ε.", RISING_FALLING, BETTER),
)

GAP_GROWS = "the generalisation gap grows"
WORST = "the worst case of all attacks"


def claims(rows: Iterable[Row], over: Estimator = fixed) -> list[Claim]:
    """Judge every claim of the slides.

    Args:
        rows: rows of a run, of any kind.
        over: gives the interval of a difference between trainings; another one where seeds were added until it was
            decided (:func:`vidrobust.results.numbers.sequences.anytime`).

    Returns:
        At least one claim for each statement; where rows are missing it is ``undecided`` and says which step lacks.
    """
    rows = Rows.of(rows)
    return [
        *sensitivity_claims(rows),
        *linearity_claims(rows),
        *(claim for family in TRAINING for claim in _comparisons(rows, family, over)),
        *gap_claims(rows, over),
    ]


# -------------------------------------------------------------------------------------------------- sensitivity


def sensitivity_claims(rows: Sequence[Row]) -> list[Claim]:
    """Has the loss an optimum inside the grid of step sizes, and does it fall at the largest?"""
    name = "step size has an interior optimum"
    statement = "PGD's loss has an optimum in α and falls at large α."
    by_eps = grouped(surface_rows(rows), "eps")
    if not by_eps:
        return [undecided(name, statement, "no trajectories: step 3 (sensitivity) is missing", _published_fall(8))]
    return decided([_sensitivity_claim(by_eps[eps], eps, name, f"{statement} (ε={eps:g})") for eps in sorted(by_eps)])


def _sensitivity_claim(rows: Sequence[Row], eps: float, name: str, statement: str) -> Claim | Comparison:
    published_text = _published_fall(eps)
    chosen = [row for row in rows if row.get("clip_loss")]
    steps = max(set.intersection(*(set(row["clip_loss"]) for row in chosen)), key=_number, default="") if chosen else ""
    if not steps.isdigit():
        return undecided(name, statement, "no per-clip losses: step 3 (sensitivity) is missing", published_text)
    alphas, losses, of = _clip_losses(chosen, steps)
    if len(alphas) < 3 or losses.shape[1] < 2:
        reason = "fewer than 3 step sizes or 2 clips: step 3 (sensitivity) ended early"
        return undecided(name, statement, reason, published_text)
    best = int(losses.mean(axis=1).argmax())
    several = len(set(of.seeds)) > 1
    last = len(alphas) - 1
    on_edge = best in (0, last)
    tried, against = ([*range(1, last)], [0, last]) if on_edge else ([*range(last + 1)], [last])
    found = mean(_cross_fitted(losses, of.sources, tried, against), of.sources, of.seeds if several else None)
    unit = "source" if tells_sources(chosen) else "clip"
    where = f"the best α ({alphas[best]:.3g}) minus at the largest ({alphas[last]:.3g})"
    if on_edge:
        where = f"the best α inside the grid minus on its better edge ({alphas[best]:.3g})"
    statistic = (
        f"mean loss at {where}, ε={eps:g}, i={steps}: "
        f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f} over {found.over.replace('source', unit)})"
    )
    return Comparison(
        name, statement, statistic, published_text, found, ON_AN_EDGE if on_edge else FALLS, found.seeds,
        losses.shape[1], found.sources if unit == "source" else 0, unit=unit,
    )  # fmt: skip


def _number(step: str) -> int:
    return int(step) if step.isdigit() else -1


def _clip_losses(rows: Sequence[Row], steps: str) -> tuple[np.ndarray, np.ndarray, ClipValues]:
    """Step sizes ``A`` and per-clip losses ``A × N`` after so many steps; the clips of all seeds side by side.

    The sample has the sources and seeds of the clips, and no values.
    """
    alphas = sorted({row["alpha"] for row in rows})
    cells = {(row["alpha"], row.get("seed", 0)): row for row in rows}
    seeds = sorted({seed for _, seed in cells})
    every = {seed: [cells[alpha, seed] for alpha in alphas if (alpha, seed) in cells] for seed in seeds}
    whole = {
        seed: some
        for seed, some in every.items()
        if len(some) == len(alphas) and len({(row["clips"], row.get("clips_of")) for row in some}) == 1
    }  # of the same clips
    losses = [np.array([row["clip_loss"][steps] for row in some], float) for some in whole.values()]
    of = ClipValues(
        np.zeros(0),
        [source for some in whole.values() for source in sources(some[0])],
        [seed for seed, some in whole.items() for _ in range(some[0]["clips"])],
    )
    return np.array(alphas), np.concatenate(losses, axis=1) if losses else np.zeros((len(alphas), 0)), of


def _cross_fitted(losses: np.ndarray, of: ClusterLabels, tried: list[int], against: list[int]) -> np.ndarray:
    """Per-clip loss at the best α of some minus at the best of others; each half of the sources uses the other half's.

    Choosing the maximum on the clips that measure it would find a fall in pure noise.
    """
    numbers = {source: number for number, source in enumerate(dict.fromkeys(of))}
    odd = np.array([numbers[source] % 2 == 1 for source in of])
    fall = np.empty(losses.shape[1])
    for half in (odd, ~odd):
        other = losses[:, ~half] if (~half).any() else losses
        one, two = (some[int(other[some].mean(axis=1).argmax())] for some in (tried, against))
        fall[half] = losses[one, half] - losses[two, half]
    return fall


def _published_fall(eps: float) -> str:
    surface = published.sensitivity_numbers(eps)
    if surface is None:
        return "none at this ε"
    last = surface.loss[:, -1]
    best = int(last.argmax())
    return (
        f"{last[best] - last[-1]:g} ({last[best]:g} at α={surface.alphas[best]:.3g}, {last[-1]:g} at "
        f"α={surface.alphas[-1]:g}; i={surface.steps[-1]}, another unit of loss)"
    )


# ---------------------------------------------------------------------------------------------- training claims


def _comparisons(rows: Sequence[Row], family: _Family, over: Estimator) -> list[Claim]:
    """The family under PGD, and, where the run has it, the same under all attacks of a judgement."""
    found = main_steps(rows)
    steps = 20 if found is None else found
    by_pgd = [row for row in evaluated(rows, steps) if row["eps"] > 0]
    by_all = worst_case_rows(rows)
    in_worst_case = replace(
        family, name=f"{family.name}, worst case", statement=f"{family.statement[:-1]}, in the worst case."
    )
    return _judge(by_pgd, family, f"PGD(i={steps})", over) + (
        _judge(by_all, in_worst_case, WORST, over) if by_all else []
    )


def _judge(chosen: Sequence[Row], family: _Family, under: str, over: Estimator) -> list[Claim]:
    present = {row["model"] for row in chosen}
    judged = [pair for number, pair in enumerate(family.pairs) if number == 0 or present.issuperset(pair)]
    return decided([_comparison(chosen, family, pair, under, over) for pair in judged])


def _comparison(
    chosen: Sequence[Row], family: _Family, pair: tuple[str, str], under: str, over: Estimator
) -> Claim | Comparison:
    first, second = pair
    name, statement = family.name, f"{family.statement} {first} against {second}"
    slides_value = _published_advantage(first, second) if under != WORST else "none: the slides attack by PGD alone"
    shared = common_eps(chosen)
    one, two = ([row for row in chosen if row["model"] == model and row["eps"] in shared] for model in pair)
    lacking = [model for model, found in zip(pair, (one, two), strict=True) if not found]
    if lacking:
        what = f"no accuracy of {' and '.join(lacking)} under attack"
        reason = f"{what}: step 5 (training) or 6 (accuracy against ε) is missing"
        return undecided(name, statement, reason, slides_value)
    found = advantage(one, two, over)
    if found is None:
        reason = "no seed has every ε of both models on the same clips: step 6 (accuracy against ε) ended early"
        return undecided(name, statement, reason, slides_value)
    listed = ", ".join(f"{eps:g}" for eps in found.eps)
    statistic = f"mean difference of accuracy over ε={listed} under {under}: {found}"
    if family.rule is NOT_BETTER:
        margin, p = f"{100 * MARGIN:g} points", equivalent(found.found, MARGIN)
        statistic += f"; equal within {margin} (two one-sided tests, not adjusted): p = {p:.2g}"
    return _tested(name, statement, statistic, slides_value, found, family.rule, pair)


def _tested(
    name: str,
    statement: str,
    statistic: str,
    slides_value: str,
    found: Effect,
    rule: ClaimRule,
    models: tuple[str, ...],
) -> Comparison:
    sources, seeds = found.found.sources if found.unit == "source" else 0, len(found.per_seed)
    return Comparison(
        name, statement, statistic, slides_value, found.found, rule, seeds, found.clips, sources, SEEDS_NEEDED, models,
        found.unit,
    )  # fmt: skip


def _published_advantage(first: str, second: str) -> str:
    table = published.robustness_numbers()
    one, two = table.get((first, 20)), table.get((second, 20))
    if not one or not two:
        return "none"
    mean = np.mean([one[eps] - two[eps] for eps in one if eps > 0 and eps in two])
    return f"{100 * float(mean):+.1f} points under PGD(i=20), no interval published"


def gap_claims(rows: Sequence[Row], over: Estimator = fixed) -> list[Claim]:
    """Does train − validation accuracy grow while a model trains?"""
    name, statement = GAP_GROWS, "Train − validation accuracy grows during training."
    models = list(dict.fromkeys(row["model"] for row in of_kind(rows, "gap")))
    if not models:
        reason = "no accuracies by epoch: step 7 (generalisation gap) is missing"
        return [undecided(name, statement, reason, _published_gap())]
    return decided([_gap_claim(rows, model, name, f"{statement} {model}", over) for model in models])


def _gap_claim(rows: Sequence[Row], model: str, name: str, statement: str, over: Estimator) -> Claim | Comparison:
    published_text = _published_gap() if model == published.GAP_MODEL else "none for this model"
    found = gap_growth(rows, model, over)
    if found is None:
        return undecided(
            name, statement, "fewer than 3 epochs: step 7 (generalisation gap) ended early", published_text
        )
    each = ", ".join(f"{100 * gap:+.1f} at ε={eps:g}" for eps, gap in found.per_eps)
    statistic = (
        f"gap in the last third of {found.epochs} measured epochs minus the first third, mean over ε: {found}; {each}"
    )
    return _tested(name, statement, statistic, published_text, found, GROWS, (model,))


def _published_gap() -> str:
    table, growth = published.gap_numbers(), []
    for eps in sorted({eps for eps, _ in table}):
        train, val = table[eps, "train"], table[eps, "val"]
        gaps = [train[epoch] - val[epoch] for epoch in sorted(train.keys() & val.keys())]
        third = len(gaps) // 3
        growth.append(np.mean(gaps[-third:]) - np.mean(gaps[:third]))
    return f"{100 * float(np.mean(growth)):+.1f} points over 175 epochs, no interval published"
