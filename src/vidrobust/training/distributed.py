"""The processes of a training: ranks, shares of a batch, and reductions.

The launcher (``torchrun``, or anything that sets the same environment) starts the processes. Batches
are cut over them so that the losses are those of one process. BatchNorm's part is in
:mod:`vidrobust.training.batchnorm`, the reduction of gradients in :mod:`vidrobust.training.parallel`.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

from vidrobust.errors import InputError, RunError, VidrobustError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

T = TypeVar("T")

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others; if one dies, the launcher ends the others at once."""


@dataclass(frozen=True)
class World:
    """The processes of a training.

    Attributes:
        rank: which one this is, from 0.
        size: how many there are.

    >>> World(rank=1, size=2).part([10, 11, 12, 13])
    [12, 13]
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process of rank 0, which writes files and logs."""
        return self.rank == 0

    def part(self, batch: Any) -> Any:
        """This process's part of a batch, the parts being equal and in order."""
        each = len(batch) // self.size
        return batch[self.rank * each : (self.rank + 1) * each]

    def rows(self, batch: int, parts: int = 1) -> Tensor:
        """Which clips of a batch, cut into micro-batches that all share, are this process's.

        >>> World(rank=1, size=2).rows(8, parts=2).tolist()
        [2, 3, 6, 7]
        """
        each = batch // parts
        return torch.cat([self.part(torch.arange(start, start + each)) for start in range(0, each * parts, each)])

    def check(self, batch: int, accumulate: int) -> None:
        """Refuse a batch that cannot be cut into equal parts of at least 2 clips, which BatchNorm needs.

        Raises:
            InputError: it cannot.
        """
        if batch % (self.size * accumulate):
            raise InputError(
                f"a batch of {batch} clips cannot be cut into {self.size} processes × {accumulate} micro-batches: "
                f"choose a multiple of {self.size * accumulate}."
            )
        if batch < 2 * accumulate:
            raise InputError(
                f"a batch of {batch} clips gives {accumulate} micro-batches of one clip, which has no statistics for "
                "BatchNorm: take more clips or accumulate less."
            )

    def sums(self, *numbers: float) -> list[float]:
        """Each number summed over the processes."""
        if self.size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64, device=_device())
        dist.all_reduce(total)
        return total.tolist()

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors over the processes, in place."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)
                tensor.div_(self.size)

    def agreed(self, value: Any) -> Any:
        """The value of the first process, on all processes."""
        if self.size == 1:
            return value
        shared = [value]
        dist.broadcast_object_list(shared, 0)
        return shared[0]

    def once(self, do: Callable[[], T]) -> T:
        """Call ``do`` on the first process only and return its result on all; an error it raises is raised on all.

        Raises:
            VidrobustError: ``do`` raised one.
        """
        found: Any = None
        refused: VidrobustError | None = None
        if self.first:
            try:
                found = do()
            except VidrobustError as error:
                refused = error
        found, text = self.agreed((found, None if refused is None else str(refused)))
        if text is not None:
            raise refused or RunError(text)
        return found

    def wait(self) -> None:
        """A barrier."""
        if self.size > 1:
            dist.barrier()


def _device() -> torch.device:
    """The device on which numbers are reduced: NCCL supports GPUs only."""
    return torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")


@contextlib.contextmanager
def process_group() -> Iterator[World]:
    """The process group that the launcher's environment describes; a single process if there is none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        yield World(dist.get_rank(), dist.get_world_size())
        dist.barrier()  # two gloo ranks that leave one after the other sometimes abort
    finally:
        gc.collect()  # a DDP wrapper that outlives the group would wait for gloo's threads, which wait for the GIL
        dist.destroy_process_group()
