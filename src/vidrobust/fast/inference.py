"""The fast copy of a model that attacks differentiate.

An attack needs logits and input gradients of a model that stands still. So BatchNorm is folded into the convolution
before it, parameters need no gradient, tensors lie channels-last, the first convolution sees pixel-unshuffled frames,
and where the processor has bfloat16 the convolutions run in it, while the head and the loss stay in float32. In
float32, the copy has no convolution weights of its own but shares the model's. It is cached per model, refreshed when
the weights change, as they do after every step of adversarial training, and made anew when the model's parts change. A
model that torch.fx cannot trace, or whose copy does not answer as the model does, is used as it is.
"""

from __future__ import annotations

import contextlib
import copy
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from vidrobust.fast.drawing import drawing_watched, draws, random_states_kept
from vidrobust.fast.frozen import FrozenConv, FrozenReLU, is_plain
from vidrobust.fast.fused import fuse
from vidrobust.fast.graphs import Graphs, RepeatedWork
from vidrobust.fast.groups import merge_groups
from vidrobust.fast.onednn import CONVOLUTIONS, lowered
from vidrobust.fast.precision import has_bf16
from vidrobust.fast.segments import Segmented
from vidrobust.fast.state import has_hooks, model_state, parts_of, tensors_of
from vidrobust.fast.stem import UnshuffledStem, has_rewritable_stem
from vidrobust.fast.tracing import traced

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor, Logits


class Float32Head(nn.Module):
    """A last layer whose logits stay in float32: bfloat16 logits would quantise the loss."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return self.head(features.float())


@dataclass(frozen=True)
class Folded:
    """One convolution of the copy and where its weights come from: a convolution and the BatchNorm after it."""

    target: nn.Conv3d
    source: nn.Conv3d
    norm: nn.BatchNorm3d
    scale: Tensor | None
    """Of a convolution that shares the weights of its source: what they are multiplied by, a number per channel."""

    @torch.no_grad()
    def refresh(self) -> None:
        """Fold: ``w' = w·γ/σ``, ``b' = (b-μ)·γ/σ + β``."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None and variance is not None and self.target.bias is not None
        scale = torch.rsqrt(variance + self.norm.eps)
        if self.norm.weight is not None:
            scale = scale * self.norm.weight
        bias = -mean if self.source.bias is None else self.source.bias - mean
        bias = bias * scale
        self.target.bias.copy_(bias if self.norm.bias is None else bias + self.norm.bias)
        if self.scale is None:
            # The whole product in float32 would be twice the size of the target; a GPU would rather start few kernels.
            each = 16 if self.target.weight.device.type == "cpu" else len(scale)
            parts = zip(
                *(tensor.split(each) for tensor in (self.target.weight, self.source.weight, scale)), strict=True
            )
            for target, source, part in parts:
                target.copy_(source * part.view(-1, 1, 1, 1, 1))
        else:
            self.target.weight.data = self.source.weight.detach()  # which may lie elsewhere by now
            self.scale.copy_(scale)


