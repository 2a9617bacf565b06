"""What an attack calls and differentiates in place of a model, and how much of it at once fits into memory."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, get_args

import torch
from torch import nn

from vidrobust.errors import InputError
from vidrobust.fast import graphs
from vidrobust.fast.chunks import ask, in_chunks
from vidrobust.fast.drawing import drawing_watched, draws, random_states_kept
from vidrobust.fast.inference import InferenceCopy, current_copy
from vidrobust.fast.memory import as_fits, free_memory, in_parts
from vidrobust.fast.pieces import Piecewise, is_long
from vidrobust.fast.precision import Precision, full_float32
from vidrobust.fast.segments import is_measuring, lean, saving, storages
from vidrobust.fast.weights import constant_weights

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.fast.memory import PartResult
    from vidrobust.types import ClipTensor, Logits


SAVED = 64 * 2**20
"""Bytes that a forward pass may hand over to its backward pass on a CPU; larger parts would gain no speed."""

SAVED_BY_COPY = 24 * 2**20
"""The same of a float32 copy, which is as fast with few clips as with many."""

SAVED_BY_FEW = 2**30
"""The same of two or three clips that would be slow one by one."""


JUDGED = 2**29
"""Bytes that a part of the clips saves in a search, of which a verdict on a GPU judges no more at once."""


@dataclass(frozen=True)
class Room:
    """What fits into memory.

    Attributes:
        batch: how many clips are differentiated at once.
        one: does one alone fit (if not, it is computed leanly)?
        saved: bytes that one hands over to the backward pass; unknown: 0.
    """

    batch: int = 1
    one: bool = True
    saved: int = 0


class View:
    """What an attack calls and differentiates in place of the model.

    A clip that saves more for the backward pass than fits into memory is run segment by segment, with the same gradient
    (:mod:`~vidrobust.fast.segments`).

    Attributes:
        model: what it stands for.
        layout: the memory format in which it takes clips without copying them.
        exact: is it the model in its own precision, float32 without TF32 that is?
        lossy: does it answer in bfloat16, which knows a boundary only roughly?
    """

    def __init__(
        self,
        call: Callable[[ClipTensor], Logits],
        layout: torch.memory_format,
        exact: bool = False,
        model: Callable[[ClipTensor], Logits] | None = None,
    ) -> None:
        self._call, self.model = call, call if model is None else model
        self.layout = layout
        self.exact = exact
        self.lossy = isinstance(call, InferenceCopy) and call.bf16
        self._lean: dict[torch.Size, Callable[[ClipTensor], Logits]] = {}
        self._check: Callable[[Logits, ClipTensor], None] | None = None

    @property
    def copied(self) -> bool:
        """Is it a copy, with weights of its own that need no gradient?"""
        return isinstance(self._call, InferenceCopy)

    def check_first(self, check: Callable[[Logits, ClipTensor], None]) -> None:
        """Have ``check`` look at the first answer to what it was asked; it raises where that is none."""
        self._check = check

    def __call__(self, clips: ClipTensor) -> Logits:
        with self._conditions(clips):
            return self._checked(clips)

    @contextlib.contextmanager
    def _conditions(self, clips: ClipTensor) -> Iterator[None]:
        """Float32 that is float32 where it shall be, and weights that need no gradient: a copy's are frozen."""
        numbers = full_float32(clips.device) if self.exact else contextlib.nullcontext()
        with numbers, contextlib.nullcontext() if self.copied else constant_weights():
            yield

    def _checked(self, clips: ClipTensor) -> Logits:
        if self._check is None:
            return self._answer(clips)
        check, self._check = self._check, None
        # A model cannot write into a leaf of a graph; what it shall be seen to write into must be laid out as it asks.
        asked = clips if clips.requires_grad else clips.clone(memory_format=self.layout)
        with _unchanged(asked), contextlib.nullcontext() if self.copied else drawing_watched(self.model):
            logits = self._answer(asked)
        check(logits, clips)
        return logits

    def _answer(self, clips: ClipTensor) -> Logits:
        kept = torch.is_grad_enabled() and clips.requires_grad
        call = self._call
        chunked = in_chunks(call, clips)
        if chunked is not None:
            return chunked(clips)
        if isinstance(call, InferenceCopy) and clips.is_cuda and not is_measuring() and self._is_small(clips):
            return call.graphs(call, clips)
        if not kept:
            return as_fits(call, clips)
        return call(clips) if self._room(clips).one else self._leanly(clips)

    def makes_gradient(self, clips: ClipTensor) -> bool:
        """Is the gradient in such clips summed here piece by piece, in a tensor that nothing else holds?"""
        return (isinstance(self.model, Piecewise) and is_long(clips)) or in_chunks(self._call, clips) is not None

    def _is_small(self, clips: ClipTensor) -> bool:
        """Would starting its kernels take a GPU longer than running them, as far as its activations tell?"""
        saved = self._room(clips).saved
        return 0 < saved * len(clips) <= graphs.BYTES

    def parts(self, clips: ClipTensor) -> int:
        """In how many parts of about one size such clips are to be differentiated: what one saves must fit into memory.

        Measured by a forward pass of one clip and one of two, once for each model and shape. Where two fit, no part is
        one clip alone, even if another has three then: on a CPU, PyTorch's float32 convolutions of one small clip take
        more than twice the time a clip (those of a copy do not).
        """
        if len(clips) < 2:
            return 1
        batch = self._room(clips).batch
        return len(clips) if batch == 1 else min(-(-len(clips) // batch), len(clips) // 2)

    def parts_to_judge(self, clips: ClipTensor) -> int:
        """In how many parts a float32 forward pass of the model holds no more than the search did, on a GPU."""
        return -(-self._room(clips).saved * len(clips) // JUDGED) if clips.is_cuda else 1

    def in_parts(self, work: Callable[..., PartResult], clips: ClipTensor, *others: Tensor) -> list[PartResult]:
        """What ``work`` gives for the parts of clips and of what belongs to them; see :func:`~.memory.in_parts`.

        Where the memory does not suffice after all, the parts of later calls are the smaller ones.
        """
        with self._conditions(clips):  # of the backward pass, too
            found = in_parts(work, (clips, *others), self.parts(clips))
        known, key = self._known(clips)
        most = -(-len(clips) // len(found))
        if key in known and known[key].batch > most > 0 and len(found) > self.parts(clips):
            known[key] = replace(known[key], batch=most)
        return found

    def _known(self, clips: ClipTensor) -> tuple[dict[object, Room], object]:
        """What is known of the model's memory, and under which key that of such clips."""
        call = self._call.model if isinstance(self._call, Answers) else self._call  # which is made anew for each view
        try:
            known = _rooms.setdefault(call, {})
        except TypeError:  # a callable that has no weak references or no hash
            known = {}
        return known, (clips.shape[1:], clips.device)

    def _room(self, clips: ClipTensor) -> Room:
        known, key = self._known(clips)
        if key not in known:
            try:
                saved = self._saved_by_one(clips)
            except (RuntimeError, MemoryError):  # of two clips, or comes again with one
                known[key] = Room()
                return known[key]
            if saved is None:
                return Room()
            known[key] = self._measured(saved, clips.device)
        return known[key]

    def _measured(self, saved: int, device: torch.device) -> Room:
        free = free_memory(device) // 2
        batch = self._memory(device) // max(1, saved)
        alone_is_slow = device.type == "cpu" and not isinstance(self._call, InferenceCopy)
        if alone_is_slow and 3 * saved <= min(free, SAVED_BY_FEW):
            batch = max(2, batch)
        return Room(max(1, batch), saved <= free, max(0, saved))

    def _memory(self, device: torch.device) -> int:
        """Bytes that the activations of several clips may take: of a GPU half of what is free."""
        if device.type == "cuda":
            return free_memory(device) // 2
        return SAVED_BY_COPY if isinstance(self._call, InferenceCopy) and not self._call.bf16 else SAVED

    def _saved_by_one(self, clips: ClipTensor) -> int | None:
        """Bytes that one clip hands over to the backward pass; None where weights cannot be distinguished."""
        module = self._call.graph if isinstance(self._call, InferenceCopy) else self._call
        weights = storages(module) if isinstance(module, nn.Module) else set[int]()
        if len(clips) > 1:
            return self._saved(clips[:2], weights) - self._saved(clips[:1], weights)
        return self._saved(clips, weights) if weights else None

    def _saved(self, clips: ClipTensor, weights: set[int]) -> int:
        leaf = clips.detach().requires_grad_(True)
        undrawn = random_states_kept() if draws(self.model) else contextlib.nullcontext()
        with self._conditions(clips), _unchanged(leaf), undrawn, torch.enable_grad(), saving(weights) as handed:
            _output = ask(self._call, leaf)
        return sum(handed)

    def _leanly(self, clips: ClipTensor) -> Logits:
        if isinstance(self._call, InferenceCopy):
            return self._call.lean(clips, draws(self.model))
        shape = clips.shape[1:]
        if shape not in self._lean:
            call = lean(self._call, clips[:1], draws(self.model)) if isinstance(self._call, nn.Module) else None
            self._lean[shape] = call or self._call
        return self._lean[shape](clips)


@contextlib.contextmanager
def _unchanged(clips: ClipTensor) -> Iterator[None]:
    """Refuse a model that writes into the clips it is asked about."""
    before, written = clips._version, False
    try:
        yield
        written = clips._version != before
    except RuntimeError as error:
        if "in-place operation" not in str(error):
            raise
        written = True
    if written:
        raise InputError(
            "the model changes its input in place, which the attack still needs: write x = x - mean, not x -= mean."
        )


_rooms: weakref.WeakKeyDictionary[Callable[[ClipTensor], Logits], dict[object, Room]] = weakref.WeakKeyDictionary()


def inference_view(model: Callable[[ClipTensor], Logits], clips: ClipTensor, precision: Precision = "auto") -> View:
    """The function that an attack calls and differentiates in place of the model.

    Args:
        model: any callable from clips to logits; only an ``nn.Module`` has a fast copy.
        clips: some clips of the kind the attack will see, on which the copy is held against the model once.
        precision: ``exact`` gives the model itself.

    Returns:
        A callable with the same logits: up to rounding in float32, within bfloat16's in bfloat16.

    Raises:
        InputError: there is no such precision.
    """
    if precision not in get_args(Precision):
        raise InputError(f'precision must be "auto" or "exact", but is {precision!r}.')
    if isinstance(model, Piecewise) and is_long(clips):
        of_pieces = inference_view(model.model, clips[:, :, model.pieces(clips)[0]], precision)
        view = View(partial(model.one_by_one, of_pieces), torch.contiguous_format, of_pieces.exact, model)
        view.lossy = of_pieces.lossy
        return view
    copied = current_copy(model, clips, ask) if precision == "auto" and isinstance(model, nn.Module) else None
    if copied is None:
        return View(_in_float32(model), torch.contiguous_format, precision == "exact", model)
    return View(copied, torch.contiguous_format if is_long(clips) else copied.layout, model=model)


def answers(model: Callable[[ClipTensor], Logits]) -> Callable[[ClipTensor], Logits]:
    """The model as a function of float32 clips, whatever the type of its weights; of long ones in chunks.

    Without a gradient, it is run on parts of the clips if it fails on all at once.
    """
    return partial(ask, _in_float32(model))


def _in_float32(model: Callable[[ClipTensor], Logits]) -> Callable[[ClipTensor], Logits]:
    first = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if first is None or first.dtype == torch.float32 or not first.is_floating_point():
        return model
    return Answers(model, first.dtype)


class Answers(nn.Module):
    """A model of weights of another type, as a function of float32 clips."""

    def __init__(self, model: Callable[[ClipTensor], Logits], dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, clips: ClipTensor) -> Logits:
        return ask(self.model, clips.to(self.dtype)).float()
