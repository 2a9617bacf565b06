"""What a worker leaves of a job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vidrobust.data.dataset import DataConfig
from vidrobust.runs.files import write_atomic
from vidrobust.study.engines.work import work
from vidrobust.study.trainings import TrainModel
from vidrobust.training.config import FitConfig


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A worker takes one thread; other tests keep theirs."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_finished_training_keeps_its_weights_and_no_checkpoints(small_motion: Path, tmp_path: Path) -> None:
    data = DataConfig(name=str(small_motion), size=16, max_frames=10)
    job = TrainModel(data, "r3d-small", "m", "standard", FitConfig(epochs=1, batch=8), 0, None, (), clips=16)
    work(job, tmp_path, "key")
    left = ["model.safetensors", "rows.jsonl", "timings.jsonl"]
    assert sorted(file.name for file in (tmp_path / "key").iterdir()) == left
    (tmp_path / "key" / "checkpoints").mkdir()  # a kill came between its rows and the end
    write_atomic(tmp_path / "key" / "checkpoints" / "epoch-00001-000000.safetensors", b"")
    work(job, tmp_path, "key")
    assert sorted(file.name for file in (tmp_path / "key").iterdir()) == left
