from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vidrobust.results.numbers.claims import (
    BETTER,
    FALLING,
    MARGIN,
    RISING,
    RISING_FALLING,
    RISING_FIXED,
    STRONG,
    STRONGER_WEAKER,
    WEAK,
    claims,
    sensitivity_claims,
)
from vidrobust.results.numbers.deciding import Comparison, decided
from vidrobust.results.numbers.linearity import linearity_claims
from vidrobust.results.numbers.selection import CLIP_SOURCES, WORST_CASE
from vidrobust.results.numbers.statistics import mean
from vidrobust.results.published import numbers as published


def by_name(rows):
    found = {}
    for claim in claims(rows):
        found.setdefault(claim.name, []).append(claim)
    return found


def ordered(claim):
    return claim.low < claim.value < claim.high


def test_a_run_with_six_seeds_decides(synthetic):
    found = by_name(synthetic.rows(seeds=6))
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
    found = by_name(synthetic.rows(models, seeds=6))
    for name in ("better attacks do not make better defences", "rising beats fixed", "rising beats falling"):
        assert found[name][0].verdict == "not reproduced"
        assert ordered(found[name][0])


def test_sources_stand_beside_seeds_and_too_few_of_them_decide_nothing(synthetic):
    rows = synthetic.rows(seeds=6)
    (claim,) = by_name(synthetic.with_manifests(rows))["rising beats falling"]
    assert (claim.verdict, claim.sources, claim.seeds) == ("reproduced", 12, 6)
    assert "over 12 sources and 6 seeds" in claim.statistic and claim.p < 0.05
    for name, group in by_name(synthetic.with_manifests(rows, sources=4)).items():
        for claim in group if name != "α* grows linearly with ε" else ():
            if claim.sources:
                assert claim.verdict == "undecided" and "cannot be trusted" in claim.reason, claim
                assert str(claim.more) == "6 more sources"


def test_an_undecided_claim_says_what_would_decide_it(synthetic):
    models = dict(synthetic.QUICK)
    models[RISING] = models[WEAK] = (0.95, 6.0)
    (claim, *_) = by_name(synthetic.with_manifests(synthetic.rows(models, seeds=4)))["rising beats fixed"]
    assert claim.verdict == "undecided" and claim.more.seeds + claim.more.sources > 0
    assert f"about {claim.more} would decide" in claim.reason


def advantages(rng, value, pairs, seeds=8, sources=16, clips=4):
    """Estimates of ``pairs`` advantages with effects of sources and seeds; all truly ``value``."""
    of_source, of_seed = rng.normal(0, 0.02, (pairs, sources)), rng.normal(0, 0.02, (pairs, seeds))
    noise = rng.normal(0, 0.1, (pairs, seeds, sources, clips))
    values = value + of_source[:, None, :, None] + of_seed[:, :, None, None] + noise
    where = np.indices((seeds, sources, clips))
    labels = where[1].ravel().tolist(), where[0].ravel().tolist()
    return [mean(one.ravel(), *labels, (-1.0, 1.0)) for one in values]


@pytest.mark.parametrize(("value", "wrong"), [(0.0, "reproduced"), (MARGIN, "not reproduced")])
def test_of_a_family_at_most_one_in_twenty_gets_a_wrong_verdict(value, wrong):
    """Without Holm's adjustment some of seven claims would be wrong far more often."""
    rng, rounds, families, alone = np.random.default_rng(0), 400, 0, 0
    for _ in range(rounds):
        found = advantages(rng, value, 7)
        drafts = [Comparison("n", "s", "t", "p", one, BETTER, 8, 64, 16, 3) for one in found]
        families += any(claim.verdict == wrong for claim in decided(drafts))
        alone += any(claim.verdict == wrong for draft in drafts for claim in decided([draft]))
    assert families / rounds <= 0.06
    assert alone / rounds > 0.08


