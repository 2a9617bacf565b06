"""Small tensors: threads cost more than they gain, most of all on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _drawn_alike() -> None:
    """The same weights and clips in every run: of many draws, one may lie beyond a tolerance."""
    torch.manual_seed(0)
