"""Long clips: a forward pass that keeps little for the backward pass, and computes the rest again (Chen et al., 2016).

A graph is cut into segments that keep only what enters them; where to cut is chosen from what each node was measured to
save and what is alive between nodes. Of a model that torch.fx cannot trace, the blocks of its outermost sequences are
the segments. What is computed again is computed as before, so that gradients are the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial
from itertools import accumulate, pairwise, takewhile
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from vidrobust.fast.blocks import blocks_of, patched
from vidrobust.fast.onednn import again_right
from vidrobust.fast.tracing import traced

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import Classifier, ClipTensor, Logits


def lean(model: nn.Module, clips: ClipTensor, draws: bool = True) -> Classifier | None:
    """The model, with what it saves computed again segment by segment; None where it cannot be cut.

    Args:
        model: in evaluation mode, with frozen parameters; it is not changed, and must not change while this is used.
        clips: one clip of the kind it will see, ``1 C T H W``.
        draws: does it draw random numbers, which must be the same when it is run again?
    """
    graph = _trace(model, clips)
    if graph is not None:
        return Segmented(graph, clips, draws)
    call = partial(in_blocks, model, draws=draws)
    return call if blocks_of(model) and _differentiable(call, clips) else None


def in_blocks(model: nn.Module, clips: ClipTensor, draws: bool = True) -> Logits:
    """The logits, while the model's blocks keep only their inputs."""
    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=draws)
    with patched(blocks_of(model), lambda block: partial(again, block.forward)):
        return model(clips)


def _trace(model: nn.Module, clips: ClipTensor) -> fx.GraphModule | None:
    """A graph of the model's own parts that answers as it does, bit by bit; tracing would lose hooks."""
    if any(part._forward_hooks or part._forward_pre_hooks for part in model.modules()):
        return None
    try:
        graph = traced(model)
        with torch.no_grad():
            return graph if torch.equal(graph(clips), model(clips)) else None
    except Exception:  # noqa: BLE001 - if tracing fails, there are still blocks
        return None


def _differentiable(call: Classifier, clips: ClipTensor) -> bool:
    """Do the blocks bear being run again? Not if one changes what it is given in place, for example."""
    clips = clips.detach().requires_grad_(True)
    try:
        with torch.enable_grad():
            torch.autograd.grad(call(clips).float().sum(), clips)
    except RuntimeError:
        return False
    return True


class Segmented:
    """A graph in segments, all but the last of which keep only what enters them.

    >>> net = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.Conv3d(4, 4, 3), nn.ReLU(), nn.Flatten())
    >>> clips = torch.rand(1, 3, 8, 8, 8)
    >>> torch.equal(Segmented(fx.symbolic_trace(net), clips)(clips), net(clips))
    True
    """

    def __init__(self, graph: fx.GraphModule, clips: ClipTensor, draws: bool = True) -> None:
        self._draws = draws
        probe = Probe(graph)
        with torch.enable_grad():
            probe.run(clips.detach().requires_grad_(True))
        nodes = list(graph.graph.nodes)
        cuts = cheapest_cuts(probe.saved, probe.alive, probe.cuts())
        taken: list[fx.Node] = []
        self.parts: list[fx.GraphModule] = []
        for begin, end in pairwise([0, *cuts, len(nodes)]):
            given = crossing(nodes, end)
            self.parts.append(part_of(graph, nodes[begin:end], taken, given))
            taken = given

    def __call__(self, clips: ClipTensor) -> Logits:
        values: tuple[Any, ...] = (clips,)
        for part in self.parts[:-1]:
            values = checkpoint(
                part, *values, use_reentrant=False, preserve_rng_state=self._draws, context_fn=again_right
            )
        return self.parts[-1](*values)  # the backward pass begins here: what it keeps is used at once


def crossing(nodes: list[fx.Node], cut: int) -> list[fx.Node]:
    """What is computed before node ``cut`` and used by it or behind it."""
    behind = set(nodes[cut:])
    return [node for node in nodes[:cut] if behind & node.users.keys()]


def part_of(graph: fx.GraphModule, nodes: list[fx.Node], taken: list[fx.Node], given: list[fx.Node]) -> fx.GraphModule:
    """A segment: a module with the graph's own parts, from what it takes to what it gives (nothing: the logits)."""
    own = fx.Graph()
    known = {node: own.placeholder(node.name) for node in taken}
    for node in nodes:
        if node.op == "output":
            own.output(fx.map_arg(node.args[0], known.__getitem__))
        else:
            known[node] = own.node_copy(node, known.__getitem__)
    if given:
        own.output(tuple(known[node] for node in given))
    return fx.GraphModule(graph, own).eval()


