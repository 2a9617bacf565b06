"""L∞ balls without stored bounds: bit by bit those with them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from vidrobust.threats import Linf, Threat, WholeClip, norms
from vidrobust.threats import intervals as long_ones
from vidrobust.threats.feasible import Interval
from vidrobust.threats.intervals import IntervalByFrames
from vidrobust.threats.supports import Border

CLIPS = torch.rand(2, 3, 7, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["one", "frames", "clips", "border"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Interval, IntervalByFrames]:
    """The same threat with stored bounds and without."""
    eps: Any = {"frames": [[0.1, 0.0, 0.2, 0.05, 0.3, 0.01, 0.02]], "clips": [0.1, 0.02]}.get(request.param, 8 / 255)
    threat = Threat(Linf(), eps, Border(0.4) if request.param == "border" else WholeClip())
    stored = threat.around(CLIPS)
    for module in (norms, long_ones):  # where it is asked, and how many pixels are few
        monkeypatch.setattr(module, "FEW", 2 * 3 * 36 * 2)
    found = threat.around(CLIPS)
    assert isinstance(stored, Interval)
    assert isinstance(found, IntervalByFrames)
    return stored, found


def equal(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other is None or (one is not None and other is not None and torch.equal(one, other))


def test_points_are_the_same_bit_by_bit(both: tuple[Interval, IntervalByFrames]) -> None:
    stored, found = both
    free, gradient = torch.rand_like(CLIPS), torch.randn_like(CLIPS)
    alphas = (0.03, torch.rand(2, 1, 1, 1, 1), torch.rand(2, 1, 7, 1, 1))
    assert equal(stored.movable, found.movable)
    assert torch.equal(stored.project(free), found.project(free))
    for alpha in alphas:
        moved = stored.step(free, gradient, alpha)
        assert torch.equal(moved, found.step(free, gradient, alpha))
        spent = gradient.clone()
        assert found.step(free, spent, alpha, out=spent) is spent
        assert torch.equal(moved, spent)
    first, second = (one.random(torch.Generator().manual_seed(3)) for one in both)
    assert torch.equal(first, second)
    assert torch.equal(stored.size(moved), found.size(moved))


def test_narrowed_sets_are_the_same(both: tuple[Interval, IntervalByFrames]) -> None:
    free = torch.rand_like(CLIPS)[1:]
    one, other = (feasible.narrow(torch.tensor([1])).project(free) for feasible in both)
    assert torch.equal(one, other)
