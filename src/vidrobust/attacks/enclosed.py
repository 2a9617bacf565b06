"""Buffers that a forward pass moves: in training mode those behind a function, and always those of own modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType

import torch
from torch import Tensor, nn


def enclosed_modules(call: object) -> list[nn.Module]:
    """The modules that a function closes over or names, that a method belongs to, or that a partial binds.

    >>> net = nn.Linear(2, 2)
    >>> enclosed_modules(lambda clips: net(clips)) == enclosed_modules(partial(net.forward)) == [net]
    True
    """
    found: list[nn.Module] = []
    seen: set[int] = set()

    def look(at: object) -> None:
        if id(at) in seen:
            return
        seen.add(id(at))
        if isinstance(at, nn.Module):
            found.append(at)
        for part in _parts(at):
            look(part)

    look(call)
    return found


def _parts(call: object) -> Iterator[object]:
    if isinstance(call, MethodType):
        yield from (call.__self__, call.__func__)
    elif isinstance(call, partial):
        yield from (call.func, *call.args, *call.keywords.values())
    elif isinstance(call, FunctionType):
        for cell in call.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not filled yet
                continue
        named = (call.__globals__.get(name) for name in call.__code__.co_names)
        yield from (value for value in named if isinstance(value, (nn.Module, partial, MethodType)))


def moving_buffers(call: Callable[..., object]) -> list[tuple[Tensor, Tensor]]:
    """The buffers behind a function that are in training mode, each with its value."""
    modules = {
        part: None for module in enclosed_modules(call) for part in module.modules() if getattr(part, "training", False)
    }
    return [(buffer, buffer.clone()) for part in modules for buffer in part.buffers(recurse=False)]


@dataclass(frozen=True)
class OwnBuffer:
    """A buffer as it was, and whose it is."""

    part: nn.Module
    name: str
    buffer: Tensor
    value: Tensor
    version: int | None
    """Of the tensor, by which moving it in place shows; those of inference mode have none."""

    @torch.no_grad()
    def put_back(self) -> None:
        """Give the module its buffer back, with the value it had."""
        self.part._buffers[self.name] = self.buffer
        if self.version is None or self.buffer._version != self.version:
            self.buffer.copy_(self.value)


def own_buffers(model: nn.Module) -> list[OwnBuffer]:
    """The buffers of modules that are not PyTorch's: they may move in evaluation mode, too."""
    own = (part for part in model.modules() if type(part).__module__.partition(".")[0] != "torch")
    return [
        OwnBuffer(part, name, buffer, buffer.detach().clone(), None if buffer.is_inference() else buffer._version)
        for part in own
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]


@torch.no_grad()
def put_back(buffers: list[tuple[Tensor, Tensor]]) -> None:
    """Give buffers the values they had."""
    for buffer, value in buffers:
        if not torch.equal(buffer, value):
            buffer.copy_(value)
