"""The forward and backward pass of a small network as two CUDA graphs.

A network of the size of the study's gives a GPU so little to do that Python, which starts one kernel after another,
takes most of the time. A captured graph starts them all at once. Two graphs, because between the logits and their
gradient stands the loss, which may be any function.

A graph works on tensors of one size at one place. So there is one for each of some batch sizes, smaller batches are
filled up, and clips and gradients are copied in and out. Each graph is held against a plain call when it is made.
"""

from __future__ import annotations

import bisect
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.autograd.function import FunctionCtx

    from vidrobust.types import Classifier, ClipTensor, Logits


BYTES = 2**30
"""The most that the activations of a batch may take: larger ones keep a GPU busy without graphs, which hold memory."""

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Batch sizes of which graphs are made."""

MOST = 24
"""Graphs of a model at one time; the one made first goes first."""

TOLERANCE = 0.02
"""By what share of their largest values logits and gradients may differ from a plain call's: bfloat16 and the order of
sums that some kernels leave open."""


class GraphWarning(UserWarning):
    """A model is run without CUDA graphs."""


class Graphs:
    """The graphs of one function from clips to logits, which must not change but for the numbers in its tensors.

    A graph is made when a size is asked for the second time: a single call would only pay for it.
    """

    def __init__(self) -> None:
        self._captured: dict[object, Captured] = {}
        self._asked: set[object] = set()
        self._failed = False
        self.turn = 0
        """Passes so far. All graphs share their memory, so only the activations of the last forward pass are still
        there, and a backward pass writes over them."""

    def __call__(self, call: Classifier, clips: ClipTensor) -> Logits:
        """``call(clips)``, differentiable in the clips.

        Args:
            call: always the same function.
            clips: ``B C T H W`` on a GPU.
        """
        captured = self._graph_for(call, clips)
        return call(clips) if captured is None else Replay.apply(clips, captured, call)

    def forget(self) -> None:
        """Let go of all graphs and their memory."""
        self._captured.clear()

    def _graph_for(self, call: Classifier, clips: ClipTensor) -> Captured | None:
        if self._failed or len(clips) > SIZES[-1]:
            return None
        size = SIZES[bisect.bisect_left(SIZES, len(clips))]
        key = (size, clips.shape[1:], clips.dtype, clips.device)
        if key in self._captured:
            return self._captured[key]
        if key not in self._asked:
            self._asked.add(key)
            return None
        if len(self._captured) >= MOST:
            del self._captured[next(iter(self._captured))]
        try:
            self._captured[key] = Captured(self, call, clips, size)
        except torch.cuda.OutOfMemoryError:
            self.forget()
            raise
        except Exception as error:  # noqa: BLE001 - if a capture fails, the plain call still works
            self._failed = True
            self.forget()
            warnings.warn(f"no CUDA graphs for this model: {error}", GraphWarning, stacklevel=2)
            return None
        return self._captured[key]


class RepeatedWork:
    """Work without arguments on tensors that stay where they are: as one CUDA graph once it has been done twice.

    Args:
        work: reads and writes GPU tensors, asks none for its numbers and draws none at random.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self._graph: torch.cuda.CUDAGraph | None = None
        self._places: tuple[int, ...] = ()
        self._failed = False

    def __call__(self, places: tuple[int, ...]) -> None:
        """Do it.

        Args:
            places: where the tensors lie that it reads: others need a new graph.
        """
        known, self._places = places == self._places, places
        if known and self._graph is not None:
            self._graph.replay()
            return
        self._graph = None
        self.work()
        if known and not self._failed:
            try:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    self.work()
                self._graph = graph
            except Exception as error:  # noqa: BLE001 - if a capture fails, the plain call still works
                self._failed = True
                warnings.warn(f"no CUDA graph for a model's weights: {error}", GraphWarning, stacklevel=2)


