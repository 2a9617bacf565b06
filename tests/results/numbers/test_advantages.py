from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vidrobust.results.numbers.advantages import advantage, common_eps, difficulty_points, gap_growth
from vidrobust.results.numbers.selection import CLIP_SOURCES


def row(model="m", seed=0, eps=4, steps=20, survived="1100", sources=None, **more):
    """``sources`` are told in turn, clip after clip."""
    if sources is not None:
        more[CLIP_SOURCES] = tuple(sources[index % len(sources)] for index in range(len(survived)))
    return {
        "kind": "robustness", "model": model, "seed": seed, "split": "test", "eps": eps, "alpha": 1.0, "steps": steps,
        "correct": survived.count("1"), "clips": len(survived), "survived": survived,
    } | more  # fmt: skip


def some(found: Any) -> Any:
    assert found is not None
    return found


def digits(right):
    return "".join("1" if one else "0" for one in right)


SOURCES = tuple(f"g{index}" for index in range(12))


def test_seeds_and_sources_are_both_in_the_interval():
    """Two-way: with differences between seeds and between sources it is wider than over either alone."""
    rng = np.random.default_rng(0)
    by_seed, by_source = rng.normal(0.3, 0.2, 6), rng.normal(0, 0.3, 12)
    lead = by_seed[:, None, None] + by_source[None, None]
    right = (rng.random((6, 20, 12)) < 0.3 + lead).reshape(6, 240)
    first = [row(seed=s, survived=digits(right[s]), sources=SOURCES) for s in range(6)]
    second = [row(seed=s, survived="0" * 240, sources=SOURCES) for s in range(6)]
    found = some(advantage(first, second))
    assert found.value == pytest.approx(right.mean()) and len(found.per_seed) == 6 and found.unit == "source"
    assert (found.found.sources, found.found.seeds, found.found.freedom) == (12, 6, 5)
    assert str(found).endswith("over 12 sources and 6 seeds)")
    half = 2.5706 * np.sqrt(right.mean((1,)).var(ddof=1) / 6 + right.reshape(6, 20, 12).mean((0, 1)).var(ddof=1) / 12)
    assert found.high - found.value == pytest.approx(half, rel=0.25)


def test_of_one_seed_the_interval_is_paired_by_clip_and_over_sources():
    same = some(advantage([row(survived="1100" * 20)], [row(survived="1100" * 20)]))
    assert (same.value, len(same.per_seed), same.unit, same.over) == (0.0, 1, "clip", "80 clips")
    assert -0.1 < same.low < 0 < same.high < 0.1  # pairing: what all clips agree in could still be otherwise in others
    shifted = some(advantage([row(survived="1100" * 20)], [row(survived="0011" * 20)]))
    assert shifted.value == 0.0 and shifted.low < -0.1 < 0.1 < shifted.high
    copies = {"survived": "1" * 6 + "0" * 6, "sources": SOURCES}
    once = some(advantage([row(**copies)], [row(survived="0" * 12, sources=SOURCES)]))
    again = {"survived": copies["survived"] * 7, "sources": SOURCES}
    often = some(advantage([row(**again)], [row(survived="0" * 84, sources=SOURCES)]))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))  # copies of a clip are no evidence


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
    assert found.value == pytest.approx(0.1) and len(found.per_seed) == 3 and found.epochs == 9
    assert dict(found.per_eps) == pytest.approx({2: 0.1, 8: 0.1})
    assert gap_growth(gap_rows(0.1, epochs=2), "m") is None
    assert found.over == "3 seeds"  # rows of earlier versions do not tell the clips that were right
    assert len(some(gap_growth(gap_rows(0.1, seeds=1), "m")).per_seed) == 1


def clip_gaps(rng, seeds, growth=0.1, of_source=0.15, clips=12, sources=14):
    """Gap rows with digits: training clips gain ``growth``, each source and seed its own more or less."""
    rows, of_seed = [], rng.normal(0, 0.05, seeds) if seeds > 1 else [0.0]
    for split in ("train", "val"):
        names = tuple(f"{split} {index}" for index in range(sources))
        lead = rng.normal(0, of_source, sources)
        for seed in range(seeds):
            for epoch in (1, 2, 3):
                gain = (growth + of_seed[seed]) * (split == "train") * (epoch == 3)
                share = 0.4 + np.tile(lead, clips) * (epoch == 3) + gain
                right = digits(rng.random(clips * sources) < share)
                rows.append(row(seed=seed, survived=right, sources=names, kind="gap", epoch=epoch) | {"split": split})
    return rows


@pytest.mark.parametrize("seeds", [1, 8])
def test_the_growth_of_the_gap_covers_the_truth_over_sources_and_seeds(seeds):
    rng, covered, rounds = np.random.default_rng(seeds), 0, 300
    for _ in range(rounds):
        found = some(gap_growth(clip_gaps(rng, seeds), "m"))
        covered += found.low <= 0.1 <= found.high
    assert found.unit == "source" and found.found.sources == 14
    assert 0.92 <= covered / rounds <= 0.99


def test_other_clips_are_not_compared():
    ten, more = [row(eps=e, survived="1" * 10) for e in (4, 8)], [row(eps=e, survived="1" * 20) for e in (4, 8)]
    assert advantage(ten, more) is None and advantage([ten[0], more[1]], [ten[0], more[1]]) is None
    others = [one | {"clips_of": name} for name in ("a", "b") for one in ten]
    assert advantage(others[:2], others[2:]) is None and advantage(others[:2], ten) is not None


def test_one_model_at_a_further_eps_leaves_the_common_ones():
    rows = [row(model, seed, eps) for model in ("a", "b") for seed in (0, 1) for eps in (0, 4, 8)]
    assert common_eps([*rows, row("a", 0, 16)]) == {4, 8} and common_eps([row("a", eps=16)]) == {16}
