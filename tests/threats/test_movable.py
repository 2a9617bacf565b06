"""Which free variables a threat lets change: where a gradient is of use to a search."""

from __future__ import annotations

import pytest
import torch

from vidrobust.threats import (
    L1,
    L2,
    Area,
    Border,
    Flicker,
    Frames,
    Linf,
    Mask,
    Multiplicative,
    OneFrame,
    Patch,
    Support,
    Threat,
    Universal,
    WholeClip,
)

SUPPORTS: list[Support] = [
    WholeClip(), Area(0.3, place="random"), Patch(1, 2, 3, 3), Border(0.3), Frames((0, 2)), Flicker(), OneFrame(),
    Mask(torch.eye(8) > 0), Multiplicative(1.5), Multiplicative(1.5, within=Border(0.3)), Universal(),
    Universal(Border(0.3)),
]  # fmt: skip


def clips() -> torch.Tensor:
    found = torch.rand(3, 3, 4, 8, 8, generator=torch.Generator().manual_seed(3)) * 0.6 + 0.2
    found[0, :, 0] = 0  # black, which no factor changes
    found[1, :, :, 0] = 1
    return found


@pytest.mark.parametrize("norm", [Linf(), L2(), L1()], ids=str)
@pytest.mark.parametrize("support", SUPPORTS, ids=str)
def test_it_is_what_any_step_can_change(support: Support, norm: object) -> None:
    feasible = Threat(norm, 0.5, support).around(clips())  # type: ignore[arg-type]
    movable = torch.ones_like(feasible.start, dtype=torch.bool) if feasible.movable is None else feasible.movable
    reached = torch.zeros_like(movable)
    for sign in (1.0, -1.0):
        for place in range(0, feasible.start[0].numel(), 7):  # one coordinate at a time: under L1 they share a budget
            free = feasible.start.clone().contiguous()
            free.view(len(free), -1)[:, place] += 0.1 * sign
            after, before = feasible.project(free), feasible.start
            if isinstance(support, Multiplicative):  # the factor of black changes nothing
                after, before = feasible.clips(after), feasible.clips(before)
            reached |= (after != before) & (free != feasible.start)
    looked = torch.zeros_like(movable).view(len(movable), -1)
    looked[:, ::7] = True
    assert torch.equal(reached.view_as(looked), movable.view_as(looked) & looked)
    assert (feasible.movable is None) == bool(movable.all())


@pytest.mark.parametrize("norm", [Linf(), L2(), L1()], ids=str)
def test_a_budget_of_zero_moves_nothing(norm: object) -> None:
    eps = torch.tensor([0.0, 0.1, 0.2])
    movable = Threat(norm, eps).around(clips()).movable  # type: ignore[arg-type]
    assert movable is not None and movable.flatten(1).any(1).tolist() == [False, True, True]
    frames = Threat(norm, ((0.0, 0.1, 0.0, 0.1),)).around(clips()).movable  # type: ignore[arg-type]
    assert frames is not None and frames.any(-1).any(-1).any(1)[1].tolist() == [False, True, False, True]
