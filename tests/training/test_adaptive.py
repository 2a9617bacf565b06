"""What adaptive methods measure."""

from __future__ import annotations

import pytest
from helpers.training import half

from vidrobust.data.clips import Clips
from vidrobust.data.dataset import VideoClips
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.training.adaptive import held_out
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World
from vidrobust.training.trainer import new_training


def test_adaptive_training_measures_on_groups_it_never_trains_on(few: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = parse_policy("AAT(ε_max=9,α=ε,i=1)")
    rest, held = held_out(few, policy, seed=0)
    assert held is not None
    assert set(rest.sources).isdisjoint(held.sources) and len(rest) + len(held) <= len(few)
    training = new_training(build("r3d-small", 10), few, policy, FitConfig(epochs=3, batch=8), 0, half, World())
    training.epoch(lambda gradients: None, lambda: None)
    assert [eps for eps, _ in training.at.losses] == list(range(10))
    assert all(loss > 0 for _, loss in training.at.losses)
    draws = {training._clock(step).draw for step in range(3)}
    assert len(draws) == 3 and all(0 <= draw < 1 for draw in draws)


def test_what_is_held_out_is_of_every_class(small_data: VideoClips) -> None:
    """The same group of each class, where groups are numbered within classes."""
    _, held = held_out(small_data.train, parse_policy("AAT(ε_max=9,α=ε,i=1)"), seed=1)
    assert held is not None
    assert sorted(held.labels.tolist()) == list(range(10))
    assert len({source.rpartition("/")[2] for source in held.sources}) == 1
