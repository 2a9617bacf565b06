"""The claims of the slides, each decided by a statistic of this run's rows: nothing here is typed by hand.

A verdict is ``reproduced``, ``not reproduced`` or ``undecided``; ``undecided`` always comes with its reason. What the
published numbers give for the same statistic stands beside it, and takes no part in the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
from vidrobust.results.numbers.accuracy import evaluated, main_steps
from vidrobust.results.numbers.advantages import SEEDS_NEEDED, Advantage, GapGrowth, advantage, common_eps, gap_growth
from vidrobust.results.numbers.fits import PowerFit, linear_fit, power_fit
from vidrobust.results.numbers.intervals import bootstrap_mean
from vidrobust.results.numbers.selection import Rows, grouped, of_kind
from vidrobust.results.numbers.sensitivity import step_size_rows, surface_rows
from vidrobust.results.published import numbers as published
from vidrobust.runs.rows import Row

ClaimVerdict = Literal["reproduced", "not reproduced", "undecided"]

STRONGER_WEAKER = ((STRONG, WEAK), (RISING_20, RISING_5), (FAST_20, FAST_5))
"""Pairs of a stronger and a weaker training attack; the first is always judged, the others where the run has them."""

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
    ("rising − fixed", RISING, WEAK),
    ("rising − falling", RISING, FALLING),
    ("small − large ε", SMALL, LARGE),
)
"""What the difficulty figure compares: (label, first, second)."""

MARGIN = 0.01
"""A stronger attack that defends better by no more than one point does not count as a better defence."""
R2_NEEDED = 0.9
AICC_CLEAR = 4.0
NEAR_LINEAR = (0.8, 1.25)
"""A power law with its exponent in here is called close to linear: where the points hardly scatter, AICc tells even
0.95 from 1."""
POINTS_NEEDED = 5


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
    """Training runs behind it; 0 where no training is involved beyond the one model under attack."""
    clips: int
    verdict: ClaimVerdict
    reason: str
    published: str
    """The published numbers' own value of the statistic, or why there is none."""


def claims(rows: Iterable[Row]) -> list[Claim]:
    """Judge every claim of the slides.

    Args:
        rows: rows of a run, of any kind.

    Returns:
        At least one claim for each statement; where rows are missing it is ``undecided`` and says which step lacks.
    """
    rows = Rows.of(rows)
    return [
        *sensitivity_claims(rows),
        *linearity_claims(rows),
        *_comparisons(
            rows, "better attacks do not make better defences",
            "A stronger training attack does not defend better than a weaker one.", STRONGER_WEAKER, _not_better,
        ),
        *_comparisons(
            rows, "rising beats fixed", "A rising ε defends better than a fixed ε.", RISING_FIXED, _better,
        ),
        *_comparisons(
            rows, "rising beats falling", "A rising ε defends better than a falling ε.", RISING_FALLING, _better,
        ),
        *gap_claims(rows),
    ]  # fmt: skip


def _undecided(name: str, statement: str, reason: str, slides_value: str = "", clips: int = 0) -> Claim:
    return Claim(name, statement, "not measured", None, None, None, 0, clips, "undecided", reason, slides_value)


# -------------------------------------------------------------------------------------------------- sensitivity


def sensitivity_claims(rows: Sequence[Row]) -> list[Claim]:
    """Has the loss an optimum inside the grid of step sizes, and does it fall at the largest?"""
    name = "step size has an interior optimum"
    statement = "PGD's loss has an optimum in α and falls at large α."
    by_eps = grouped(surface_rows(rows), "eps")
    if not by_eps:
        return [_undecided(name, statement, "no trajectories: step 3 (sensitivity) is missing", _published_fall(8))]
    return [_sensitivity_claim(by_eps[eps], eps, name, f"{statement} (ε={eps:g})") for eps in sorted(by_eps)]


