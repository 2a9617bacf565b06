"""The blocks of a model, and how they run another forward pass for a while: what activation checkpointing needs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The parts of a model's outermost sequences and lists that have weights: what checkpointing runs again."""
    found: list[nn.Module] = []
    for part in model.children():
        listed = isinstance(part, nn.Sequential | nn.ModuleList)
        found += list(part.children()) if listed else blocks_of(part)
    return [block for block in found if any(True for _ in block.parameters())]


@contextlib.contextmanager
def patched(parts: Sequence[nn.Module], forward: Callable[[nn.Module], Callable[..., Tensor]]) -> Iterator[None]:
    """The parts run another forward inside; their type stays, so that attacks still know them."""
    before = [part.__dict__.get("forward") for part in parts]
    try:
        for part in parts:
            part.forward = forward(part)  # type: ignore[method-assign]
        yield
    finally:
        for part, own in zip(parts, before, strict=True):
            part.__dict__.pop("forward", None)
            if own is not None:
                part.forward = own  # type: ignore[method-assign]