class InferenceCopy:
    """A folded copy of a model that knows when it is out of date.

    Attributes:
        graph: what is run, on frozen weights: its own, or the model's where it shares them.
        graphs: the same as CUDA graphs.
        bf16: are its convolutions in bfloat16?
        layout: the memory format in which it takes clips without copying them.
    """

    def __init__(self, model: nn.Module, bf16: bool, fused: bool = False) -> None:
        graph = traced(model)
        pairs = _pairs(graph)
        # Captured graphs need weights that stay where they are, and a GPU's memory goes into activations.
        on_gpu = any(tensor.is_cuda for tensor in tensors_of(model))
        apart = bf16 or on_gpu
        shared = set() if apart else {conv for conv, _ in pairs.values() if _can_share(graph.get_submodule(conv))}
        _own_parts(graph, shared, bf16)
        self._folded = _fold(graph, model, pairs, shared)
        folded = {id(item.target) for item in self._folded}
        self._copied = _matching_tensors(graph, model, folded)
        self.bf16 = bf16
        if bf16:
            _keep_head(graph)
        self._stems = _unshuffle(graph)
        self._merged = merge_groups(graph) if bf16 and on_gpu else []
        _freeze(graph, self._folded)
        self._watched = _convolves_otherwise(graph)
        if fused:
            fuse(graph)
        self.graph = graph
        # Three channels last make what comes before the first convolution slow; the rewritten one lays out its own.
        self.layout = torch.contiguous_format if self._stems else torch.channels_last_3d
        self._parts = parts_of(model)
        self._segmented: dict[torch.Size, Segmented] = {}
        self.graphs = Graphs()
        self._taking_over = RepeatedWork(self._take_over)
        self._state: tuple[float, ...] | None = None
        self.refresh(model)

    def is_of(self, model: nn.Module) -> bool:
        """Has the model still the parts, types, devices and numbers it had when it was copied, and no hooks?"""
        return parts_of(model) == self._parts and not has_hooks(model)

    def refresh(self, model: nn.Module) -> None:
        """Take over the model's weights if they have changed since the last call."""
        state = model_state(model)
        if state == self._state:
            return
        tensors = tensors_of(model)
        if tensors and all(tensor.is_cuda for tensor in tensors):
            self._taking_over(tuple(tensor.data_ptr() for tensor in tensors))
        else:
            self._take_over()
        self._state = state

    @torch.no_grad()
    def _take_over(self) -> None:
        for item in self._folded:
            item.refresh()
        for target, source in self._copied:
            target.copy_(source)
        for rewritten in (*self._stems, *self._merged):
            rewritten.refresh()

    def __call__(self, clips: ClipTensor) -> Logits:
        return self._run(self.graph.forward, clips)  # not by a call, which prints what fails

    def lean(self, clips: ClipTensor, draws: bool = True) -> Logits:
        """The same, but little is kept for the backward pass: the rest is computed again, with what it ``draws``."""
        clips = clips.contiguous(memory_format=self.layout)
        shape = clips.shape[1:]
        if shape not in self._segmented:
            with self.autocast(clips):
                self._segmented[shape] = Segmented(self.graph, clips[:1], draws)
        return self._run(self._segmented[shape], clips)

    def _run(self, call: Callable[[ClipTensor], Logits], clips: ClipTensor) -> Logits:
        clips = clips.contiguous(memory_format=self.layout)
        with self.autocast(clips):
            return call(clips).float()

    def autocast(self, clips: ClipTensor) -> contextlib.AbstractContextManager[None]:
        """The context in which its parts are run."""
        return lowered(clips.device, self.bf16, self._watched)


def _pairs(graph: fx.GraphModule) -> dict[fx.Node, tuple[str, str]]:
    """The BatchNorms that can be folded, with the names of the convolution before each and of itself."""
    found = {node: _conv_before(graph, node) for node in graph.graph.nodes}
    return {node: pair for node, pair in found.items() if pair is not None}


def _can_share(conv: nn.Module) -> bool:
    """Can it be computed with weights that are not folded, and need not be laid out in another way?"""
    return is_plain(conv) and not has_rewritable_stem(conv)


def _own_parts(graph: fx.GraphModule, shared: set[str], bf16: bool) -> None:
    """Give the graph frozen parts of its own, but for the weights of the ``shared`` convolutions.

    Convolutions are lowered one by one, so that none is held in float32.
    """
    for name in _called(graph):
        part, own = graph.get_submodule(name), {}
        if name in shared and isinstance(part, nn.Conv3d):
            own[id(part.weight)] = nn.Parameter(part.weight.detach(), requires_grad=False)
        elif isinstance(part, nn.Conv3d) and bf16:
            for tensor in part.parameters(recurse=False):
                layout = torch.channels_last_3d if tensor.ndim == 5 else torch.contiguous_format
                own[id(tensor)] = nn.Parameter(tensor.detach().to(torch.bfloat16, memory_format=layout))
        graph.set_submodule(name, copy.deepcopy(part, own).eval().requires_grad_(False))
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            holder, tensor = graph.get_submodule(owner), getattr(graph.get_submodule(owner), name)
            own = tensor.detach().clone()
            delattr(holder, name)
            holder.register_buffer(name, own)
    graph.eval()


