"""Which frames of a clip the features of a network depend on, up to where the network averages over all of time.

Of a graph of layers that are known to be convolutions in time, or to take each frame by itself, this is arithmetic
(Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019). A graph with any
other operation before its average has no reach.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn import functional as F

from vidrobust.fast.frozen import FrozenConv, FrozenReLU
from vidrobust.fast.fused import FusedConv
from vidrobust.fast.groups import MergedConv
from vidrobust.fast.segments import crossing
from vidrobust.fast.stem import UnshuffledStem

if TYPE_CHECKING:
    from collections.abc import Mapping


class Reach(NamedTuple):
    """Feature ``j`` depends on the frames ``j · stride - before`` to ``j · stride + after``.

    Attributes:
        stride: frames from one feature to the next.
        before, after: frames.
        surplus: of ``T`` frames there are ``(T + surplus) // stride + 1`` features.

    >>> Reach().through(kernel=3, stride=2, padding=1).through(kernel=3, padding=1)
    Reach(stride=2, before=3, after=3, surplus=-1)
    """

    stride: int = 1
    before: int = 0
    after: int = 0
    surplus: int = -1

    def through(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, total: int = -1) -> Reach:
        """Behind a window over features; ``total`` padding of both sides is by default twice that before."""
        wide = dilation * (kernel - 1)
        grown = (2 * padding if total < 0 else total) - wide
        return Reach(
            self.stride * stride,
            self.before + padding * self.stride,
            self.after + (wide - padding) * self.stride,
            self.surplus + grown * self.stride,
        )

    def features(self, frames: int) -> int:
        """How many there are of so many frames."""
        return (frames + self.surplus) // self.stride + 1

    @property
    def halo(self) -> int:
        """Frames beside its own that a feature depends on."""
        return self.before + self.after


def averaged_features(graph: fx.GraphModule) -> tuple[fx.Node, Reach] | None:
    """The node that averages over all of time, and the reach of the features before it.

    None if a graph has no such node, if something passes by it, or if a layer before it is not known.
    """
    nodes = list(graph.graph.nodes)
    known: dict[fx.Node, Reach | None] = {}
    for index, node in enumerate(nodes):
        try:
            if _averages_time(graph, node):
                features = node.args[0]
                alone = crossing(nodes, index) == [features] and list(features.users) == [node]
                reach = known[features]
                return (node, reach) if reach is not None and alone else None
            known[node] = _reach(graph, node, known)
        except (
            UnknownOperationError,
            TypeError,
            IndexError,
            KeyError,
            AttributeError,
            ValueError,
        ):  # arguments of a kind that is not known
            return None
    return None


class UnknownOperationError(Exception):
    """An operation that may look at any frame."""


def _reach(graph: fx.GraphModule, node: fx.Node, known: Mapping[fx.Node, Reach | None]) -> Reach | None:
    """The reach of a node's features; None for what has no frames (a mean of colours)."""
    if node.op == "placeholder":
        return _of(not known, Reach())
    if node.op == "get_attr":
        tensor = operator.attrgetter(str(node.target))(graph)
        return _of(tensor.ndim < 3 or tensor.shape[-3] == 1, None)
    inputs = [known[given] for given in node.all_input_nodes]
    if node.op == "call_module":
        return _behind_module(graph.get_submodule(str(node.target)), inputs)
    if node.op == "call_function" and node.target is operator.getitem:
        return _behind_slices(node.args[1], inputs[0])
    if node.target is F.pad:
        return _of(not any(_argument(node, 1, "pad")[4:6]), _alike(inputs))
    if node.target is torch.cat:
        return _of(_argument(node, 1, "dim") == 1, _alike(inputs))
    pointwise = POINTWISE_METHODS if node.op == "call_method" else POINTWISE_FUNCTIONS
    return _of(node.target in pointwise, _alike(inputs))


def _of(holds: bool, reach: Reach | None) -> Reach | None:
    if not holds:
        raise UnknownOperationError
    return reach


