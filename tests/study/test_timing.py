"""Seconds are those of the device, not those until a call returns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vidrobust.study import timing


class Gpu:
    """Takes half a second a call, while the host goes on at once; ``clips`` are all that it holds."""

    def __init__(self) -> None:
        self.now, self.waiting = 0.0, 0
        self.clips: Any = SimpleNamespace(is_cuda=True, device="cuda:1")

    def work(self) -> None:
        self.waiting += 1

    def synchronize(self, device: str) -> None:
        assert device == "cuda:1"
        self.now, self.waiting = self.now + 0.5 * self.waiting, 0


def test_what_a_gpu_still_has_to_do_counts_and_what_it_had_before_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu()
    monkeypatch.setattr(torch.cuda, "synchronize", gpu.synchronize)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: gpu.now)
    gpu.work()
    assert timing.seconds(gpu.work, gpu.clips) == 0.5


def test_on_a_cpu_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([3.0, 5.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(times))
    assert timing.seconds(lambda: None, torch.zeros(1)) == 2.0