def _called(graph: fx.GraphModule) -> list[str]:
    """The names of the modules that the graph calls."""
    return list(dict.fromkeys(str(node.target) for node in graph.graph.nodes if node.op == "call_module"))


def _fold(
    graph: fx.GraphModule, model: nn.Module, pairs: dict[fx.Node, tuple[str, str]], shared: set[str]
) -> list[Folded]:
    """Replace every convolution–BatchNorm pair of the graph by one convolution with a bias."""
    folded = []
    for node, (conv_name, norm_name) in pairs.items():
        source, norm = model.get_submodule(conv_name), model.get_submodule(norm_name)
        target = graph.get_submodule(conv_name)
        assert isinstance(source, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d) and isinstance(target, nn.Conv3d)
        if target.bias is None:
            target.bias = nn.Parameter(target.weight.new_zeros(target.out_channels), requires_grad=False)
        scale = target.weight.new_ones(target.out_channels) if conv_name in shared else None
        folded.append(Folded(target, source, norm, scale))
        (conv,) = node.all_input_nodes
        node.replace_all_uses_with(conv)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return folded


def _conv_before(graph: fx.GraphModule, node: fx.Node) -> tuple[str, str] | None:
    """The names of a convolution and of the BatchNorm ``node`` that alone uses its output, each called only once."""

    def module(candidate: object, kind: type[nn.Module]) -> str | None:
        if not isinstance(candidate, fx.Node) or candidate.op != "call_module":
            return None
        name = str(candidate.target)
        calls = sum(other.op == "call_module" and other.target == name for other in graph.graph.nodes)
        return name if calls == 1 and type(graph.get_submodule(name)) is kind else None

    norm_name = module(node, nn.BatchNorm3d)
    if norm_name is None or not node.args:
        return None
    conv = node.args[0]
    conv_name = module(conv, nn.Conv3d)
    if conv_name is None or not isinstance(conv, fx.Node) or len(conv.users) != 1:
        return None
    norm = graph.get_submodule(norm_name)
    return (conv_name, norm_name) if isinstance(norm, nn.BatchNorm3d) and norm.track_running_stats else None


def _matching_tensors(graph: nn.Module, model: nn.Module, folded: set[int]) -> list[tuple[Tensor, Tensor]]:
    """Pairs (of the copy, of the model) of all tensors that folding did not touch."""
    pairs = []
    for name, module in graph.named_modules():
        if id(module) in folded:
            continue
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for tensor_name, tensor in tensors:
            source = getattr(model.get_submodule(name), tensor_name)
            pairs.append((tensor, source))
    return pairs


def _keep_head(graph: fx.GraphModule) -> None:
    """Keep the last layer in float32."""
    output = next(node for node in graph.graph.nodes if node.op == "output")
    last = output.args[0]
    if isinstance(last, fx.Node) and last.op == "call_module":
        name = str(last.target)
        head = graph.get_submodule(name)
        if isinstance(head, nn.Linear):
            graph.set_submodule(name, Float32Head(head))


def _unshuffle(graph: fx.GraphModule) -> list[UnshuffledStem]:
    """Rewrite convolutions of few channels and stride 2."""
    names = [name for name, module in graph.named_modules() if has_rewritable_stem(module)]
    stems = []
    for name in names:
        stem = UnshuffledStem(graph.get_submodule(name))  # type: ignore[arg-type]
        graph.set_submodule(name, stem)
        stems.append(stem)
    return stems


def _freeze(graph: fx.GraphModule, folded: list[Folded]) -> None:
    """Let convolutions and rectifiers keep little; weights that are the copy's own lie channels-last."""
    scales = {id(item.target): item.scale for item in folded}
    for name in _called(graph):
        part = graph.get_submodule(name)
        if type(part) is nn.ReLU:
            graph.set_submodule(name, FrozenReLU(part.inplace))
        if isinstance(part, nn.Conv3d):
            scale = scales.get(id(part))
            if scale is None:
                part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
            if is_plain(part):
                graph.set_submodule(name, FrozenConv(part, scale))


