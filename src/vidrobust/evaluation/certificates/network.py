"""A model as what bounds can be propagated through: affine maps, rectifiers, maxima and sums, one after the other.

The model is traced (:func:`vidrobust.fast.tracing.traced`); each layer becomes one of four kinds of operations on
batches ``B …``. What has no bound here is refused by its name.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import fx, nn
from torch.nn import functional as F

from vidrobust.errors import InputError
from vidrobust.fast.tracing import traced
from vidrobust.models.adapters import logits_of, resized, sampled, weights_type

if TYPE_CHECKING:
    from torch import Tensor

Linear: TypeAlias = "Callable[[Tensor], Tensor]"
Statistics: TypeAlias = "Mapping[nn.Module, tuple[Tensor, Tensor]]"

NORMALISING = 10
"""Roundings in normalising one number: its scale from a variance, the product, the shift."""


def no_rounding(x: Tensor) -> int:
    """Of a map that moves numbers without computing."""
    return 0


@dataclass(frozen=True, eq=False)
class Affine:
    """``A x + b``.

    Attributes:
        source: which value it is of.
        linear: ``x → A x``.
        size: ``x → |A| x``, with the absolute value of each entry.
        offset: ``b``, as it is broadcast.
        offset_size: the sum of the absolute values that ``b`` was computed from.
        roundings: the most roundings of one output, given the input; :func:`no_rounding` of a map that moves numbers.
    """

    source: int
    linear: Linear
    size: Linear
    offset: Tensor | float = 0.0
    offset_size: Tensor | float = 0.0
    roundings: Callable[[Tensor], int] = field(default_factory=lambda: no_rounding)


@dataclass(frozen=True)
class ReluLayer:
    """``max(x, 0)``."""

    source: int


@dataclass(frozen=True, eq=False)
class Maximum:
    """The largest number of each window; ``pool`` takes what :func:`torch.nn.functional.max_pool3d` takes."""

    source: int
    pool: Mapping[str, Any]


@dataclass(frozen=True)
class Sum:
    """Two values added."""

    first: int
    second: int


Operation: TypeAlias = "Affine | ReluLayer | Maximum | Sum"


@dataclass(frozen=True, eq=False)
class Network:
    """Value 0 is the clips; operation ``i`` makes value ``i + 1``; ``output`` says which value the logits are."""

    operations: tuple[Operation, ...]
    output: int


def network_of(model: nn.Module, cast: Linear, statistics: Statistics | None = None) -> Network:
    """The operations of a model in evaluation mode.

    Args:
        model: from clips ``B 3 T H W`` to logits, of the layers that are listed in the module's tables.
        cast: what its numbers go through, such as to float64.
        statistics: (mean, variance) in place of the running ones of some BatchNorm layers.

    Raises:
        InputError: it cannot be traced, its weights are not float32 or float64, or it has a layer without a bound.
    """
    if weights_type(model) not in (torch.float32, torch.float64):
        raise InputError(f"bounds are of float32 arithmetic, and the weights are {weights_type(model)}: model.float().")
    try:
        graph = traced(model)
    except Exception as error:  # whatever a forward does that depends on numbers
        raise InputError(f"the model cannot be traced into a graph, so it has no bounds ({error}).") from error
    return _Lowering(graph, cast, statistics or {}).network()


class _Lowering:
    """Walks over a traced graph and lists its operations."""

    def __init__(self, graph: fx.GraphModule, cast: Linear, statistics: Statistics) -> None:
        self.graph, self.cast, self.statistics = graph, cast, statistics
        self.operations: list[Operation] = []
        self.values: dict[fx.Node, int] = {}
        self.in_place: set[int] = set()
        """Operations that write their result over what they read."""

    def network(self) -> Network:
        for node in self.graph.graph.nodes:
            if node.op == "output":
                output = self.value(node.args[0])
                self.refuse_overwritten(output)
                return Network(tuple(self.operations), output)
            if node.op == "placeholder" and not self.values:
                self.values[node] = 0
            elif node.op in ("call_module", "call_function", "call_method"):
                result = self.operation(node)
                self.values[node] = result if isinstance(result, int) else self.added(result)
        raise InputError("the model returns nothing.")

    def added(self, operation: Operation) -> int:
        self.operations.append(operation)
        return len(self.operations)

    def operation(self, node: fx.Node) -> Operation | int:
        """What a node does, or the value that it hands on as it is."""
        if node.op == "call_module":
            module = self.graph.get_submodule(str(node.target))
            bound = _LAYERS.get(type(module))
            if bound is None or module._forward_hooks or module._forward_pre_hooks:
                raise self.refused(node, type(module).__name__)
            return bound(self, module, self.value(node.args[0]), node)
        bound, named = _FUNCTIONS.get(node.target), getattr(node.target, "__name__", str(node.target))
        if bound is None:
            raise self.refused(node, named)
        unread = {} if bound is _moved else {name: value for name, value in node.kwargs.items() if name != "inplace"}
        if unread:  # alpha of a sum, the rounding of a quotient
            raise self.refused(node, f"{named} with {', '.join(unread)}")
        return bound(self, node)

    def refuse_overwritten(self, output: int) -> None:
        """Refuse a model that reads a value, or a view of it, after something else was written into it.

        Raises:
            InputError: it does.
        """
        reads = [(place, value) for place, one in enumerate(self.operations) for value in _sources(one)]
        for written in self.in_place:
            memory = self.memory(written + 1)
            for place, value in (*reads, (len(self.operations), output)):
                if value <= written < place and self.memory(value) == memory:
                    raise InputError(
                        "the model reads a value again that an operation in place has changed: inplace=False."
                    )

    def memory(self, value: int) -> int:
        """The value whose memory a value may share: it is a view of it, or was written over it."""
        while value:
            made = self.operations[value - 1]
            if value - 1 not in self.in_place and not (isinstance(made, Affine) and made.roundings is no_rounding):
                break
            value = _sources(made)[0]
        return value

    def refused(self, node: fx.Node, what: str) -> InputError:
        known = ", ".join(sorted(kind.__name__ for kind in _LAYERS))
        return InputError(
            f"{node.target}: there is no bound of {what}. There are bounds of {known}, of sums, and of normalisation "
            "by constants; Smoothing takes any model."
        )

    def value(self, argument: Any) -> int:
        if not isinstance(argument, fx.Node) or argument not in self.values:
            raise InputError(f"the model computes with {argument}, which does not come from its clips.")
        return self.values[argument]

    def constant(self, argument: Any) -> Tensor | None:
        """A number of the model's own as a tensor; None for what comes from the clips."""
        if isinstance(argument, int | float):
            return self.cast(torch.tensor(float(argument)))
        if isinstance(argument, fx.Node) and argument.op == "get_attr":
            path, _, name = str(argument.target).rpartition(".")
            found = getattr(self.graph.get_submodule(path), name)
            return self.cast(found) if torch.is_tensor(found) and found.is_floating_point() else None
        return None


