from __future__ import annotations

import numpy as np
import pytest

from vidrobust.results.numbers.claims import (
    FALLING,
    RISING,
    RISING_FALLING,
    RISING_FIXED,
    STRONG,
    STRONGER_WEAKER,
    WEAK,
    claims,
    linearity_claims,
    sensitivity_claims,
)
from vidrobust.results.published import numbers as published


def by_name(rows):
    found = {}
    for claim in claims(rows):
        found.setdefault(claim.name, []).append(claim)
    return found


def ordered(claim):
    return claim.low < claim.value < claim.high


def test_a_run_with_three_seeds_decides(synthetic):
    found = by_name(synthetic.rows())
    assert {name: group[0].verdict for name, group in found.items()} == {
        "step size has an interior optimum": "reproduced",
        "α* grows linearly with ε": "reproduced",
        "better attacks do not make better defences": "reproduced",
        "rising beats fixed": "reproduced",
        "rising beats falling": "reproduced",
        "the generalisation gap grows": "reproduced",
    }


def test_the_opposite_run_decides_the_opposite(synthetic):
    models = dict(synthetic.QUICK)
    models[STRONG], models[WEAK] = (0.95, 12.0), (0.95, 3.0)
    models[FALLING] = (0.95, 14.0)
    models[RISING] = (0.95, 1.0)
    found = by_name(synthetic.rows(models))
    for name in ("better attacks do not make better defences", "rising beats fixed", "rising beats falling"):
        assert found[name][0].verdict == "not reproduced"
        assert ordered(found[name][0])


def test_one_seed_never_decides_a_training_claim_and_shows_its_interval(synthetic):
    found = by_name(synthetic.rows(seeds=1))
    for name in ("better attacks do not make better defences", "rising beats falling", "the generalisation gap grows"):
        (claim,) = found[name]
        assert claim.verdict == "undecided" and claim.reason.startswith("one seed") and claim.seeds == 1
        assert ordered(claim)
    assert by_name(synthetic.rows(seeds=2))["rising beats falling"][0].reason.startswith("2 seeds")


@pytest.mark.parametrize(
    ("kind", "name", "step"),
    [
        ("trajectory", "step size has an interior optimum", "step 3"),
        ("step_size", "α* grows linearly with ε", "step 4"),
        ("robustness", "rising beats fixed", "6 (accuracy against ε)"),
        ("gap", "the generalisation gap grows", "step 7"),
    ],
)
def test_a_missing_step_is_named(synthetic, kind, name, step):
    (claim,) = by_name([row for row in synthetic.rows() if row["kind"] != kind])[name]
    assert claim.verdict == "undecided" and step in claim.reason and claim.value is None


def test_an_empty_run_has_every_claim_undecided():
    found = claims([])
    assert len(found) == 6 and {claim.verdict for claim in found} == {"undecided"}


def test_further_pairs_are_judged_where_the_run_has_them(synthetic):
    found = by_name(synthetic.rows(synthetic.FULL))
    assert len(found["better attacks do not make better defences"]) == 3
    assert len(found["rising beats fixed"]) == len(RISING_FIXED)


def test_every_policy_of_the_tables_has_published_numbers():
    policies = {policy for pair in (*STRONGER_WEAKER, *RISING_FIXED, *RISING_FALLING) for policy in pair}
    assert policies <= {model for model, _ in published.robustness_numbers()}
    assert len(published.DEFENCES) == 14


def step_size_rows(alphas, **more):
    return [
        {
            "kind": "step_size",
            "eps": eps,
            "steps": 10,
            "alpha": alpha,
            "low": alpha,
            "high": alpha,
            "interior": True,
            "clips": 9,
        }
        | more
        for eps, alpha in enumerate(alphas, start=1)
    ]


@pytest.mark.parametrize(
    ("alphas", "verdict", "reason"),
    [
        (0.2 + 0.15 * np.arange(1, 13) + 0.02 * np.sin(np.arange(12)), "reproduced", "slope is above 0"),
        (np.arange(1, 13) ** 0.4, "not reproduced", "outside 0.8–1.25"),
        (np.arange(1, 13) ** 0.9, "reproduced", "close to linear"),
        (np.arange(1, 13) ** 0.8 * (1 + 0.03 * (-1) ** np.arange(12)), "undecided", "may or may not"),
        (1 + 0.5 * np.sin(2 * np.arange(12)), "not reproduced", "contains 0"),
        (3 - 0.1 * np.arange(12), "not reproduced", "falls"),
        (1 + 0.1 * np.arange(12) + 0.3 * np.cos(3 * np.arange(12)), "undecided", "below 0.9"),
    ],
)
def test_linear_is_tested_and_not_assumed(alphas, verdict, reason):
    (claim,) = linearity_claims(step_size_rows([float(alpha) for alpha in alphas]))
    assert (claim.verdict, reason in claim.reason) == (verdict, True), claim


def test_optima_on_the_edge_do_not_count():
    rows = step_size_rows([0.1 * eps for eps in range(1, 13)])
    for row in rows[:9]:
        row["interior"] = False
    (claim,) = linearity_claims(rows)
    assert claim.verdict == "undecided" and "only 3 optima" in claim.reason


def surface_of(losses):
    return [
        {"kind": "trajectory", "model": "standard", "seed": 0, "eps": 8, "alpha": alpha, "clips": len(clip),
         "surface": True, "loss": [0.0, 1.0], "correct": [1, 1],
         "clip_loss": {"5": [0.0] * len(clip), "30": list(clip)}}
        for alpha, clip in zip(np.geomspace(0.5, 8, len(losses)).tolist(), losses, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("means", "verdict"),
    [([1, 2, 3, 2, 1], "reproduced"), ([1, 2, 3, 4, 5], "not reproduced"), ([5, 4, 3, 2, 1], "not reproduced")],
)
def test_the_optimum_must_be_interior_and_fall(means, verdict):
    rng = np.random.default_rng(0)
    (claim,) = sensitivity_claims(surface_of([mean + rng.normal(0, 0.3, 50) for mean in means]))
    assert claim.verdict == verdict and claim.clips == 50


def test_noise_is_not_mistaken_for_a_fall():
    decided = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        (claim,) = sensitivity_claims(surface_of(rng.normal(0, 1, (14, 60))))
        decided += claim.verdict == "reproduced"
    assert decided <= 4  # choosing the maximum on the clips that measure it would call a fall 24 times
