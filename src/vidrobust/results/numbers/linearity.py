"""Is α*(ε) a straight line? A claim that fits decide, not a difference of accuracies."""

from __future__ import annotations

from collections.abc import Sequence

from vidrobust.results.numbers.accuracy import untrusted
from vidrobust.results.numbers.deciding import Claim, ClaimVerdict, undecided
from vidrobust.results.numbers.fits import PowerFit, linear_fit, power_fit
from vidrobust.results.numbers.selection import grouped
from vidrobust.results.numbers.sensitivity import step_size_rows
from vidrobust.results.numbers.statistics import FEW
from vidrobust.results.published import numbers as published
from vidrobust.runs.rows import Row

R2_NEEDED = 0.9
AICC_CLEAR = 4.0
NEAR_LINEAR = (0.8, 1.25)
"""A power law with its exponent in here is called close to linear: where the points hardly scatter, AICc tells even
0.95 from 1."""
POINTS_NEEDED = 5


def linearity_claims(rows: Sequence[Row]) -> list[Claim]:
    """Is α*(ε) a straight line, and does a power law describe it better?"""
    name, statement = "α* grows linearly with ε", "The optimal step size grows linearly with ε."
    found = step_size_rows(rows)
    if not found:
        return [undecided(name, statement, "no step sizes: step 4 (α* against ε) is missing", _published_line())]
    by_steps = grouped(found, "steps")
    return [_linearity_claim(by_steps[steps], name, f"{statement} (i={steps})") for steps in sorted(by_steps)]


def _linearity_claim(rows: Sequence[Row], name: str, statement: str) -> Claim:
    inside = [row for row in rows if row["interior"]]
    clips, left_out = max(row["clips"] for row in rows), len(rows) - len(inside)
    if len({row["eps"] for row in inside}) < POINTS_NEEDED:
        reason = (
            f"only {len(inside)} optima inside the grid, {POINTS_NEEDED} are needed: step 4 (α* against ε) ended early"
        )
        return undecided(name, statement, reason, _published_line(), clips)
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
    seeds, sources = len({row.get("seed", 0) for row in rows}), min(row.get("sources", 0) for row in rows)
    if 0 < sources < FEW:
        verdict, reason = "undecided", untrusted(sources).lower()
    elif line.slope_low <= 0 <= line.slope_high:
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
        name, statement, statistic, line.slope, line.slope_low, line.slope_high, seeds, clips, verdict, reason,
        _published_line(), sources,
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