def _sensitivity_claim(rows: Sequence[Row], eps: float, name: str, statement: str) -> Claim:
    slides_value = _published_fall(eps)
    chosen = [row for row in rows if row.get("clip_loss")]
    steps = max(set.intersection(*(set(row["clip_loss"]) for row in chosen)), key=_number, default="") if chosen else ""
    if not steps.isdigit():
        return _undecided(name, statement, "no per-clip losses: step 3 (sensitivity) is missing", slides_value)
    alphas, losses = _clip_losses(chosen, steps)
    if len(alphas) < 3 or losses.shape[1] < 2:
        return _undecided(
            name, statement, "fewer than 3 step sizes or 2 clips: step 3 (sensitivity) ended early", slides_value
        )
    best = int(losses.mean(axis=1).argmax())
    fall = _cross_fitted_fall(losses)
    low, high = bootstrap_mean(fall)
    value = float(fall.mean())
    statistic = (
        f"mean loss at the best α ({alphas[best]:.3g}) minus at the largest ({alphas[-1]:.3g}), ε={eps:g}, i={steps}: "
        f"{value:.3f} ({low:.3f} to {high:.3f})"
    )
    if best == 0 or best == len(alphas) - 1:
        edge = "smallest" if best == 0 else "largest"
        verdict, reason = "not reproduced", f"the greatest loss is at the {edge} α of the grid"
    elif low > 0:
        verdict, reason = "reproduced", "the optimum is interior and the interval of the fall is above 0"
    elif high <= 0:
        verdict, reason = "not reproduced", "the loss does not fall towards the largest α"
    else:
        verdict, reason = "undecided", "the interval of the fall contains 0"
    return Claim(name, statement, statistic, value, low, high, 0, losses.shape[1], verdict, reason, slides_value)


def _number(step: str) -> int:
    return int(step) if step.isdigit() else -1


def _clip_losses(rows: Sequence[Row], steps: str) -> tuple[np.ndarray, np.ndarray]:
    """Step sizes ``A`` and per-clip losses ``A × N`` after so many steps; the clips of all seeds side by side."""
    alphas = sorted({row["alpha"] for row in rows})
    cells = {(row["alpha"], row.get("seed", 0)): row["clip_loss"][steps] for row in rows}
    seeds = sorted({seed for _, seed in cells})
    every = {seed: [cells.get((alpha, seed), ()) for alpha in alphas] for seed in seeds}
    whole = [losses for losses in every.values() if len({len(clips) for clips in losses}) == 1]  # of the same clips
    if not whole:
        return np.array(alphas), np.zeros((len(alphas), 0))
    return np.array(alphas), np.concatenate([np.array(losses, float) for losses in whole], axis=1)


def _cross_fitted_fall(losses: np.ndarray) -> np.ndarray:
    """Per-clip loss at the best α minus at the largest; each half of the clips uses the best α of the other half.

    Choosing the maximum on the clips that measure it would find a fall in pure noise.
    """
    fall = np.empty(losses.shape[1])
    for half in (0, 1):
        best = losses[:, 1 - half :: 2].mean(axis=1).argmax()
        fall[half::2] = losses[best, half::2] - losses[-1, half::2]
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


# ---------------------------------------------------------------------------------------------------- linearity


def linearity_claims(rows: Sequence[Row]) -> list[Claim]:
    """Is α*(ε) a straight line, and does a power law describe it better?"""
    name, statement = "α* grows linearly with ε", "The optimal step size grows linearly with ε."
    found = step_size_rows(rows)
    if not found:
        return [_undecided(name, statement, "no step sizes: step 4 (α* against ε) is missing", _published_line())]
    by_steps = grouped(found, "steps")
    return [_linearity_claim(by_steps[steps], name, f"{statement} (i={steps})") for steps in sorted(by_steps)]


