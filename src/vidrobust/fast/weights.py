"""Weights that need no gradient, for one thread: an attack differentiates with respect to the clips alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode


@contextlib.contextmanager
def constant_weights() -> Iterator[None]:
    """Inside, what this thread computes needs no gradient of any weight.

    Linear layers would otherwise keep what goes into them. The parameters themselves are not touched, so that another
    thread may train them or read ``requires_grad``. TorchScript, which calls no function of Python, still keeps it.

    >>> import torch
    >>> layer, clips = nn.Linear(2, 1), torch.ones(1, 2)
    >>> with constant_weights():
    ...     answer = layer(clips)
    >>> answer.requires_grad, layer.weight.requires_grad
    (False, True)
    """
    if _constant.get():
        yield
        return
    token = _constant.set(True)
    try:
        with ConstantWeights():
            yield
    finally:
        _constant.reset(token)


_constant: ContextVar[bool] = ContextVar("constant", default=False)


class ConstantWeights(TorchFunctionMode):
    """Functions of PyTorch see parameters as constants."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ``func`` with constants in the place of parameters."""
        named = {name: _without_gradient(value) for name, value in kwargs.items()} if kwargs else {}
        return func(*map(_without_gradient, args), **named)


def _without_gradient(value: Any) -> Any:
    kind = type(value)
    if kind is list or kind is tuple:  # the weights of a recurrent layer
        return kind(map(_without_gradient, value))
    if kind is not Tensor and isinstance(value, nn.Parameter) and not is_lazy(value):
        return value.detach() if value.requires_grad else value
    return value
