from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vidrobust.results.numbers.curves import (
    advantage,
    difficulty_points,
    evaluated,
    gap_curves,
    gap_growth,
    masking_flags,
    robustness_curves,
)


def some(found: Any) -> Any:
    assert found is not None
    return found


def row(model="m", seed=0, eps=4, steps=20, survived="1100", **more):
    return {
        "kind": "robustness", "model": model, "seed": seed, "split": "test", "eps": eps, "alpha": 1.0, "steps": steps,
        "correct": survived.count("1"), "clips": len(survived), "survived": survived,
    } | more  # fmt: skip


def test_curves_pool_seeds_and_keep_them_apart_too():
    rows = [row(survived="1110"), row(seed=1, survived="1000"), row(eps=0, steps=0, survived="1111"), row(split="val")]
    (curve,) = robustness_curves(rows)
    assert [(point.x, point.correct, point.clips) for point in curve.points] == [(0, 4, 4), (4, 4, 8)]
    assert curve.points[1].per_seed == ((0, 0.75), (1, 0.25))
    assert curve.points[1].interval[0] < 0.5 < curve.points[1].interval[1]


def test_the_clean_accuracy_is_taken_once_whatever_its_steps():
    rows = [row(eps=0, steps=5), row(eps=0, steps=20), row(steps=5), row(steps=20)]
    assert [(r["eps"], r["steps"]) for r in evaluated(rows, 20)] == [(0, 5), (4, 20)]
    assert [(r["eps"], r["steps"]) for r in evaluated(rows, 5)] == [(0, 5), (4, 5)]


def test_a_second_evaluation_never_counts_twice():
    few, many = "10", "1110" * 5
    rows = [row(survived=few), row(eps=0, survived="11"), row(eps=0, survived="1" * 20)]
    rows += [row(survived=many, alpha=2.0), row(survived="1" + "0" * 19, alpha=0.5)]
    assert [(r["eps"], r["correct"], r["clips"]) for r in evaluated(rows, 20)] == [(0, 20, 20), (4, 1, 20)]
    (curve,) = robustness_curves(rows)
    assert [(point.correct, point.clips) for point in curve.points] == [(20, 20), (1, 20)]


def test_validation_clips_are_shown_where_there_are_no_test_clips():
    (curve,) = robustness_curves([row(split="val")])
    assert curve.split == "val"


def test_three_seeds_give_an_interval_over_seeds():
    first = [row(seed=s, eps=e, survived=text) for s, text in enumerate(("1111", "1110", "1100")) for e in (4, 8)]
    second = [row(seed=s, eps=e, survived="1000") for s in range(3) for e in (4, 8)]
    found = some(advantage(first, second))
    assert found.value == pytest.approx(0.5) and found.over_seeds
    assert found.per_seed == ((0, 0.75), (1, 0.5), (2, 0.25))
    assert found.high - found.value == pytest.approx(4.302653 * 0.25 / 3**0.5)


def test_fewer_seeds_give_a_paired_interval_over_clips():
    same = some(advantage([row(survived="1100" * 20)], [row(survived="1100" * 20)]))
    assert (same.value, same.low, same.high, same.over_seeds) == (0.0, 0.0, 0.0, False)  # pairing: no noise is left
    shifted = some(advantage([row(survived="1100" * 20)], [row(survived="0011" * 20)]))
    assert shifted.value == 0.0 and shifted.low < -0.1 < 0.1 < shifted.high


def test_a_seed_that_stopped_half_way_is_left_out():
    first = [row(seed=s, eps=e, survived="1111") for s in (0, 1) for e in (4, 8)]
    second = [row(seed=0, eps=4), row(seed=0, eps=8), row(seed=1, eps=4)]
    assert [seed for seed, _ in some(advantage(first, second)).per_seed] == [0]
    assert advantage(first, [row(seed=1, eps=4)]) is None
    assert advantage([], []) is None