# --------------------------------------------------------------------------------------------------------- layers


def _conv(lowering: _Lowering, module: Any, source: int, node: fx.Node) -> Affine:
    if module.padding_mode != "zeros":
        raise lowering.refused(node, f"padding_mode={module.padding_mode}")
    weight, options = lowering.cast(module.weight), (module.stride, module.padding, module.dilation, module.groups)

    def convolved(kernel: Tensor) -> Linear:
        return lambda x: F.conv3d(x, kernel, None, *options)

    offset, size = _bias(lowering, module.bias, (-1, 1, 1, 1))
    terms = weight[0].numel() + 1
    return Affine(source, convolved(weight), convolved(weight.abs()), offset, size, lambda x: terms)


def _dense(lowering: _Lowering, module: Any, source: int, node: fx.Node) -> Affine:
    weight = lowering.cast(module.weight)
    offset, size = _bias(lowering, module.bias, (-1,))
    terms = weight.shape[1] + 1
    return Affine(
        source, lambda x: F.linear(x, weight), lambda x: F.linear(x, weight.abs()), offset, size, lambda x: terms
    )


def _bias(lowering: _Lowering, bias: Tensor | None, shape: tuple[int, ...]) -> tuple[Tensor | float, Tensor | float]:
    if bias is None:
        return 0.0, 0.0
    offset = lowering.cast(bias).view(shape)
    return offset, offset.abs()


def _norm(lowering: _Lowering, module: Any, source: int, node: fx.Node) -> Affine:
    mean, variance = lowering.statistics.get(module, (module.running_mean, module.running_var))
    if mean is None or variance is None:
        raise lowering.refused(node, "BatchNorm3d without running statistics")
    scale = 1 / (lowering.cast(variance) + module.eps).sqrt()
    shift, shift_size = 0.0, 0.0
    if module.weight is not None:
        scale = scale * lowering.cast(module.weight)
        shift, shift_size = _bias(lowering, module.bias, (-1, 1, 1, 1))
    scale, mean = scale.view(-1, 1, 1, 1), lowering.cast(mean).view(-1, 1, 1, 1)
    moved = mean * scale
    return _scaled(source, scale, shift - moved, shift_size + moved.abs(), NORMALISING)


def _scaled(source: int, scale: Tensor, offset: Tensor | float, offset_size: Tensor | float, terms: int) -> Affine:
    return Affine(source, lambda x: x * scale, lambda x: x * scale.abs(), offset, offset_size, lambda x: terms)


def _averaged(lowering: _Lowering, module: Any, source: int, node: fx.Node) -> Affine:
    """Its entries have one sign, which is negative where ``divisor_override`` is."""
    return Affine(source, module, lambda x: module(x).abs(), roundings=lambda x: x[0, 0].numel() + 1)


def _moving(source: int, linear: Linear) -> Affine:
    """A map that moves numbers."""
    return Affine(source, linear, linear)


def _rectified(lowering: _Lowering, module: Any, source: int, node: fx.Node) -> ReluLayer:
    return _relu_layer(lowering, source, module.inplace)


def _relu_layer(lowering: _Lowering, source: int, inplace: bool) -> ReluLayer:
    if inplace:
        lowering.in_place.add(len(lowering.operations))
    return ReluLayer(source)


