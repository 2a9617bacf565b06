"""Tracing a model without leaving anything of it in the model."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from vidrobust.fast.drawing import refusing_draws

if TYPE_CHECKING:
    from torch import nn


def traced(model: nn.Module) -> fx.GraphModule:
    """The graph of a model, as :func:`torch.fx.symbolic_trace` finds it.

    A model that keeps something of a call (its features, a mask for the next one) is not left with a stand-in of the
    tracer in its place. A model that asks whether gradients are enabled is traced as they are, since a graph is for
    attacks: a quantised model may pass gradients straight through only then.

    Raises:
        RuntimeError: the model draws random numbers otherwise than by operations on its input: the graph would hold
            those of one draw for ever. Or it calls a ``torch.autograd.Function``, such as a straight-through estimator:
            the graph would have its forward pass without its gradient.

    >>> from torch import nn
    >>> class Keeps(nn.Identity):
    ...     def forward(self, input):
    ...         self.features = input
    ...         return input
    >>> model = Keeps()
    >>> graph = traced(model)
    >>> hasattr(model, "features")
    False
    """
    with _attributes_kept(model), torch.enable_grad(), refusing_draws(), _refusing_own_gradients():
        return fx.symbolic_trace(model)


@contextmanager
def _refusing_own_gradients() -> Iterator[None]:
    """Inside, a ``torch.autograd.Function`` refuses the stand-ins of the tracer, which its forward pass would take."""
    usual = vars(torch.autograd.Function)["apply"]

    def apply(cls: type, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, fx.Proxy) for value in (*args, *kwargs.values())):
            raise RuntimeError(f"{cls.__name__} has a gradient of its own, which cannot be traced")
        return usual.__func__(cls, *args, **kwargs)

    torch.autograd.Function.apply = classmethod(apply)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        torch.autograd.Function.apply = usual  # type: ignore[method-assign]


@contextmanager
def _attributes_kept(model: nn.Module) -> Iterator[None]:
    """All attributes of all parts are afterwards as they were; of lists, sets and tables also what they hold."""
    kept = [(part, {name: (value, _copied(value)) for name, value in vars(part).items()}) for part in model.modules()]
    try:
        yield
    finally:
        for part, attributes in kept:
            for name in vars(part).keys() - attributes.keys():
                del vars(part)[name]
            vars(part).update({name: value for name, (value, _) in attributes.items()})
            for value, content in attributes.values():
                _put_back(value, content)


def _copied(value: Any) -> Any:
    return copy.copy(value) if type(value) in (list, dict, set) else None


def _put_back(value: Any, content: Any) -> None:
    if content is None or _held(value) == _held(content):
        return
    value.clear()
    value.extend(content) if isinstance(value, list) else value.update(content)


def _held(value: Any) -> list[int]:
    return [id(one) for one in (*value, *(value.values() if isinstance(value, dict) else ()))]
