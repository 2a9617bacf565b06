from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.results.numbers.accuracy import Point
from vidrobust.results.numbers.compare import accuracy_differences, config_table, point_difference
from vidrobust.runs.directory import Run

counts = st.integers(1, 200).flatmap(lambda clips: st.tuples(st.integers(0, clips), st.just(clips)))


def point(correct, clips, *shares):
    return Point(8.0, correct, clips, tuple(enumerate(shares or (correct / clips,))))


@given(counts, counts)
def test_a_difference_lies_in_its_interval_and_turns_its_sign(one, two):
    there, back = point_difference(point(*one), point(*two)), point_difference(point(*two), point(*one))
    assert -1 - 1e-9 <= there.low <= there.value <= there.high <= 1 + 1e-9
    assert there.value == pytest.approx(-back.value) and there.low == pytest.approx(-back.high)


def test_newcombes_interval_is_that_of_his_paper():
    found = point_difference(
        point(48, 80), point(56, 70)
    )  # Newcombe 1998, table II (a): 56/70 against 48/80, method 10
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))


def test_three_seeds_speak_of_training():
    found = point_difference(point(15, 30, 0.4, 0.5, 0.6), point(24, 30, 0.7, 0.8, 0.9))
    assert found.over == "seeds" and found.value == pytest.approx(0.3)
    assert found.high - found.value == pytest.approx(2.776445 * (2 * 0.01 / 3) ** 0.5, rel=1e-5)  # Welch, 4 degrees
    assert point_difference(point(15, 30, 0.4, 0.5), point(24, 30, 0.7, 0.8, 0.9)).over == "clips"


def test_only_what_differs_is_listed(synthetic, tmp_path):
    runs = [Run.open(synthetic.write(tmp_path / name, [], examples=0)) for name in ("one", "two")]
    assert config_table(runs) == []
    runs[1].write_json("config.json", runs[1].config | {"data": {"size": 64}, "more": [1]})
    assert config_table(runs) == [("data.size", ["32", "64"]), ("more", ["–", "[1]"])]


def test_models_meet_under_the_strongest_attack_that_both_faced(synthetic):
    one, two = synthetic.rows(seeds=1), [row for row in synthetic.rows(seeds=1) if row.get("steps") != 20]
    steps, found = accuracy_differences(one, two)
    assert steps == 5 and set(found) == set(synthetic.QUICK)
    assert all(entry.value == 0 for by_eps in found.values() for entry in by_eps.values())
    assert accuracy_differences(one, []) == (0, {})


def test_one_model_under_more_steps_does_not_stand_for_all(synthetic):
    rows = synthetic.rows(seeds=1)
    longer = [*rows, next(row | {"steps": 100} for row in rows if row.get("steps") == 20 and row.get("eps") == 8)]
    steps, found = accuracy_differences(longer, longer)
    assert steps == 20 and set(found) == set(synthetic.QUICK)


def test_runs_on_the_same_clips_are_compared_clip_by_clip_and_else_source_by_source(synthetic):
    one = synthetic.with_manifests(synthetic.rows(seeds=3))
    worse = {name: (clean, survives * 0.6) for name, (clean, survives) in synthetic.QUICK.items()}
    two = synthetic.with_manifests(synthetic.rows(worse, seeds=3))
    _, paired = accuracy_differences(one, two)
    other = [row | {"clips_of": row["clips_of"] + " elsewhere"} if "clips_of" in row else row for row in two]
    _, unpaired = accuracy_differences(one, other)
    rising = "CAL(ε~U(0,12),α=ε,i=i*)"
    found, apart = paired[rising][8], unpaired[rising][8]
    assert (found.over, apart.over) == ("12 sources and 3 seeds",) * 2
    assert found.value == pytest.approx(apart.value) and found.value < -0.1
    assert found.low <= found.value <= found.high and apart.low <= apart.value <= apart.high
    _, same = accuracy_differences(one, one)
    assert all((d.value, d.low <= 0 <= d.high) == (0, True) for by_eps in same.values() for d in by_eps.values())
