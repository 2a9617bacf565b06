from __future__ import annotations

from vidrobust.results.numbers.accuracy import evaluated, evaluation_steps, gap_curves, main_steps, robustness_curves


def row(model="m", seed=0, eps=4, steps=20, survived="1100", **more):
    return {
        "kind": "robustness", "model": model, "seed": seed, "split": "test", "eps": eps, "alpha": 1.0, "steps": steps,
        "correct": survived.count("1"), "clips": len(survived), "survived": survived,
    } | more  # fmt: skip


def gap_rows(growth, seeds=3, epochs=9):
    return [
        {"kind": "gap", "model": "m", "seed": seed, "epoch": epoch, "split": split, "eps": eps, "alpha": 1, "steps": 5,
         "clips": 1000, "correct": 500 + (round(growth * 1000 * (epoch > 6)) + seed if split == "train" else 0)}
        for seed in range(seeds) for epoch in range(1, epochs + 1) for split in ("train", "val") for eps in (2, 8)
    ]  # fmt: skip


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
    assert sorted((r["eps"], r["correct"], r["clips"]) for r in evaluated(rows, 20)) == [(0, 20, 20), (4, 1, 20)]
    (curve,) = robustness_curves(rows)
    assert [(point.correct, point.clips) for point in curve.points] == [(20, 20), (1, 20)]


def test_validation_clips_are_shown_where_there_are_no_test_clips():
    (curve,) = robustness_curves([row(split="val")])
    assert curve.split == "val"


def test_gap_curves_are_one_for_model_eps_and_split():
    curves = gap_curves(gap_rows(0.1))
    assert [(curve.eps, curve.split) for curve in curves] == [(2, "train"), (2, "val"), (8, "train"), (8, "val")]
    assert [point.x for point in curves[0].points] == list(range(1, 10))


def test_a_few_clips_beside_many_are_shown_with_their_own_count():
    rows = [row(eps=eps, survived="1" * 50 + "0" * 50) for eps in (0, 2, 8)] + [row(eps=4, survived="1" * 5 + "0" * 15)]
    (curve,) = robustness_curves(rows)
    assert [(point.x, point.clips) for point in curve.points] == [(0, 100), (2, 100), (4, 20), (8, 100)]


def test_one_model_under_more_iterations_does_not_stand_for_all():
    rows = [row(model, steps=steps) for model in ("a", "b") for steps in (5, 20)] + [row("a", steps=100)]
    assert evaluation_steps(rows) == [5, 20, 100] and main_steps(rows) == 20
    assert main_steps([row(eps=0)]) is None


def test_clips_that_were_not_attacked_are_counted():
    (curve,) = robustness_curves([row(no_gradient=1), row(seed=1, no_gradient=2), row(eps=8)])
    assert [point.unattacked for point in curve.points] == [3, 0]


def test_other_iterations_of_the_gap_are_no_further_seed():
    rows = [one | {"steps": steps} for steps in (5, 10) for one in gap_rows(0.1, seeds=1)]
    assert {point.clips for curve in gap_curves(rows) for point in curve.points} == {1000}
