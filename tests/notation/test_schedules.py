from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.errors import InputError
from vidrobust.notation.schedules import (
    AlphaRamp,
    Clock,
    EqualsEps,
    Fixed,
    IterationTable,
    LogUniform,
    LogUniformTop,
    OptimalAlpha,
    Uniform,
)

eps = st.floats(0, 255)
bounds = st.tuples(st.floats(0.01, 255), st.floats(0.01, 255)).filter(lambda pair: pair[0] < pair[1])
rising = bounds.flatmap(lambda pair: st.sampled_from([kind(*pair) for kind in (Uniform, LogUniform, LogUniformTop)]))
PUBLISHED = {1: 8, 2: 8, 3: 7, 4: 6, 5: 5, 6: 4, 7: 4, 8: 3, 9: 3, 10: 3, 11: 2, 12: 2, 15: 2}


def over_training(schedule: Callable[[Clock], float], epochs: int = 9) -> list[float]:
    return [schedule(Clock(epoch, epochs)) for epoch in range(epochs)]


def test_progress_goes_from_0_to_1():
    assert [Clock(epoch, 3).progress for epoch in range(3)] == [0, 0.5, 1]
    assert Clock(0, 1).progress == 0


@pytest.mark.parametrize(("epoch", "epochs"), [(-1, 5), (5, 5), (0, 0)])
def test_a_clock_outside_training_is_refused(epoch: int, epochs: int):
    with pytest.raises(InputError, match=str(epoch)):
        Clock(epoch, epochs)


@given(eps)
def test_fixed_stays(value: float):
    assert set(over_training(Fixed(value))) == {value}


@given(rising)
def test_rising_schedules_meet_their_ends_exactly_and_never_turn_back(schedule: Uniform | LogUniform | LogUniformTop):
    values = over_training(schedule)
    low, high = (schedule.start, schedule.end) if isinstance(schedule, Uniform) else (schedule.low, schedule.high)
    assert (values[0], values[-1]) == (low, high)
    assert all(before <= after * (1 + 1e-12) for before, after in zip(values, values[1:], strict=False)), (
        "but for rounding"
    )
    assert all(low <= value <= high for value in values)


@given(bounds)
def test_a_falling_ramp_is_the_rising_one_backwards(pair: tuple[float, float]):
    low, high = pair
    assert over_training(Uniform(high, low)) == pytest.approx(over_training(Uniform(low, high))[::-1])


def test_the_shapes_differ_as_described():
    middle = Clock(50, 101)
    assert Uniform(0, 12)(middle) == pytest.approx(6)
    assert LogUniform(2, 32)(middle) == pytest.approx(8), "the geometric mean"
    assert LogUniformTop(0, 12)(middle) == pytest.approx(12 * 0.9 / 0.99), "near the top"


def test_log_uniform_top_is_the_sorted_draw_it_claims_to_be():
    draws = [12 * 0.01 ** ((k + 0.5) / 1000) for k in range(1000)]  # evenly spaced quantiles of a log-uniform draw
    stretched = [(12 - draw) / 0.99 for draw in sorted(draws, reverse=True)]
    ramp = over_training(LogUniformTop(0, 12), epochs=1001)
    assert max(abs(a - b) for a, b in zip(stretched, ramp, strict=False)) < 0.06


@pytest.mark.parametrize("make", [lambda: LogUniform(0, 15), lambda: LogUniform(5, 5), lambda: LogUniformTop(12, 0)])
def test_log_uniform_refuses_bounds_that_do_not_rise(make):
    with pytest.raises(InputError, match="low"):
        make()


@pytest.mark.parametrize(("at", "steps"), PUBLISHED.items())
def test_the_table_of_iterations_is_the_published_one(at: int, steps: int):
    assert IterationTable()(at) == steps


@given(eps, eps)
def test_the_table_never_grows_with_eps(a: float, b: float):
    table = IterationTable()
    assert 2 <= table(max(a, b)) <= table(min(a, b)) <= 8


def test_the_table_between_and_beyond_its_entries():
    table = IterationTable()
    assert [table(0), table(0.5), table(2.5), table(13), table(200)] == [8, 8, 7.5, 2, 2]


def test_alpha_follows_eps():
    def best(eps: float) -> float:
        return eps / 8

    first, last = Clock(0, 5), Clock(4, 5)
    assert EqualsEps()(first, 8, best) == 8
    assert EqualsEps(1 / 4)(last, 8, best) == 2
    assert OptimalAlpha()(first, 8, best) == 1
    assert [AlphaRamp()(clock, 8, best) for clock in (first, Clock(2, 5), last)] == [16, 8.5, 1]


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf"), 1e-9])
def test_a_multiple_of_eps_that_makes_no_sense_is_refused(factor: float):
    with pytest.raises(InputError, match="multiple of ε"):
        EqualsEps(factor)


def test_multiples_of_eps_print_as_people_write_them():
    factors = (1, 2, 1 / 2, 1 / 3, 0.3, 1 / 1000)
    assert [str(EqualsEps(factor)) for factor in factors] == ["ε", "2ε", "ε/2", "ε/3", "0.3ε", "ε/1000"]


def test_schedules_are_values():
    assert Uniform(0, 12) == Uniform(0.0, 12.0)
    assert len({Uniform(0, 12), Uniform(0, 12), Uniform(12, 0), LogUniformTop(0, 12)}) == 3
    assert [str(rule) for rule in (Fixed(8.0), Fixed(0.1), Uniform(0, 12), Uniform(12, 0), LogUniformTop(0, 12))] == [
        "8",
        "0.1",
        "U(0,12)",
        "rU(12,0)",
        "lU(0,12)",
    ]
    assert [str(rule) for rule in (LogUniform(1, 15), LogUniform(2, 9), IterationTable(), OptimalAlpha())] == [
        "iU",
        "iU(2,9)",
        "i*",
        "α*",
    ]
