"""How processes share batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from helpers.training import half
from torch.nn.parallel import DistributedDataParallel

from vidrobust.data.clips import Clips
from vidrobust.errors import InputError
from vidrobust.models.building import build
from vidrobust.notation import STANDARD
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World
from vidrobust.training.trainer import new_training


@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_share_each_micro_batch(accumulate: int) -> None:
    """Together they have every clip once, and each micro-batch holds the clips that it would on one process."""
    ranks = [World(rank, 2).rows(8, accumulate).tolist() for rank in range(2)]
    assert sorted(ranks[0] + ranks[1]) == list(range(8))
    each = 8 // accumulate // 2
    for part in range(accumulate):
        together = ranks[0][part * each : (part + 1) * each] + ranks[1][part * each : (part + 1) * each]
        assert together == list(range(part * 8 // accumulate, (part + 1) * 8 // accumulate))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A process group of one."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_weight_that_no_loss_reaches_is_named_before_processes_wait_for_it(alone: None, few: Clips) -> None:
    model = build("r3d-small", 10)
    model.register_module("aux", torch.nn.Linear(2, 2))
    training = new_training(model, few, STANDARD, FitConfig(epochs=1, batch=8), 0, half, World())
    training.learner.wrapped[model] = DistributedDataParallel(model)
    with pytest.raises(InputError, match=r"does not depend on aux.weight, aux.bias, as on an auxiliary head"):
        training.epoch(lambda gradients: None, lambda: None)
    model.aux.requires_grad_(False)
    training.learner.wrapped[model] = DistributedDataParallel(model)
    training.epoch(lambda gradients: None, lambda: None)
    training.learner.wrapped.clear()
