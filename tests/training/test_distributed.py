"""How processes share batches."""

from __future__ import annotations

import pytest

from vidrobust.training.distributed import World


@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_share_each_micro_batch(accumulate: int) -> None:
    """Together they have every clip once, and each micro-batch holds the clips that it would on one process."""
    ranks = [World(rank, 2).rows(8, accumulate).tolist() for rank in range(2)]
    assert sorted(ranks[0] + ranks[1]) == list(range(8))
    each = 8 // accumulate // 2
    for part in range(accumulate):
        together = ranks[0][part * each : (part + 1) * each] + ranks[1][part * each : (part + 1) * each]
        assert together == list(range(part * 8 // accumulate, (part + 1) * 8 // accumulate))
