"""Processes for many videos are started once for a whole data set."""

from __future__ import annotations

import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from vidrobust.data import parallel
from vidrobust.data.parallel import FEW, in_order, same_processes


def process_of(item: int) -> int:
    return os.getpid()


def dies(item: int) -> int:
    os._exit(1)


def test_inside_all_calls_have_the_same_processes() -> None:
    with same_processes(2):
        one, two = (set(in_order(process_of, range(FEW), 2)) for _ in range(2))
    after = set(in_order(process_of, range(FEW), 2))
    assert one and len(one | two) <= 2
    assert os.getpid() not in one | two | after and not after & (one | two)


def test_none_is_started_without_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_pool", lambda workers: pytest.fail("a process was started"))
    with same_processes(2):
        assert list(in_order(process_of, range(3), 2)) == [os.getpid()] * 3


def test_an_item_that_may_crash_its_process_has_others() -> None:
    with same_processes(2):
        assert list(in_order(dies, range(1), 2, crashed=lambda item: -1)) == [-1]
        with pytest.raises(BrokenProcessPool):
            list(in_order(dies, range(FEW), 2))
