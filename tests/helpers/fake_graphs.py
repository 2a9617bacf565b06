"""CUDA graphs on a CPU: the operations that run inside are recorded, and run again into the same tensors."""

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

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, result))
        return result


class FakeGraph:
    replays = 0

    def __init__(self) -> None:
        self.recorder = Recorder()

    def pool(self) -> tuple[int, int]:
        return (0, 0)

    def replay(self) -> None:
        type(self).replays += 1
        with torch.no_grad():
            for func, args, kwargs, result in self.recorder.steps:
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if torch.is_tensor(old) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


class NoStream:
    def __init__(self, device: Any = None) -> None:
        pass

    def wait_stream(self, other: Any) -> None:
        pass


@contextlib.contextmanager
def capturing(graph: FakeGraph, pool: Any = None, **kinds: Any) -> Iterator[None]:
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
