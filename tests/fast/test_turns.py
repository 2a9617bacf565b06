"""A thread's turn at several things: all at once, again as often as it likes, and free afterwards."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vidrobust.fast.turns import Turns


def test_others_wait_for_what_is_held_and_for_nothing_else() -> None:
    turns, kept, other = Turns(), object(), object()
    held, release, order = threading.Event(), threading.Event(), list[str]()

    def waits() -> None:
        held.wait()
        with turns.at([kept, other]):
            order.append("both")

    def passes() -> None:
        held.wait()
        with turns.at([other]):
            order.append("other")
        release.set()

    with ThreadPoolExecutor(2) as pool:
        with turns.at([kept]), turns.at([kept]):  # again, by the same thread
            second = pool.submit(passes)
            first = pool.submit(waits)
            held.set()
            release.wait()
        first.result()
        second.result()
    assert order == ["other", "both"] and turns._held == {}


def test_an_error_gives_the_turn_away() -> None:
    turns, kept = Turns(), object()
    with pytest.raises(ValueError, match="stop"), turns.at([kept]):
        raise ValueError("stop")
    assert turns._held == {}