def _linearity_claim(rows: Sequence[Row], name: str, statement: str) -> Claim:
    inside = [row for row in rows if row["interior"]]
    clips, left_out = max(row["clips"] for row in rows), len(rows) - len(inside)
    if len({row["eps"] for row in inside}) < POINTS_NEEDED:
        reason = (
            f"only {len(inside)} optima inside the grid, {POINTS_NEEDED} are needed: step 4 (α* against ε) ended early"
        )
        return _undecided(name, statement, reason, _published_line(), clips)
    x, y = [row["eps"] for row in inside], [row["alpha"] for row in inside]
    line, power = linear_fit(x, y), power_fit(x, y)
    better = line.aicc - power.aicc
    statistic = (
        f"slope {line.slope:.3f} ({line.slope_low:.3f} to {line.slope_high:.3f}), intercept {line.intercept:.2f} "
        f"({line.intercept_low:.2f} to {line.intercept_high:.2f}), R² {line.r2:.3f}; power law: exponent "
        f"{power.exponent:.2f} ({power.exponent_low:.2f} to {power.exponent_high:.2f}), R² {power.r2:.3f}; "
        f"AICc line − power {better:+.1f}; {len(inside)} ε"
        + (f", {left_out} left out (optimum on the edge of the grid)" if left_out else "")
    )
    if line.slope_low <= 0 <= line.slope_high:
        verdict, reason = "not reproduced", "the slope's interval contains 0"
    elif line.slope_high < 0:
        verdict, reason = "not reproduced", "α* falls with ε"
    elif line.r2 < R2_NEEDED:
        verdict, reason = "undecided", f"α* grows, but R² is below {R2_NEEDED:g}"
    elif better <= AICC_CLEAR:
        verdict, reason = "reproduced", f"the slope is above 0, R² ≥ {R2_NEEDED:g}, and no power law is clearly better"
    else:
        verdict, reason = _bent(power)
    return Claim(
        name, statement, statistic, line.slope, line.slope_low, line.slope_high, 0, clips, verdict, reason,
        _published_line(),
    )  # fmt: skip


def _bent(power: PowerFit) -> tuple[ClaimVerdict, str]:
    """Verdict and reason where a power law fits clearly better: how far from 1 is its exponent?"""
    low, high = NEAR_LINEAR
    clearly = f"a power law is better by more than {AICC_CLEAR:g} AICc"
    if low <= power.exponent_low and power.exponent_high <= high:
        return "reproduced", f"{clearly}, but its exponent is within {low:g}–{high:g}: close to linear"
    if power.exponent_high < low or power.exponent_low > high:
        return "not reproduced", f"{clearly}, and its exponent is outside {low:g}–{high:g}"
    return "undecided", f"{clearly}, and its exponent may or may not be within {low:g}–{high:g}"


def _published_line() -> str:
    x, y = published.step_size_numbers()
    line, power = linear_fit(x, y), power_fit(x, y)
    return (
        f"slope {line.slope:.3f} ({line.slope_low:.3f} to {line.slope_high:.3f}), R² {line.r2:.2f}; "
        f"power law: exponent {power.exponent:.2f}, R² {power.r2:.2f}; AICc line − power {line.aicc - power.aicc:+.1f}"
    )


# ---------------------------------------------------------------------------------------------- training claims


def _not_better(found: Advantage) -> tuple[ClaimVerdict, str]:
    if found.high <= MARGIN:
        return "reproduced", f"the stronger attack's advantage is at most {100 * MARGIN:g} point"
    if found.low > 0:
        return "not reproduced", "the stronger attack makes a better defence: the interval is above 0"
    return "undecided", "the interval contains both no advantage and one of more than a point"


def _better(found: Advantage) -> tuple[ClaimVerdict, str]:
    if found.low > 0:
        return "reproduced", "the interval of the advantage is above 0"
    if found.high <= 0:
        return "not reproduced", "the interval of the advantage is not above 0"
    return "undecided", "the interval contains 0"


def _comparisons(
    rows: Sequence[Row], name: str, statement: str, pairs: Sequence[tuple[str, str]], judge: Any
) -> list[Claim]:
    found = main_steps(rows)
    steps = 20 if found is None else found
    chosen = [row for row in evaluated(rows, steps) if row["eps"] > 0]
    present = {row["model"] for row in chosen}
    present_pairs = [pair for number, pair in enumerate(pairs) if number == 0 or present.issuperset(pair)]
    return [_comparison(chosen, name, statement, pair, steps, judge) for pair in present_pairs]


