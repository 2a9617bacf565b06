from __future__ import annotations

import pytest

from vidrobust.results.numbers.masking import masking_flags


def row(model="m", seed=0, eps=4, steps=20, survived="1100", **more):
    return {
        "kind": "robustness", "model": model, "seed": seed, "split": "test", "eps": eps, "alpha": 1.0, "steps": steps,
        "correct": survived.count("1"), "clips": len(survived), "survived": survived,
    } | more  # fmt: skip


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


def test_clips_that_were_not_attacked_are_flagged_with_what_it_means():
    rows = [row(no_gradient=0), row(eps=8, no_gradient=2), row(eps=8, no_gradient=1, norm="L2")]
    flag = flags(rows)["every clip attacked"]
    assert not flag.passed and flag.sentence.startswith("2 of 4 clips under PGD(ε=8,i=20) survived without having been")
    assert flags(rows[:1])["every clip attacked"].passed and "every clip attacked" not in flags([row()])


def test_few_clips_are_not_held_against_many():
    rows = [
        row(eps=0, survived="1" * 90 + "0" * 10),
        row(eps=4, survived="1" * 20),
        row(eps=8, survived="1" * 80 + "0" * 20),
    ]
    assert all(flag.passed for flag in masking_flags(rows))


def test_what_the_self_test_says_is_wrong_is_a_check_that_does_not_pass():
    found = flags(
        [{"kind": "self_test", "model": "m", "seed": 0, "found": ["batch: a clip's logits depend on others."]}]
    )
    assert not found["self-test"].passed
    assert found["self-test"].sentence == "batch: a clip's logits depend on others"
    assert flags([{"kind": "self_test", "model": "m", "seed": 0, "found": []}])["self-test"].passed
