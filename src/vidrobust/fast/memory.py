"""How much of a batch fits into memory: what is free, and going on in smaller parts where too much was asked for."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor

    PartResult = TypeVar("PartResult")


class MemoryWarning(UserWarning):
    """A model failed on a batch, mostly for lack of memory, and was run on smaller parts of it."""


def in_parts(work: Callable[..., PartResult], tensors: tuple[Tensor, ...], count: int) -> list[PartResult]:
    """What ``work`` gives for the parts of some tensors; where it fails on a part, for parts half as large.

    Libraries report a lack of memory in many words, and a model may refuse large batches for reasons of its own. So any
    ``RuntimeError`` counts: one that has another cause comes again with a single clip.

    Args:
        work: called with one part of each tensor. It may be called again for the same clips.
        tensors: of one length ``B``, batch first.
        count: in how many parts of about one size to begin.

    Returns:
        A result for each part, in order: more than ``count`` if it failed on larger ones (with a warning).

    Raises:
        RuntimeError, MemoryError: it fails on one clip alone.

    >>> in_parts(lambda part: part.sum().item(), (torch.arange(5),), 2)
    [3, 7]
    """
    batch, why = len(tensors[0]), ""
    while True:
        try:
            found = [work(*part) for part in zip(*(tensor.tensor_split(count) for tensor in tensors), strict=True)]
            break
        except (RuntimeError, MemoryError) as error:
            if count >= batch:
                raise
            why, lacking = _why(error), is_lack_of_memory(error)
        # Behind the exception, which holds on to what the failed call had made.
        count = min(2 * count, batch)
        if lacking:
            release()
    if why:
        warnings.warn(f"{why}: {batch} clips are run in {count} parts.", MemoryWarning, stacklevel=2)
    return found


def as_fits(call: Callable[[ClipTensor], Tensor], clips: ClipTensor) -> Tensor:
    """What a model gives for clips, in parts if it fails on all at once; later calls begin with parts of that size.

    Where a gradient is asked for, the parts are left to the caller, since the backward pass may fail, too.
    """
    if not torch.is_tensor(clips) or len(clips) < 2 or (torch.is_grad_enabled() and clips.requires_grad):
        return call(clips)
    key, known = (clips.shape[1:], clips.device), _known(call)
    found = in_parts(call, (clips,), -(-len(clips) // known.get(key, len(clips))))
    if len(found) == 1:
        return found[0]
    known[key] = -(-len(clips) // len(found))
    return torch.cat(found)


_most: weakref.WeakKeyDictionary[Callable[[ClipTensor], Tensor], dict[object, int]] = weakref.WeakKeyDictionary()


def _known(call: Callable[[ClipTensor], Tensor]) -> dict[object, int]:
    """How many clips of a kind a model can be asked about at once, where all were too many."""
    try:
        return _most.setdefault(call, {})
    except TypeError:  # a callable that has no weak references or no hash
        return {}


def is_lack_of_memory(error: Exception) -> bool:
    """Is it one, as far as its type or its words tell?"""
    words = ("out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or any(word in str(error) for word in words)


def _why(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    kind = "out of memory" if is_lack_of_memory(error) else type(error).__name__
    return f"{kind} ({lines[0]})"[:200] if lines else kind


def release() -> None:
    """Give memory that nothing uses back to the GPU; on a CPU there is nothing to do."""
    if torch.cuda.is_initialized():
        gc.collect()
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
