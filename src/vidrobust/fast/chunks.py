"""Long clips: a network that is convolutional in time and averages over it, run chunk by chunk of the frames.

A chunk has, beside its own frames, those that its features depend on; zeros are padded only where the clip ends. So
the features of the chunks are those of the whole, and so is their average. The gradient takes two passes
(:mod:`~vidrobust.fast.pieces`): the average of all chunks and its gradient, then each chunk again. It equals that of
the whole clip up to rounding, as sums are taken in another order. What is in memory does not grow with the clip.
"""

from __future__ import annotations

import contextlib
import math
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from vidrobust.fast.drawing import draws, random_states_kept
from vidrobust.fast.inference import InferenceCopy
from vidrobust.fast.memory import as_fits, free_memory
from vidrobust.fast.pieces import Piece, in_pieces, is_long
from vidrobust.fast.reach import Reach, averaged_features
from vidrobust.fast.segments import part_of, saving, storages
from vidrobust.fast.state import has_hooks, parts_of
from vidrobust.fast.tracing import traced
from vidrobust.fast.weights import constant_weights

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor, Logits

HELD = 128 * 2**20
"""Bytes that clips run at once may hand over to the backward pass on a CPU; beyond, they are run in chunks."""


def ask(call: Callable[[ClipTensor], Logits], clips: ClipTensor) -> Logits:
    """The logits of a model or of its copy, chunk by chunk if the clips are long and it can be run so.

    Without a gradient, it is run on parts of the clips if it fails on all at once.
    """
    found = in_chunks(call, clips)
    return as_fits(call, clips) if found is None else found(clips)


def in_chunks(call: Callable[[ClipTensor], Logits], clips: ClipTensor) -> Callable[[ClipTensor], Logits] | None:
    """What answers as ``call`` does chunk by chunk; None if clips are short, fit into memory, or it has no chunks.

    It is found once for each model and kind of clips, and held against the model on a few frames.
    """
    if not torch.is_tensor(clips) or not isinstance(call, nn.Module | InferenceCopy) or not is_long(clips):
        return None
    graph = call.graph if isinstance(call, InferenceCopy) else call
    if isinstance(call, nn.Module) and (has_hooks(call) or any(part.training for part in call.modules())):
        return None  # hooks shall see the whole clip, and so shall what measures it in training
    known, parts = _made.setdefault(call, {}), parts_of(graph)
    key = (clips.shape[1], *clips.shape[3:], clips.device, clips.dtype)
    if key not in known or known[key][0] != parts:
        known[key] = parts, _chunked(call, clips)
    found = known[key][1]
    return found if found is not None and found.is_worthwhile(clips) else None


_made: weakref.WeakKeyDictionary[Any, dict[object, tuple[object, Chunked | None]]] = weakref.WeakKeyDictionary()


def _chunked(call: nn.Module | InferenceCopy, clips: ClipTensor) -> Chunked | None:
    try:
        graph = call.graph if isinstance(call, InferenceCopy) else traced(call)
        found = averaged_features(graph)
    except Exception:  # noqa: BLE001 - if tracing fails, the clip can still be run as a whole
        return None
    if found is None:
        return None
    chunked = Chunked(call, graph, *found)
    return chunked if chunked.agrees(clips[:1]) else None