class Probe(fx.Interpreter):
    """Runs a graph once and keeps nothing but numbers, one per node.

    Attributes:
        saved: bytes that the node hands over to the backward pass, weights apart.
        alive: bytes of all tensors that wait for this node or a later one, weights apart.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self._kinds = [node.op for node in graph.graph.nodes]
        self.saved: list[int] = []
        self.alive: list[int] = []
        self._weights = storages(graph)
        self._memories: dict[fx.Node, list[int]] = {}  # a number for the memory of each tensor of a node
        self._waiting: list[set[int]] = []
        self._changed: list[set[int]] = []

    def cuts(self) -> list[int]:
        """The nodes before which the graph may be cut: behind them, nothing that crosses is changed in place."""
        later, found = set[int](), list[int]()
        for index in reversed(range(1, len(self._kinds))):
            later |= self._changed[index]
            if self._kinds[index] not in ("placeholder", "output") and not later & self._waiting[index]:
                found.append(index)
        return found[::-1]

    def run_node(self, n: fx.Node) -> Any:
        """Run one node and note what it did to memory."""
        waiting = [
            (number, tensor, tensor._version)
            for node, value in self.env.items()
            for number, tensor in zip(self._memories[node], _tensors(value), strict=True)
        ]
        self._waiting.append({number for number, _, _ in waiting})
        self.alive.append(sum(tensor.nbytes for _, tensor, _ in waiting if _storage(tensor) not in self._weights))
        with saving(self._weights) as handed:
            result = super().run_node(n)
        self.saved.append(sum(handed))
        self._changed.append({number for number, tensor, version in waiting if tensor._version != version})
        known = {_storage(tensor): number for number, tensor, _ in waiting}
        for tensor in _tensors(result):
            known.setdefault(_storage(tensor), len(self.saved) * 1000 + len(known))
        self._memories[n] = [known[_storage(tensor)] for tensor in _tensors(result)]
        return result


def _tensors(value: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if torch.is_tensor(leaf)]


def _storage(tensor: Tensor) -> int:
    local = getattr(tensor, "to_local", None)  # of a shard of a parameter, which as a whole has no memory
    return (tensor if local is None else local()).untyped_storage().data_ptr()


def storages(module: nn.Module) -> set[int]:
    """Where the weights and buffers of a module lie."""
    return {_storage(tensor) for tensor in (*module.parameters(), *module.buffers())}


@contextlib.contextmanager
def saving(weights: set[int]) -> Iterator[list[int]]:
    """The bytes of each tensor that a forward pass hands over to its backward pass, which is let go at once.

    Args:
        weights: the storages of what would stay in memory anyway.
    """
    handed: list[int] = []

    def note(tensor: Tensor) -> None:
        handed.append(0 if _storage(tensor) in weights else tensor.nbytes)

    token = _measuring.set(True)
    try:
        with torch.autograd.graph.saved_tensors_hooks(note, lambda _: torch.empty(0)):
            yield handed
    finally:
        _measuring.reset(token)


_measuring: ContextVar[bool] = ContextVar("measuring", default=False)


def is_measuring() -> bool:
    """Is this within :func:`saving`? Then what a forward pass keeps is gone: no backward pass may follow."""
    return _measuring.get()


def cheapest_cuts(saved: list[int], alive: list[int], allowed: list[int]) -> list[int]:
    """Where to cut, so that what enters the segments and what the largest of them saves are least in sum.

    Args:
        saved: bytes that each node saves.
        alive: bytes that cross a cut before each node.
        allowed: the nodes before which a cut may be, in rising order.

    >>> cheapest_cuts([8, 8, 8, 8], [0, 1, 9, 1], [1, 2, 3])  # 1 + 1 + 16 is less than 1 + 9 + 1 + 8
    [1, 3]
    """
    best, least, limit = [], sum(saved), sum(saved) // 2
    while limit and (cuts := _cuts_within(limit, saved, alive, allowed)) is not None:
        largest = max(sum(saved[begin:end]) for begin, end in pairwise([0, *cuts, len(saved)]))
        total = largest + sum(alive[cut] for cut in cuts)
        if total < least:
            best, least = cuts, total
        limit = min(largest - 1, limit * 3 // 4)
    return best


def _cuts_within(limit: int, saved: list[int], alive: list[int], allowed: list[int]) -> list[int] | None:
    """The cuts that let the least cross, with no more than ``limit`` saved between two of them."""
    before = list(accumulate(saved, initial=0))
    cost, previous = {0: 0}, {}
    for end in (*allowed, len(saved)):
        floor = before[end] - limit
        begins = list(takewhile(lambda begin, floor=floor: before[begin] >= floor, reversed(cost)))
        if begins:
            previous[end] = min(begins, key=cost.__getitem__)
            cost[end] = cost[previous[end]] + (alive[end] if end < len(saved) else 0)
    if len(saved) not in previous:
        return None
    cuts, at = [], previous[len(saved)]
    while at:
        cuts.append(at)
        at = previous[at]
    return cuts[::-1]
