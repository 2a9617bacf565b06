"""CUDA graphs on a CPU: the operations that run inside are recorded, and run again into the same tensors.

Graphs of one pool share their memory: after a replay, what its other graphs have computed is not a number, or 0.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, Any, Any, Any]] = []
        self.own: dict[int, torch.Tensor] = {}
        """By its place, each tensor of numbers that an operation has allocated."""
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, result))
        self._known.update(map(place, tensors((args, kwargs))))
        self.own |= {place(new): new for new in tensors(result) if place(new) not in self._known}
        return result


def tensors(found: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(found) if torch.is_tensor(leaf)]


def place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class FakeGraph:
    replays = 0

    def __init__(self) -> None:
        self.recorder, self.shared = Recorder(), [self]

    def pool(self) -> list[FakeGraph]:
        return self.shared

    def replay(self) -> None:
        type(self).replays += 1
        with torch.no_grad():
            for func, args, kwargs, result in self.recorder.steps:
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if torch.is_tensor(old) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)
            for other in self.shared:
                for tensor in other.recorder.own.values() if other is not self else ():
                    tensor.fill_(torch.nan if tensor.is_floating_point() else 0)


class NoStream:
    def __init__(self, device: Any = None) -> None:
        pass

    def wait_stream(self, other: Any) -> None:
        pass


@contextlib.contextmanager
def capturing(graph: FakeGraph, pool: list[FakeGraph] | None = None, **kinds: Any) -> Iterator[None]:
    if pool is not None:
        pool.append(graph)
        graph.shared = pool
    with graph.recorder:
        yield


def fake_cuda_graphs(monkeypatch: pytest.MonkeyPatch) -> type[FakeGraph]:
    """Put them in the place of CUDA's."""
    FakeGraph.replays = 0
    for name, fake in {
        "CUDAGraph": FakeGraph,
        "graph": capturing,
        "Stream": NoStream,
        "current_stream": NoStream,
        "stream": lambda stream: contextlib.nullcontext(),
        "get_rng_state": lambda device: torch.get_rng_state(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return FakeGraph