def _alike(inputs: list[Reach | None]) -> Reach | None:
    """The reach of what is computed from several features at one place."""
    reaches = [reach for reach in inputs if reach is not None]
    if not reaches:
        return None
    first = reaches[0]
    steady = all((reach.stride, reach.surplus) == (first.stride, first.surplus) for reach in reaches)
    widest = first._replace(before=max(reach.before for reach in reaches), after=max(reach.after for reach in reaches))
    return _of(steady, widest)


def _behind_module(part: nn.Module, inputs: list[Reach | None]) -> Reach | None:
    if isinstance(part, FusedConv):
        return _alike([_behind_module(part.part, inputs[:1]), *inputs[1:]])
    if type(part) is nn.BatchNorm3d:
        return _of(part.track_running_stats and not part.training, _alike(inputs))
    if type(part) is nn.AdaptiveAvgPool3d:
        size = part.output_size
        return _of(isinstance(size, tuple) and size[0] is None, _alike(inputs))
    window = _window(part)
    if window is None:
        return _of(type(part) in POINTWISE_MODULES, _alike(inputs))
    (reach,) = inputs
    return None if reach is None else reach.through(**window)


def _window(part: nn.Module) -> dict[str, int] | None:
    """How a layer goes over frames, if it is one that goes over them."""
    if isinstance(part, FrozenConv | MergedConv | UnshuffledStem):
        return _window(part.conv)
    if type(part) is nn.Conv3d:
        _of(part.padding_mode != "circular", None)
        sizes = {"kernel": part.kernel_size[0], "stride": part.stride[0], "dilation": part.dilation[0]}
        wide = sizes["dilation"] * (sizes["kernel"] - 1)
        if part.padding == "same":
            return {**sizes, "padding": wide // 2, "total": wide}
        return {**sizes, "padding": 0 if part.padding == "valid" else int(part.padding[0])}
    if type(part) in (nn.MaxPool3d, nn.AvgPool3d):
        _of(not part.ceil_mode, None)
        names = {"kernel": part.kernel_size, "stride": part.stride, "padding": part.padding}
        dilation = getattr(part, "dilation", 1)
        return {name: _first(value) for name, value in {**names, "dilation": dilation}.items()}  # type: ignore[arg-type]
    return None


def _first(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


def _behind_slices(index: Any, reach: Reach | None) -> Reach | None:
    """Behind ``x[:, :, ::t, …]``."""
    batch, _, frames, *_ = index
    whole = isinstance(frames, slice) and frames.start in (None, 0) and frames.stop is None
    _of(batch == slice(None) and whole and reach is not None, None)
    assert reach is not None
    return reach.through(kernel=1, stride=frames.step or 1)


def _averages_time(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        part = graph.get_submodule(str(node.target))
        return type(part) is nn.AdaptiveAvgPool3d and _first(part.output_size) == 1  # type: ignore[arg-type]
    if node.target is F.adaptive_avg_pool3d:
        return _first(_argument(node, 1, "output_size")) == 1
    if node.target == "mean" or node.target is torch.mean:
        axes = _argument(node, 1, "dim")
        axes = {axes} if isinstance(axes, int) else set(axes or ())
        return bool({2, -3} & axes) and not {0, -5} & axes
    return False


def _argument(node: fx.Node, place: int, name: str) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name)


POINTWISE_MODULES: frozenset[type[nn.Module]] = frozenset(
    {
        *(FrozenReLU, nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish),
        *(nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Dropout, nn.Dropout3d),
    }
)
"""Layers that take each value by itself, in evaluation mode."""

POINTWISE_FUNCTIONS: frozenset[Callable[..., Any]] = frozenset(
    {
        *(operator.add, operator.iadd, operator.sub, operator.isub, operator.mul, operator.imul, operator.truediv),
        *(operator.neg, torch.add, torch.sub, torch.mul, torch.div, torch.relu, torch.relu_, torch.sigmoid),
        *(torch.tanh, torch.clamp, F.relu, F.relu_, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardswish),
        *(F.sigmoid, F.tanh),
    }
)

POINTWISE_METHODS = frozenset(
    {
        *("add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "relu", "relu_", "sigmoid", "tanh"),
        *("clamp", "clamp_", "contiguous", "clone", "float"),
    }
)
