"""How much of a batch fits into memory: what is free, and going on in smaller parts where too much was asked for."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from torch import Tensor

    PartResult = TypeVar("PartResult")


class MemoryWarning(UserWarning):
    """A batch did not fit into memory and was run in smaller parts."""


def in_parts(work: Callable[..., PartResult], tensors: tuple[Tensor, ...], count: int) -> list[PartResult]:
    """What ``work`` gives for the parts of some tensors; where memory does not suffice, for parts half as large.

    Args:
        work: called with one part of each tensor. It may be called again for the same clips.
        tensors: of one length ``B``, batch first.
        count: in how many parts of about one size to begin.

    Returns:
        A result for each part, in order: more than ``count`` where there was too little memory (with a warning).

    Raises:
        torch.cuda.OutOfMemoryError: one clip alone does not fit.

    >>> in_parts(lambda part: part.sum().item(), (torch.arange(5),), 2)
    [3, 7]
    """
    batch = len(tensors[0])
    while True:
        try:
            return [work(*part) for part in zip(*(tensor.tensor_split(count) for tensor in tensors), strict=True)]
        except torch.cuda.OutOfMemoryError:
            if count >= batch:
                raise
        # Behind the exception, which holds on to what the failed call had made.
        count = min(2 * count, batch)
        release()
        warnings.warn(
            f"out of memory: {batch} clips are run in {count} parts from here on.", MemoryWarning, stacklevel=2
        )


def release() -> None:
    """Give memory that nothing uses back to the GPU."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device, as far as the system tells: on a CPU, those of this machine or container."""
    if device.type == "cuda":
        return _free_on_gpu(device)
    free = _number("/proc/meminfo", "MemAvailable:", 2**60 // 1024) * 1024
    group = Path("/sys/fs/cgroup")
    cached = _number(group / "memory.stat", "inactive_file", 0)
    return min(free, _number(group / "memory.max", "", 2**60) - _number(group / "memory.current", "", 0) + cached)


def _free_on_gpu(device: torch.device) -> int:
    """What no process holds, and what PyTorch holds for later, within the share that this process may have."""
    free, total = torch.cuda.mem_get_info(device)
    used, held = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    share = getattr(torch.cuda.memory, "get_per_process_memory_fraction", lambda _: 1.0)(device)
    return max(0, min(free + held - used, int(share * total) - used))


def _number(file: Path | str, name: str, otherwise: int) -> int:
    """The number behind a name in one of the system's files; of files that are not there, or hold none, another."""
    try:
        line = next(line for line in Path(file).read_text(encoding="ascii").splitlines() if line.startswith(name))
        return int(line[len(name) :].split()[0])
    except (OSError, StopIteration, ValueError, IndexError):
        return otherwise