def _sources(operation: Operation) -> tuple[int, ...]:
    return (operation.first, operation.second) if isinstance(operation, Sum) else (operation.source,)


def _pooled(lowering: _Lowering, module: Any, source: int, node: fx.Node) -> Maximum:
    if module.return_indices:
        raise lowering.refused(node, "MaxPool3d with indices")
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    return Maximum(source, {name: getattr(module, name) for name in names})


def _kept(lowering: _Lowering, module: Any, source: int, node: fx.Node) -> int:
    return source


def _flat(lowering: _Lowering, module: Any, source: int, node: fx.Node) -> Affine:
    if module.start_dim < 1:
        raise lowering.refused(node, "Flatten of the batch")
    return _moving(source, module)


_LAYERS: dict[type[nn.Module], Callable[..., Operation | int]] = {
    nn.Conv3d: _conv,
    nn.Linear: _dense,
    nn.BatchNorm3d: _norm,
    nn.ReLU: _rectified,
    nn.AvgPool3d: _averaged,
    nn.AdaptiveAvgPool3d: _averaged,
    nn.MaxPool3d: _pooled,
    nn.Identity: _kept,
    nn.Dropout: _kept,
    nn.Dropout3d: _kept,
    nn.Flatten: _flat,
}

# ------------------------------------------------------------------------------------------------------ functions


def _plus(lowering: _Lowering, node: fx.Node) -> Operation:
    first, second = node.args[:2]
    known = lowering.constant(second)
    if node.target in (operator.iadd, "add_"):
        lowering.in_place.add(len(lowering.operations))
    if known is None and lowering.constant(first) is None:
        return Sum(lowering.value(first), lowering.value(second))
    value, known = (first, known) if known is not None else (second, lowering.constant(first))
    assert known is not None
    return _scaled(lowering.value(value), torch.ones_like(known), known, known.abs(), 1)


def _minus(lowering: _Lowering, node: fx.Node) -> Operation:
    known = lowering.constant(node.args[1])
    if known is None:
        raise lowering.refused(node, "a difference but from a constant")
    return _scaled(lowering.value(node.args[0]), torch.ones_like(known), -known, known.abs(), 1)


def _times(lowering: _Lowering, node: fx.Node) -> Operation:
    known = [lowering.constant(argument) for argument in node.args[:2]]
    scale, value = (known[1], node.args[0]) if known[1] is not None else (known[0], node.args[1])
    if scale is None:
        raise lowering.refused(node, "a product but by a constant")
    return _scaled(lowering.value(value), scale, 0.0, 0.0, 1)


def _over(lowering: _Lowering, node: fx.Node) -> Operation:
    known = lowering.constant(node.args[1])
    if known is None:
        raise lowering.refused(node, "a quotient but by a constant")
    return _scaled(lowering.value(node.args[0]), 1 / known, 0.0, 0.0, 2)


def _relu(lowering: _Lowering, node: fx.Node) -> Operation:
    return _relu_layer(lowering, lowering.value(node.args[0]), bool(node.kwargs.get("inplace")))


def _moved(lowering: _Lowering, node: fx.Node) -> Operation:
    """A slice, a pad with zeros, a flattening or a choice of frames: it moves numbers, clip by clip."""
    target, rest, named = node.target, node.args[1:], dict(node.kwargs)
    if target is F.pad and (named.get("mode", "constant") != "constant" or named.get("value") or rest[1:]):
        raise lowering.refused(node, "padding but with zeros")
    if target in ("flatten", torch.flatten) and (rest or (named.get("start_dim", 0),))[0] == 0:
        raise lowering.refused(node, "a flattening of the batch")
    if target is operator.getitem and not (isinstance(rest[0], tuple) and rest[0][0] == slice(None)):
        raise lowering.refused(node, "an index into the batch")
    moved: Any = (lambda x: getattr(x, target)(*rest, **named)) if isinstance(target, str) else target
    source = lowering.value(node.args[0])
    return _moving(source, moved if isinstance(target, str) else lambda x: moved(x, *rest, **named))


def _unresized(lowering: _Lowering, node: fx.Node) -> Operation:
    size = tuple(node.args[1:])

    def same(x: Tensor) -> Tensor:
        if tuple(x.shape[3:]) != size:
            raise InputError(f"the model resizes its clips to {size[0]} × {size[1]}: bounds need clips of that size.")
        return x

    return _moving(lowering.value(node.args[0]), same)


def _same(lowering: _Lowering, node: fx.Node) -> int:
    return lowering.value(node.args[0])


_FUNCTIONS: dict[Any, Callable[[_Lowering, fx.Node], Operation | int]] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), _plus),
    **dict.fromkeys((operator.sub, torch.sub), _minus),
    **dict.fromkeys((operator.mul, torch.mul), _times),
    **dict.fromkeys((operator.truediv, torch.div), _over),
    **dict.fromkeys((F.relu, torch.relu, "relu"), _relu),
    **dict.fromkeys((operator.getitem, F.pad, torch.flatten, "flatten", sampled), _moved),
    **dict.fromkeys(("contiguous", logits_of), _same),
    resized: _unresized,
}
