from __future__ import annotations

from vidrobust.results.numbers.accuracy import (
    clean_point,
    evaluated,
    evaluation_steps,
    gap_curves,
    intervals_of,
    main_steps,
    robustness_curves,
)
from vidrobust.results.numbers.selection import of_kind


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


def test_points_have_intervals_over_sources_and_seeds_where_rows_tell_them(synthetic):
    rows = synthetic.rows(seeds=3)
    (old, *_), (new, *_) = (
        [curve for curve in robustness_curves(found) if curve.model == "CAL(ε~U(0,12),α=ε,i=i*)"]
        for found in (rows, synthetic.with_manifests(rows))
    )
    for before, after in zip(old.points, new.points, strict=True):
        assert (before.correct, before.clips) == (after.correct, after.clips)
        assert before.estimate is None and before.over == "clips"
        assert (after.estimate.sources, after.estimate.seeds, after.over) == (12, 3, "12 sources and 3 seeds")
        assert after.interval != before.interval and after.interval[0] <= after.accuracy <= after.interval[1]
    assert intervals_of(new.points) == "95 % intervals over 12 sources and 3 seeds"
    assert "as if of a source of its own" in intervals_of(old.points)
    assert "those of rows without sources over clips" in intervals_of([*old.points, *new.points])


def test_few_sources_are_said_not_to_be_trusted(synthetic):
    (curve, *_) = robustness_curves(synthetic.with_manifests(synthetic.rows(seeds=1), sources=4))
    assert intervals_of(curve.points).endswith("With fewer than 10 sources (4) an interval cannot be trusted")
    assert "cannot be trusted" in str(curve.points[0])


def test_clean_accuracy_of_the_first_and_the_first_k_has_its_own_digits(synthetic):
    digits = {"right": "10" * 60, "within": "1110" * 30}
    row = synthetic.accuracy("m", 0, "test", 0.5, 120) | {"top1": 60, "top5": 90} | digits
    (found,) = of_kind([synthetic.manifest(120), row | {"clips_of": synthetic.manifest(120)["clips_of"]}], "accuracy")
    first, more = (clean_point([found], top) for top in ("top1", "top5"))
    assert (first.estimate.value, more.estimate.value) == (0.5, 0.75) and first.over == "12 sources"


def test_a_manifest_of_other_clips_is_not_taken(synthetic):
    row = synthetic.accuracy("m", 0, "test", 0.5, 100) | {"clips_of": synthetic.manifest(120)["clips_of"]}
    (found,) = of_kind([synthetic.manifest(120), row], "accuracy")
    assert clean_point([found], "top1").estimate is None