class Chunked:
    """A graph in two: what is convolutional in time, run chunk by chunk, and what follows the average over time.

    Args:
        call: the model, in evaluation mode, or its copy.
        graph: of it.
        average: the node of the graph that averages over time.
        reach: of the features before it.
    """

    def __init__(self, call: nn.Module | InferenceCopy, graph: fx.GraphModule, average: fx.Node, reach: Reach) -> None:
        self.reach = reach
        nodes = list(graph.graph.nodes)
        cut, (features,) = nodes.index(average), average.all_input_nodes
        self._body = part_of(graph, nodes[:cut], [], [features])
        self._head = part_of(graph, nodes[cut:], [features], [])
        self._model, self._dtype, self._saved = weakref.ref(call), torch.float32, 0.0

    @property
    def _call(self) -> nn.Module | InferenceCopy:
        call = self._model()
        assert call is not None  # what is kept for a model is gone with it
        return call

    def __call__(self, clips: ClipTensor) -> Logits:
        """The logits ``B K`` of clips ``B C T H W``."""
        return self._in_chunks(clips, self._own(clips))

    def is_worthwhile(self, clips: ClipTensor) -> bool:
        """Do the clips save more than there is room for, and more than their chunks would?"""
        frames = self._own(clips) * self.reach.stride + 2 * self.reach.halo
        return self._saved * len(clips) * clips.shape[2] > _room(clips.device) and frames < clips.shape[2]

    def agrees(self, clips: ClipTensor) -> bool:
        """Are the logits of a few frames, in chunks of few, those of these frames at once? Also measures the memory."""
        call, own = self._call, -(-max(1, self.reach.halo) // self.reach.stride)
        frames = min(clips.shape[2], 2 * own * self.reach.stride + 2 * self.reach.halo + 1)
        probe = clips[:, :, :frames].detach()
        undrawn = random_states_kept() if draws(call) else contextlib.nullcontext()
        with undrawn, constant_weights():
            self._measure(probe)
            with torch.no_grad():
                wanted, found = call(probe).float(), self._in_chunks(probe, own).float()
        tolerance = 0.02 if self._dtype in (torch.bfloat16, torch.float16) else 1e-4
        alike = wanted.shape == found.shape and wanted.isfinite().all()
        return bool(alike and (wanted - found).abs().max() <= tolerance * wanted.abs().max())

    def _measure(self, probe: ClipTensor) -> None:
        with self._conditions(probe), torch.enable_grad(), saving(storages(self._body)) as handed:
            features = self._features(probe.requires_grad_(True))
        self._dtype, self._saved = features.dtype, sum(handed) / probe.shape[2]

    def _own(self, clips: ClipTensor) -> int:
        """Features of a chunk: as many as there is room for, but no fewer than depend on the frames beside it."""
        frames = _room(clips.device) / 2 / max(1.0, self._saved * len(clips)) - self.reach.halo
        return math.ceil(max(frames, self.reach.halo, 1) / self.reach.stride)

    def _in_chunks(self, clips: ClipTensor, own: int) -> Logits:
        (stride, before, after, _), frames = self.reach, clips.shape[2]
        count, pieces = self.reach.features(frames), []
        starts = [start for start in range(0, count, own) if start == 0 or start * stride + before + after < frames]
        for start, end in zip(starts, [*starts[1:], count], strict=True):
            first = max(0, start * stride - before) // stride  # chunks begin where all strides do
            last = (end - 1) * stride + after + 1 if end < count else frames
            kept = slice(start - first, end - first)
            pieces.append(Piece(slice(first * stride, last), self._mean_of(kept, count)))
        summed = in_pieces(clips, pieces, draws(self._call))
        with self._conditions(clips):
            found = self._head(summed.sum(0).to(self._dtype))
        return found.float() if isinstance(self._call, InferenceCopy) else found

    def _mean_of(self, kept: slice, count: int) -> Callable[[ClipTensor], Tensor]:
        """A chunk's share of the mean over time, ``B K 1 H W``."""

        def share(frames: ClipTensor) -> Tensor:
            with self._conditions(frames):
                features = self._features(frames)[:, :, kept]
            exact = torch.promote_types(features.dtype, torch.float32)
            return features.sum(2, keepdim=True, dtype=exact) / count

        return share

    def _features(self, frames: ClipTensor) -> Tensor:
        call = self._call
        if isinstance(call, InferenceCopy):
            frames = frames.contiguous(memory_format=call.layout)
        return self._body(frames)[0]

    def _conditions(self, frames: Tensor) -> contextlib.AbstractContextManager[object]:
        call = self._call
        return call.autocast(frames) if isinstance(call, InferenceCopy) else contextlib.nullcontext()


def _room(device: torch.device) -> int:
    """Bytes that may be saved at once: of a GPU half of what is free."""
    free = free_memory(device) // 2
    return free if device.type == "cuda" else min(HELD, free)
