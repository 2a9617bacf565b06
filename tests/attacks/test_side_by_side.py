"""Runs that share a batch find what they find one after another."""

from typing import Any

import pytest
import torch
from tests.helpers.linear_models import convolutional
from tests.helpers.names import name_of

from vidrobust.attacks import side_by_side
from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.searching import SearchState, searching
from vidrobust.attacks.step_size import loss_trajectories, loss_trajectory
from vidrobust.losses import cross_entropy, margin
from vidrobust.threats import L1, L2, Flicker, Frames, Linf, Mask, Threat

CLIPS = 6
MASK = Mask(torch.rand(CLIPS, 3, 4, 8, 8, generator=torch.Generator().manual_seed(4)) < 0.5)
THREATS = {
    "Linf": Threat(Linf(), 6 / 255),
    "a budget and a mask for each clip": Threat(Linf(), tuple(n / 255 for n in range(1, 13, 2)), MASK),
    "L2 on frames": Threat(L2(), 1.6, Frames(((0, 1), (1, 2), (2,), (3,), (0,), (1, 3)))),
    "L1": Threat(L1(), 8.0),
    "flicker": Threat(Linf(), 25 / 255, Flicker()),
}


def classified() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    model = convolutional()
    clips = torch.rand(CLIPS, 3, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return model, clips, model(clips).argmax(1)


def searches(threat: Threat) -> list[Any]:
    return [
        APGD(threat, 12, margin, restarts=3, precision="exact"),
        TargetedAPGD(threat, 12, 3, precision="exact"),
        FAB(threat, 8, 2, restarts=2, precision="exact"),
    ]


@pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS.keys())
def test_the_result_is_that_of_runs_one_after_another(threat: Threat, monkeypatch: pytest.MonkeyPatch) -> None:
    model, clips, labels = classified()
    together = [search(model, clips, labels) for search in searches(threat)]
    monkeypatch.setattr(side_by_side, "NUMBERS", 1)
    broken = 0
    for search, found in zip(searches(threat), together, strict=True):
        alone = search(model, clips, labels)
        assert found.success.equal(alone.success), name_of(search)
        assert torch.allclose(found.clips, alone.clips, atol=2e-5), name_of(search)
        survived = ~found.success
        assert found.backwards[survived].equal(alone.backwards[survived])
        assert found.forwards[survived].equal(alone.forwards[survived])
        broken += int(found.success.sum())
    assert 0 < broken < 3 * CLIPS


def test_few_runs_are_made_of_many_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    model, clips, labels = classified()
    sizes: list[int] = []

    def seen(run: SearchState, free: torch.Tensor) -> None:
        sizes.append(len(free))

    monkeypatch.setattr(side_by_side, "NUMBERS", 2 * clips.numel())
    with searching(model, THREATS["Linf"], clips, labels, margin, "exact") as run:
        side_by_side.side_by_side(run, [(run.best, ()) for _ in range(5)], seen)
    assert sizes == [2 * CLIPS, 2 * CLIPS, CLIPS]


def test_step_sizes_share_a_batch() -> None:
    model, clips, labels = classified()
    with searching(model, THREATS["Linf"], clips, labels, cross_entropy, "exact") as run:
        run.exploring = True
        run.broken[4:] = True
        found = loss_trajectories(run, [0.01, 0.002, 0.03], 4)
        costs = run.backwards.tolist()
        for alpha, losses in zip([0.01, 0.002, 0.03], found, strict=True):
            assert torch.allclose(losses, loss_trajectory(run, alpha, 4)[:, :4], atol=1e-5)
    assert costs == [12, 12, 12, 12, 0, 0]