def test_no_better_and_equal_are_told_apart(synthetic):
    models = dict(synthetic.QUICK)
    models[STRONG], models[WEAK] = (0.95, 2.0), (0.95, 12.0)  # the stronger attack defends worse: surely no better
    rows = synthetic.with_manifests(synthetic.rows(models, seeds=6))
    (claim,) = by_name(rows)["better attacks do not make better defences"]
    assert claim.verdict == "reproduced" and claim.high < 0
    assert "two one-sided tests, not adjusted): p = 1" in claim.statistic


def test_one_seed_never_decides_a_training_claim_and_shows_its_interval(synthetic):
    found = by_name(synthetic.rows(seeds=1))
    for name in ("better attacks do not make better defences", "rising beats falling", "the generalisation gap grows"):
        (claim,) = found[name]
        assert claim.verdict == "undecided" and claim.reason.startswith("one seed") and claim.seeds == 1
        assert ordered(claim)
    (claim,) = by_name(synthetic.with_manifests(synthetic.rows(seeds=2)))["rising beats falling"]
    assert claim.reason == "2 seeds: 3 are needed to speak of training"  # what it is over stands in the statistic
    assert "over 12 sources and 2 seeds" in claim.statistic


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


def test_noise_is_not_mistaken_for_a_fall_nor_for_an_optimum_on_the_edge():
    verdicts = Counter()
    for seed in range(600):
        rng = np.random.default_rng(seed)
        (claim,) = sensitivity_claims(surface_of(rng.normal(0, 1, (14, 60))))
        verdicts[claim.verdict] += 1
    assert verdicts["reproduced"] <= 30  # choosing the maximum on the clips that measure it would call a fall 240 times
    assert verdicts["not reproduced"] <= 30  # the greatest mean is on an edge two times in 14


@pytest.mark.parametrize("means", [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [1, 2, 3, 2, 1]])
def test_an_optimum_of_few_sources_decides_nothing(means):
    rng = np.random.default_rng(0)
    rows = surface_of([mean + rng.normal(0, 0.3, 48) for mean in means])
    few, enough = ([{**row, CLIP_SOURCES: [n % sources for n in range(48)]} for row in rows] for sources in (4, 12))
    (claim,), (other,) = sensitivity_claims(few), sensitivity_claims(enough)
    assert claim.verdict == "undecided" and "cannot be trusted" in claim.reason
    assert str(claim.more) == "6 more sources" and claim.seeds == 1
    assert other.verdict != "undecided" and other.sources == 12 and other.p < 0.05


def test_a_line_through_optima_of_few_sources_decides_nothing():
    alphas = [0.1 * eps for eps in range(1, 13)]
    few, enough = (linearity_claims(step_size_rows(alphas, sources=sources))[0] for sources in (4, 12))
    assert few.verdict == "undecided" and "cannot be trusted" in few.reason
    assert (enough.verdict, enough.sources, enough.seeds) == ("reproduced", 12, 1)


def test_the_worst_case_is_judged_by_itself(synthetic):
    """All attacks together may leave another order of defences than PGD does."""
    rows = synthetic.rows(seeds=6)
    assert not any(name.endswith("worst case") for name in by_name(synthetic.with_manifests(rows)))
    worst = [
        {**row, "model": {RISING: FALLING, FALLING: RISING}[row["model"]], "alpha": 0.0, "steps": 0}
        | {"search": WORST_CASE, "loss": "", "attack": "worst case of 8 attacks (ε=8)"}
        for row in rows
        if row["kind"] == "robustness" and row["eps"] == 8 and row["steps"] == 20 and row["model"] in (RISING, FALLING)
    ]
    found = by_name(synthetic.with_manifests([*rows, *worst]))
    (claim,) = found["rising beats falling"]
    (other,) = found["rising beats falling, worst case"]
    assert (claim.verdict, other.verdict) == ("reproduced", "not reproduced")
    assert "over ε=8 under the worst case of all attacks" in other.statistic and "in the worst case" in other.statement
    assert other.high < 0 < claim.low
    assert "+11.4 points" in claim.published and other.published == "none: the slides attack by PGD alone"
    missing, *_ = found["better attacks do not make better defences, worst case"]
    assert missing.verdict == "undecided" and "no accuracy of" in missing.reason