def _convolves_otherwise(graph: fx.GraphModule) -> bool:
    """Has it convolutions besides the frozen ones?"""
    parts = (graph.get_submodule(name) for name in _called(graph))
    called = (node.target for node in graph.graph.nodes if node.op == "call_function")
    return any(isinstance(part, _ConvNd) for part in parts) or any(target in CONVOLUTIONS for target in called)


_copies: weakref.WeakKeyDictionary[nn.Module, dict[bool, InferenceCopy | None]] = weakref.WeakKeyDictionary()


def are_probabilities(logits: Logits) -> bool:
    """Does each clip's output (``B K``, K above 1) look like probabilities: at least 0, with sum 1?"""
    if logits.ndim != 2:
        return False
    sums = logits.sum(1)
    close = torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
    return logits.shape[1] > 1 and close and bool((logits >= 0).all())


Asked: TypeAlias = "Callable[[Callable[[ClipTensor], Logits], ClipTensor], Logits]"
"""How a model is asked about clips: as a whole, or chunk by chunk."""


def current_copy(
    model: nn.Module, clips: ClipTensor, ask: Asked = lambda call, clips: call(clips)
) -> InferenceCopy | None:
    """The model's copy, up to date, or None where it has none; ``ask`` says how both are held against each other."""
    bf16 = has_bf16(clips.device)
    copies = _copies.setdefault(model, {})
    found = copies.get(bf16)
    if bf16 not in copies or (found is not None and not found.is_of(model)):
        # Within, a copy draws otherwise than the model, and is refused; what follows draws as if nothing had been.
        with random_states_kept() if draws(model) else contextlib.nullcontext():
            copies[bf16] = found = _faithful_copy(model, clips[:2].clone(), bf16, ask)  # a model may write into them
    if found is not None:
        found.refresh(model)
    return found


def _faithful_copy(model: nn.Module, clips: ClipTensor, bf16: bool, ask: Asked) -> InferenceCopy | None:
    """A copy that answers as the model does, or None."""
    if has_hooks(model):
        return None  # tracing would lose them
    try:
        with torch.no_grad():
            version = clips._version
            with drawing_watched(model):
                wanted = ask(model, clips).float()  # first, so that its activations and the copy are not held at once
            if clips._version != version:
                return None  # to be refused: a copy would write into clips of its own, the verdict into the caller's
    except Exception:  # noqa: BLE001 - any error comes again in the attack, which reports it
        return None
    if are_probabilities(wanted):
        return None  # to be refused, which the rounding of a copy would hide
    ways = (True, False) if bf16 and clips.is_cuda else (False,)
    twins = (_copy_like(wanted, model, clips, bf16, fused, ask) for fused in ways)
    return next((twin for twin in twins if twin is not None), None)


def _copy_like(
    wanted: Logits, model: nn.Module, clips: ClipTensor, bf16: bool, fused: bool, ask: Asked
) -> InferenceCopy | None:
    """A copy of the model, if it can be made and gives the wanted logits."""
    try:
        with torch.no_grad():
            view = InferenceCopy(model, bf16, fused)
            got = ask(view, clips)
    except Exception:  # noqa: BLE001 - if tracing fails, the model itself still works
        return None
    if got.shape != wanted.shape or wanted.ndim != 2:  # what is no logits is refused later, by its shape
        return None
    tolerance = (0.1 if bf16 else 1e-3) * _spread(wanted)
    return view if bool((got - wanted).abs().max() <= tolerance) else None


def _spread(logits: Logits) -> float:
    """How far apart the logits of a clip lie at most: what they say, whatever their scale and what they share.

    >>> _spread(torch.tensor([[1000.0, 1000.5], [0.0, 0.1]]))
    0.5
    """
    return (logits - logits.amax(1, keepdim=True)).abs().max().item()