def test_difficulty_gives_each_contrast_the_mean_and_every_eps():
    rows = [
        row(model, eps=eps, survived=text, contrast=contrast, kind="difficulty")
        for contrast in (0.3, 0.7)
        for model, text in (("a", "1110"), ("b", "1000"))
        for eps in (0, 4, 8)
    ]
    found = difficulty_points(rows, "a", "b")
    assert [(point.contrast, point.eps) for point in found] == [(c, e) for c in (0.3, 0.7) for e in (None, 4, 8)]
    assert {point.advantage.value for point in found} == {0.5}
    assert difficulty_points(rows, "a", "missing") == []


def gap_rows(growth, seeds=3, epochs=9):
    return [
        {"kind": "gap", "model": "m", "seed": seed, "epoch": epoch, "split": split, "eps": eps, "alpha": 1, "steps": 5,
         "clips": 1000, "correct": 500 + (round(growth * 1000 * (epoch > 6)) + seed if split == "train" else 0)}
        for seed in range(seeds) for epoch in range(1, epochs + 1) for split in ("train", "val") for eps in (2, 8)
    ]  # fmt: skip


def test_the_growth_of_the_gap_is_last_third_minus_first_third():
    found = some(gap_growth(gap_rows(0.1), "m"))
    assert found.value == pytest.approx(0.1) and found.over_seeds and found.epochs == 9
    assert dict(found.per_eps) == pytest.approx({2: 0.1, 8: 0.1})
    assert gap_growth(gap_rows(0.1, epochs=2), "m") is None
    single = some(gap_growth(gap_rows(0.1, seeds=1), "m"))
    assert not single.over_seeds
    assert single.high - single.value == pytest.approx(1.96 * np.sqrt((3 * 0.25 + 0.24) / 1000), rel=0.01)


def test_gap_curves_are_one_for_model_eps_and_split():
    curves = gap_curves(gap_rows(0.1))
    assert [(curve.eps, curve.split) for curve in curves] == [(2, "train"), (2, "val"), (8, "train"), (8, "val")]
    assert [point.x for point in curves[0].points] == list(range(1, 10))


def flags(rows):
    return {flag.check: flag for flag in masking_flags(rows)}


def test_a_sound_run_passes_every_check(synthetic):
    assert all(flag.passed for flag in masking_flags(synthetic.rows()))


@pytest.mark.parametrize(
    ("rows", "check"),
    [
        ([row(eps=0, survived="1" * 50 + "0" * 50), row(survived="1" * 60 + "0" * 40)], "robust ≤ clean"),
        ([row(eps=4, survived="1" * 20 + "0" * 80), row(eps=8, survived="1" * 30 + "0" * 70)], "falling in ε"),
        ([row(steps=5, survived="0" * 100), row(steps=20, survived="1" * 9 + "0" * 91)], "more steps never help"),
        ([row(steps=5, survived="01" * 50), row(steps=20, survived="10" * 50)], "more steps never help"),
    ],
)
def test_a_table_that_cannot_be_is_flagged(rows, check):
    assert not flags(rows)[check].passed
    assert any(character.isdigit() for character in flags(rows)[check].sentence)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"noise_correct": 10, "pgd_correct": 40}, "PGD beats noise"),
        ({"huge_correct": 30}, "huge ε breaks all"),
        ({"zero_gradient": 1}, "no zero gradients"),
    ],
)
def test_masked_gradients_are_flagged(change, check):
    sound = {
        "kind": "masking", "model": "m", "seed": 0, "clips": 100, "zero_gradient": 0, "noise_eps": 8,
        "noise_correct": 80, "pgd_correct": 30, "huge_eps": 128, "huge_correct": 0,
    }  # fmt: skip
    assert all(flag.passed for flag in masking_flags([sound]))
    assert [flag.check for flag in masking_flags([sound | change]) if not flag.passed] == [check]