class Captured:
    """Both passes for one size of batch."""

    def __init__(self, graphs: Graphs, call: Classifier, clips: ClipTensor, size: int) -> None:
        self.graphs = graphs
        with torch.no_grad():
            rows = torch.arange(size, device=clips.device) % len(clips)
            point = clips.detach()[rows].contiguous(memory_format=_layout(clips))
            self.inputs = point.clone(memory_format=torch.preserve_format).requires_grad_(True)
        pool = next((other.forwards.pool() for other in graphs._captured.values()), None)
        wanted, slope, gradient = _plainly(call, point)
        self.forwards, self.backwards = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        kinds = {"capture_error_mode": "thread_local"}  # other threads may load the next clips meanwhile
        with torch.enable_grad(), torch.cuda.graph(self.forwards, pool, **kinds):
            logits = call(self.inputs)
        self.slope = slope.clone()
        with torch.cuda.graph(self.backwards, self.forwards.pool(), **kinds):
            (self.gradient,) = torch.autograd.grad(logits, self.inputs, self.slope)
        self.logits = logits.detach()
        self._check(point, wanted, slope, gradient)

    def _check(self, point: ClipTensor, wanted: Logits, slope: Tensor, gradient: Tensor) -> None:
        got = self.forward(point), self.backward(point, slope, self.graphs.turn)
        for name, one, other in (("logits", got[0], wanted), ("gradients", got[1], gradient)):
            off, most = (one - other).abs().max(), other.abs().max()
            if not bool(off <= TOLERANCE * most):
                raise RuntimeError(f"its {name} came out differently, by {off.item():.3g} of up to {most.item():.3g}")

    def forward(self, clips: ClipTensor) -> Logits:
        """The logits of no more clips than the graph is for."""
        self.inputs.detach()[: len(clips)].copy_(clips)
        self.forwards.replay()
        self.graphs.turn += 1
        return self.logits[: len(clips)].clone()

    def backward(self, clips: ClipTensor, slope: Tensor, turn: int) -> Tensor:
        """The gradient in ``clips`` of logits whose gradient is ``slope``, after the forward pass that was ``turn``."""
        if turn != self.graphs.turn:  # its activations are gone
            self.forward(clips)
        self.graphs.turn += 1
        if len(clips) < len(self.slope):
            self.slope.zero_()
        self.slope[: len(clips)].copy_(slope)
        self.backwards.replay()
        return self.gradient[: len(clips)].clone(memory_format=torch.preserve_format)


def _plainly(call: Classifier, point: ClipTensor) -> tuple[Logits, Tensor, Tensor]:
    """Logits, a gradient of them, and what it is in the clips, on the way making what is made on first use."""
    random = torch.cuda.get_rng_state(point.device)
    stream = torch.cuda.Stream(point.device)
    stream.wait_stream(torch.cuda.current_stream(point.device))
    with torch.cuda.stream(stream), torch.enable_grad():
        leaf = point.detach().requires_grad_(True)
        logits = call(leaf)
        slope = torch.linspace(-1, 1, logits.numel(), device=logits.device).view_as(logits).to(logits.dtype)
        (gradient,) = torch.autograd.grad(logits, leaf, slope)
    torch.cuda.current_stream(point.device).wait_stream(stream)
    if not torch.equal(random, torch.cuda.get_rng_state(point.device)):
        raise RuntimeError("it draws random numbers")
    return logits.detach(), slope, gradient


class Replay(torch.autograd.Function):
    """A captured forward pass, and the captured backward pass that belongs to it."""

    @staticmethod
    def forward(ctx: FunctionCtx, clips: ClipTensor, captured: Captured, call: Classifier) -> Logits:
        logits = captured.forward(clips)
        ctx.save_for_backward(clips)
        ctx.captured, ctx.call, ctx.turn = captured, call, captured.graphs.turn  # type: ignore[attr-defined]
        return logits

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (clips,) = ctx.saved_tensors  # type: ignore[attr-defined]
        captured, call, slope = ctx.captured, ctx.call, gradients[0]  # type: ignore[attr-defined]
        if torch.is_grad_enabled():  # it is to be differentiated again
            (found,) = torch.autograd.grad(call(clips), clips, slope, create_graph=True)
            return found, None, None
        return captured.backward(clips, slope, ctx.turn), None, None  # type: ignore[attr-defined]


def _layout(clips: ClipTensor) -> torch.memory_format:
    plain = clips.is_contiguous() or not clips.is_contiguous(memory_format=torch.channels_last_3d)
    return torch.contiguous_format if plain else torch.channels_last_3d
