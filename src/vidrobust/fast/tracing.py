"""Tracing a model without leaving anything of it in the model."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.fx.node import map_aggregate

from vidrobust.fast.drawing import refusing_draws

if TYPE_CHECKING:
    from torch import nn


def traced(model: nn.Module) -> fx.GraphModule:
    """The graph of a model, as :func:`torch.fx.symbolic_trace` finds it.

    A model that keeps something of a call (its features, a mask for the next one) is not left with a stand-in of the
    tracer in its place. A model that asks whether gradients are enabled is traced as they are, since a graph is for
    attacks: a quantised model may pass gradients straight through only then. A ``torch.autograd.Function``, such as a
    straight-through estimator, is one node, which calls it: traced, its forward pass would be without its gradient.

    Raises:
        RuntimeError: the model draws random numbers otherwise than by operations on its input: the graph would hold
            those of one draw for ever.

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
    with _attributes_kept(model), torch.enable_grad(), refusing_draws(), _own_gradients_whole():
        return fx.symbolic_trace(model)


@contextmanager
def _own_gradients_whole() -> Iterator[None]:
    """Inside, a ``torch.autograd.Function`` that is given stand-ins of the tracer becomes a node of the graph."""
    usual = vars(torch.autograd.Function)["apply"]

    def apply(cls: type[torch.autograd.Function], *args: Any, **kwargs: Any) -> Any:
        found: list[fx.Proxy] = []
        map_aggregate((args, kwargs), lambda value: found.append(value) if isinstance(value, fx.Proxy) else None)
        if found:
            return found[0].tracer.create_proxy("call_function", _call_of(cls), args, kwargs)
        return usual.__func__(cls, *args, **kwargs)

    torch.autograd.Function.apply = classmethod(apply)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        torch.autograd.Function.apply = usual  # type: ignore[method-assign]


def _call_of(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """``function.apply`` in the numbers that its author had in mind: float32 where autocast is on."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with contextlib.ExitStack() as stack:
            for device in ("cpu", "cuda"):
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
                    args, kwargs = map_aggregate((args, kwargs), _wide)
            return function.apply(*args, **kwargs)

    call.__name__ = function.__name__  # by which the graph's code calls it
    return call


def _wide(value: Any) -> Any:
    return value.float() if torch.is_tensor(value) and value.dtype == torch.bfloat16 else value


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
