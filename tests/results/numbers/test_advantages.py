from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vidrobust.results.numbers.advantages import advantage, common_eps, difficulty_points, gap_growth


def row(model="m", seed=0, eps=4, steps=20, survived="1100", **more):
    return {
        "kind": "robustness", "model": model, "seed": seed, "split": "test", "eps": eps, "alpha": 1.0, "steps": steps,
        "correct": survived.count("1"), "clips": len(survived), "survived": survived,
    } | more  # fmt: skip


def some(found: Any) -> Any:
    assert found is not None
    return found


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


def test_other_clips_are_not_compared():
    ten, more = [row(eps=e, survived="1" * 10) for e in (4, 8)], [row(eps=e, survived="1" * 20) for e in (4, 8)]
    assert advantage(ten, more) is None and advantage([ten[0], more[1]], [ten[0], more[1]]) is None
    others = [one | {"clips_of": name} for name in ("a", "b") for one in ten]
    assert advantage(others[:2], others[2:]) is None and advantage(others[:2], ten) is not None


def test_one_model_at_a_further_eps_leaves_the_common_ones():
    rows = [row(model, seed, eps) for model in ("a", "b") for seed in (0, 1) for eps in (0, 4, 8)]
    assert common_eps([*rows, row("a", 0, 16)]) == {4, 8} and common_eps([row("a", eps=16)]) == {16}
