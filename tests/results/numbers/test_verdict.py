"""The rules of the verdict: each speaks from its limit on, and not before."""

from __future__ import annotations

import pytest

from vidrobust.results.numbers.rules import RULES, Measured
from vidrobust.results.numbers.verdict import add_up, better_class_order, chance_accuracy, missing_sources, verdict


def smallest(name: str, of: int) -> int:
    """The smallest count that speaks."""
    return next(count for count in range(of + 1) if RULES[name].speaks(Measured(name, count, of)))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("of", [16, 200])
def test_a_rule_speaks_from_its_limit_on(name: str, of: int) -> None:
    rule, count = RULES[name], smallest(name, of)
    assert count == max(rule.least, int(rule.limit * of) + 1)
    found = verdict([Measured(name, count, of)], {"T": (1, [Measured(name, count, of)])})
    before = verdict([Measured(name, count - 1, of)], {"T": (1, [Measured(name, count - 1, of)])})
    assert before.trust and not before.notes
    assert found.trust == (rule.scope == "note")
    if rule.scope == "note":
        assert found.notes
    else:
        assert found.reasons[0].remedy == rule.remedy


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.scope == "search"])
def test_where_nothing_stands_no_search_is_doubted(name: str) -> None:
    assert verdict([], {"T": (0, [Measured(name, 16, 16)])}).trust
    assert not verdict([], {"T": (1, [Measured(name, 16, 16)])}).trust


def test_counts_of_parts_add_up_and_facts_do_not() -> None:
    found = add_up([Measured("batch", 1, 8), Measured("batch", 2, 8), Measured("probabilities", 1, 1)] * 2)
    assert found == [Measured("batch", 6, 32), Measured("probabilities", 1, 1)]


def test_counts_of_single_clips_add_up_too() -> None:
    assert add_up([Measured("active test", 1, 1), Measured("active test", 0, 1)]) == [Measured("active test", 1, 2)]


def test_a_good_model_is_not_told_that_its_classes_are_in_another_order() -> None:
    assert better_class_order([[5, 3, 0], [2, 5, 1], [0, 1, 7]]).count == 0
    assert better_class_order([[0, 8], [8, 0]]).count == 16
    assert better_class_order([[1, 1, 2, 0]] * 4).count == 0  # guessing


def test_chance_and_sources() -> None:
    assert (chance_accuracy(4, 16, 4).count, chance_accuracy(5, 16, 4).count) == (1, 0)
    assert [missing_sources(count).count for count in (1, 9, 10)] == [9, 1, 0]