def _comparison(
    chosen: Sequence[Row], name: str, statement: str, pair: tuple[str, str], steps: int, judge: Any
) -> Claim:
    first, second = pair
    statement, slides_value = f"{statement} {first} against {second}", _published_advantage(first, second)
    shared = common_eps(chosen)
    ours = [[row for row in chosen if row["model"] == model and row["eps"] in shared] for model in pair]
    lacking = [model for model, found in zip(pair, ours, strict=True) if not found]
    if lacking:
        what = f"no accuracy of {' and '.join(lacking)} under attack"
        reason = f"{what}: step 5 (training) or 6 (accuracy against ε) is missing"
        return _undecided(name, statement, reason, slides_value)
    found = advantage(*ours)
    if found is None:
        reason = "no seed has every ε of both models on the same clips: step 6 (accuracy against ε) ended early"
        return _undecided(name, statement, reason, slides_value)
    listed = ", ".join(f"{eps:g}" for eps in found.eps)
    statistic = f"mean difference of accuracy over ε={listed} under PGD(i={steps}): {points(found)}"
    verdict, reason = judge(found)
    if not found.over_seeds:
        verdict, reason = "undecided", _few_seeds(len(found.per_seed))
    return Claim(
        name, statement, statistic, found.value, found.low, found.high, len(found.per_seed), found.clips, verdict,
        reason, slides_value,
    )  # fmt: skip


def points(found: Advantage | GapGrowth) -> str:
    """A difference with its interval in percentage points, and what the interval is over.

    >>> points(Advantage(0.05, 0.01, 0.09, ((0, 0.05),), 100, (4.0,)))
    '+5.0 points (+1.0 to +9.0 over clips)'
    """
    over = f"{len(found.per_seed)} seeds" if found.over_seeds else "clips"
    return f"{100 * found.value:+.1f} points ({100 * found.low:+.1f} to {100 * found.high:+.1f} over {over})"


def _few_seeds(seeds: int) -> str:
    count = "one seed" if seeds == 1 else f"{seeds} seeds"
    return f"{count}: {SEEDS_NEEDED} are needed to speak of training; the interval is over clips only"


def _published_advantage(first: str, second: str) -> str:
    table = published.robustness_numbers()
    one, two = table.get((first, 20)), table.get((second, 20))
    if not one or not two:
        return "none"
    mean = np.mean([one[eps] - two[eps] for eps in one if eps > 0 and eps in two])
    return f"{100 * float(mean):+.1f} points under PGD(i=20), no interval published"


def gap_claims(rows: Sequence[Row]) -> list[Claim]:
    """Does train − validation accuracy grow while a model trains?"""
    name, statement = "the generalisation gap grows", "Train − validation accuracy grows during training."
    models = list(dict.fromkeys(row["model"] for row in of_kind(rows, "gap")))
    if not models:
        reason = "no accuracies by epoch: step 7 (generalisation gap) is missing"
        return [_undecided(name, statement, reason, _published_gap())]
    return [_gap_claim(rows, model, name, f"{statement} {model}") for model in models]


def _gap_claim(rows: Sequence[Row], model: str, name: str, statement: str) -> Claim:
    slides_value = _published_gap() if model == published.GAP_MODEL else "none for this model"
    found = gap_growth(rows, model)
    if found is None:
        return _undecided(name, statement, "fewer than 3 epochs: step 7 (generalisation gap) ended early", slides_value)
    each = ", ".join(f"{100 * gap:+.1f} at ε={eps:g}" for eps, gap in found.per_eps)
    statistic = (
        f"gap in the last third of {found.epochs} measured epochs minus the first third, mean over ε: "
        f"{points(found)}; {each}"
    )
    verdict, reason = "undecided", "the interval contains 0"
    if not found.over_seeds:
        reason = _few_seeds(len(found.per_seed))
    elif found.low > 0:
        verdict, reason = "reproduced", "the interval of the growth is above 0"
    elif found.high <= 0:
        verdict, reason = "not reproduced", "the interval of the growth is not above 0"
    return Claim(
        name, statement, statistic, found.value, found.low, found.high, len(found.per_seed), found.clips, verdict,
        reason, slides_value,
    )  # fmt: skip


def _published_gap() -> str:
    table, growth = published.gap_numbers(), []
    for eps in sorted({eps for eps, _ in table}):
        train, val = table[eps, "train"], table[eps, "val"]
        gaps = [train[epoch] - val[epoch] for epoch in sorted(train.keys() & val.keys())]
        third = len(gaps) // 3
        growth.append(np.mean(gaps[-third:]) - np.mean(gaps[:third]))
    return f"{100 * float(np.mean(growth)):+.1f} points over 175 epochs, no interval published"
