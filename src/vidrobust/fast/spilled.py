"""Tensors beyond a budget in memory-mapped files instead of in memory: copies of a clip of many minutes.

Every operation of PyTorch inside :func:`spill` passes through a dispatch mode, which puts large results into files:
the iterates, gradients and momenta of a search as well as what a transform gives. Values are the same bit by bit.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from vidrobust.errors import InputError

BUDGET = 2**28
"""Bytes that a tensor may take in memory, by default."""

EVERY = 64
"""Operations after which the pages of the files that are in memory are given back."""

AT_ONCE = 2**26
"""Bytes that are copied before pages are given back."""

aten = torch.ops.aten


@contextlib.contextmanager
def spill(folder: str | os.PathLike[str] | None, beyond: int = BUDGET) -> Iterator[None]:
    """A context in which CPU tensors of more than ``beyond`` bytes are made in memory-mapped files.

    An attack in it holds its copies of the clips there, and what is computed in between, with the same results bit by
    bit. So does a clip that is made inside: of one made before, the copy that the caller holds stays where it is. The
    files have no names: the system removes each with the tensor in it, also when the process is killed. Tensors may be
    used after the context. It acts on the thread that enters it.

    The kernel keeps pages of the files in memory as long as nothing else needs it. Those count as cache, as far as
    they are not mapped: the mappings are given back as it goes.

    Args:
        folder: on a disk (of a ``tmpfs`` the files are in memory), with room for all copies; None for no files.
        beyond: bytes, at least 1. Less than the activations of a chunk of frames (128 MiB) makes attacks slow.

    Raises:
        InputError: ``folder`` is not a folder that can be written, ``beyond`` is out of its range; inside the context,
            the disk is full.

    >>> import vidrobust as vr
    >>> head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 8 * 8, 2))
    >>> attack = vr.PGD(vr.Threat(vr.Linf(), 8 / 255), alpha=2 / 255, steps=5)
    >>> clips, labels = torch.rand(1, 3, 4, 8, 8), torch.tensor([0])
    >>> with tempfile.TemporaryDirectory() as folder, vr.spill(folder, beyond=1000):
    ...     spilled = attack(head, clips, labels)
    >>> torch.equal(spilled.clips, attack(head, clips, labels).clips)
    True
    """
    if folder is None:
        yield
        return
    if beyond < 1:
        raise InputError(f"beyond, the bytes a tensor may take in memory, must be at least 1, but is {beyond}.")
    files = _Files(Path(folder))
    files.check()
    with _Spilling(files, beyond):
        yield


class _Files:
    """Memory-mapped files without names in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._live: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()

    def check(self) -> None:
        """Refuse a folder that holds no files.

        Raises:
            InputError: it is not there, no folder, or cannot be written.
        """
        try:
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise InputError(
                f"{self.folder}: no files can be made there ({error.strerror}). Name a folder that can be written, on "
                "a disk with room for some copies of the clips."
            ) from error

    def empty(self, like: Tensor) -> Tensor:
        """A tensor of zeros in a file, of the shape, type and, if it has no gaps, the strides of another one."""
        size = like.numel() * like.element_size()
        try:
            with tempfile.TemporaryFile(dir=self.folder) as file:
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk is told now, not by a signal later
                mapped = mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise InputError(
                f"{self.folder} has no room for a tensor of {size / 2**30:.2f} GiB ({error.strerror}): free some, or "
                "name a folder on a larger disk."
            ) from error
        self._live.add(mapped)
        flat = torch.frombuffer(mapped, dtype=like.dtype)
        return flat.as_strided(like.shape, torch.empty_like(like, device="meta").stride())

    def copy(self, to: Tensor, source: Tensor) -> None:
        """``to.copy_(source)``, a few frames at a time."""
        longest = max(range(to.ndim), key=to.shape.__getitem__)
        count = -(-to.numel() * to.element_size() // AT_ONCE)
        source = source.expand_as(to)
        for put, part in zip(to.tensor_split(count, longest), source.tensor_split(count, longest), strict=True):
            put.copy_(part)
            self.give_back()

    def give_back(self) -> None:
        """Take the pages of all files out of the memory of this process; what is in them stays."""
        for mapped in list(self._live):
            mapped.madvise(mmap.MADV_DONTNEED)


class _Spilling(TorchDispatchMode):
    """Puts what operations make into files where it is large."""

    def __init__(self, files: _Files, beyond: int) -> None:
        super().__init__()
        self._files, self._beyond, self._done = files, beyond, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do ``func``, and have its new large tensors in files."""
        self._done += 1
        if self._done % EVERY == 0:
            self._files.give_back()
        found = self._without_copy(func, args, kwargs or {})
        if found is not None:
            return found
        found = func(*args, **(kwargs or {}))
        return tree_map(partial(self._kept, given=(args, kwargs)), found)

    def _without_copy(self, func: Any, args: Any, kwargs: Any) -> Tensor | None:
        """The result of an operation that only makes room or copies, without the tensor in memory that others take."""
        if func in (aten.empty.memory_format, aten.zeros.default):
            like = func(*args, **kwargs | {"device": "meta"})
            return self._files.empty(like) if self._is_large(like, kwargs.get("device")) else None
        if func in (aten.empty_like.default, aten.zeros_like.default, aten.clone.default):
            device = kwargs.get("device", args[0].device)
            like = torch.empty_like(args[0], **kwargs | {"device": "meta"})
            if not self._is_large(like, device):
                return None
            found = self._files.empty(like)
            if func is aten.clone.default:
                self._files.copy(found, args[0])
            return found
        if func is aten.copy_.default and self._is_large(args[0], args[0].device):
            self._files.copy(args[0], args[1])
            return args[0]
        return None

    def _kept(self, found: Any, given: Any) -> Any:
        """A result in a file, if it is a large tensor and no part of what the operation was given."""
        if not torch.is_tensor(found) or not self._is_large(found, found.device):
            return found
        if any(torch.is_tensor(leaf) and _address(leaf) == _address(found) for leaf in tree_leaves(given)):
            return found
        kept = self._files.empty(found)
        self._files.copy(kept, found)
        return kept

    def _is_large(self, tensor: Tensor, device: Any) -> bool:
        plain = type(tensor) is Tensor and tensor.layout is torch.strided and not tensor.is_quantized
        on_cpu = device is None or torch.device(device).type == "cpu"
        return plain and on_cpu and tensor.numel() * tensor.element_size() > self._beyond


def _address(tensor: Tensor) -> int:
    """Where the memory of a tensor begins; -1 of one that has none, such as a sparse one."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else -1
