"""Has a model changed since it was last seen? Its parts and a few numbers tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

FEW_WEIGHTS = 4 * 2**20
"""Numbers of a model that are laid side by side to tell whether one has changed."""


def tensors_of(model: nn.Module) -> list[Tensor]:
    """All parameters and buffers."""
    return [*model.parameters(), *model.buffers()]


@torch.no_grad()
def model_state(model: nn.Module) -> tuple[float, ...]:
    """Numbers that change when a weight does; version counters alone do not see ``weight.data.mul_(2)``."""
    tensors = tensors_of(model)
    if not tensors:
        return ()
    counters = (number for tensor in tensors for number in (tensor.data_ptr(), tensor._version))
    return (*counters, *_sums(tensors).tolist())


def _sums(tensors: list[Tensor]) -> Tensor:
    """A number a tensor; on a GPU, which each number would keep waiting, two a type where all is little."""
    if not all(tensor.is_cuda for tensor in tensors) or sum(tensor.numel() for tensor in tensors) > FEW_WEIGHTS:
        return torch.stack([tensor.sum(dtype=torch.float32) for tensor in tensors])
    return torch.cat([_two_sums(kind, tensors) for kind in dict.fromkeys(tensor.dtype for tensor in tensors)])


def _two_sums(kind: torch.dtype, tensors: list[Tensor]) -> Tensor:
    """The sum of all numbers of a type, and one that knows their places."""
    numbers = torch.cat([tensor.reshape(-1) for tensor in tensors if tensor.dtype == kind]).float()
    return torch.stack([numbers.sum(), numbers @ torch.linspace(1, 2, len(numbers), device=numbers.device)])


def parts_of(model: nn.Module) -> tuple[object, ...]:
    """What a graph or a copy of a model is made of: it holds on to these objects, so that equal ids mean the same."""
    kinds = [(id(tensor), tensor.device, tensor.dtype, tensor.shape) for tensor in tensors_of(model)]
    return (*kinds, *((id(module), *_constants(module)) for module in model.modules()))


def _constants(module: nn.Module) -> list[tuple[str, object]]:
    """Plain values that a module holds: tracing writes those its forward pass uses into the graph."""
    return [(name, value) for name, value in vars(module).items() if name not in _OF_ALL and _is_plain(value)]


_OF_ALL = frozenset(vars(nn.Module()))
"""What every module holds, such as its mode and its hooks."""


def _is_plain(value: object) -> bool:
    """Is it something that can be compared: a number, a word, nothing, or a tuple of such?"""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (int, float, str))


def has_hooks(model: nn.Module) -> bool:
    """Would tracing the model lose something that runs beside its parts?"""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, kind) for module in model.modules() for kind in kinds)
