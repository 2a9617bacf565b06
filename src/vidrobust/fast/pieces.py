"""Parts of the frames of clips one after another, each computed again for its gradient: one at a time is in memory.

A first pass without a graph gives the outputs of all pieces, and so what the loss says of each. The second one takes
up a piece, differentiates it, adds the gradient to that of the clips and lets it go. The gradient is that of all pieces
together, up to the order in which frames of several pieces are summed.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from vidrobust.fast.drawing import RandomStates, draws, random_states_kept
from vidrobust.fast.memory import free_memory
from vidrobust.fast.weights import constant_weights

if TYPE_CHECKING:
    from torch import Tensor
    from torch.autograd.function import FunctionCtx

    from vidrobust.types import ClipTensor, Logits

LONG = 4 * 2**20
"""Bytes of float32 pixels from which a clip is long: it may then be taken in pieces."""

SHARE = 64
"""On a GPU, a clip is long only if so many times its pixels are more than what is free."""


def is_long(clips: ClipTensor) -> bool:
    """Would one clip's activations take much memory? Then it may be run in pieces."""
    size = 4 * clips[:1].numel() if clips.ndim == 5 else 0
    return size > LONG and (not clips.is_cuda or SHARE * size > free_memory(clips.device))


class Piece(NamedTuple):
    """Some frames, and what is computed from them.

    Attributes:
        frames: of the clips.
        run: from these frames, ``B C t H W``, to a tensor of a shape that all pieces share.
    """

    frames: slice
    run: Callable[[ClipTensor], Tensor]


def in_pieces(clips: ClipTensor, pieces: Sequence[Piece], draws: bool = True) -> Tensor:
    """What the pieces give, stacked (``N …``); of their graphs, only the clips are kept.

    Args:
        clips: ``B C T H W``.
        pieces: of its frames. They need no gradient of any weight.
        draws: do they draw random numbers, which must be the same when they are run again?

    >>> clips = torch.rand(2, 3, 5, 4, 4, requires_grad=True)
    >>> halves = [Piece(slice(0, 3), torch.sum), Piece(slice(2, 5), torch.sum)]  # frame 2 is in both
    >>> in_pieces(clips, halves).sum().backward()
    >>> clips.grad[0, 0, :, 0, 0].tolist()
    [1.0, 1.0, 2.0, 1.0, 1.0]
    """
    return OneByOne.apply(clips, tuple(pieces), draws)


class OneByOne(torch.autograd.Function):
    """Keeps the clips, and where the random numbers of each piece began."""

    @staticmethod
    def forward(ctx: FunctionCtx, clips: ClipTensor, pieces: tuple[Piece, ...], draws: bool) -> Tensor:
        ctx.save_for_backward(clips)
        ctx.pieces, ctx.states = pieces, []  # type: ignore[attr-defined]
        outputs = []
        for piece in pieces:
            ctx.states.append(RandomStates() if draws else None)  # type: ignore[attr-defined]
            outputs.append(piece.run(clips[:, :, piece.frames]))
        return torch.stack(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (clips,) = ctx.saved_tensors
        found = torch.zeros_like(clips)
        drawn = any(state is not None for state in ctx.states)
        with random_states_kept() if drawn else contextlib.nullcontext():
            for piece, state, gradient in zip(ctx.pieces, ctx.states, grad_outputs[0], strict=True):
                if state is not None:
                    state.put_back()
                found[:, :, piece.frames] += _gradient(piece.run, clips[:, :, piece.frames], gradient)
        return found, None, None


def _gradient(run: Callable[[ClipTensor], Tensor], frames: ClipTensor, gradient: Tensor) -> ClipTensor:
    frames = frames.detach().requires_grad_(True)
    with torch.enable_grad(), constant_weights():
        output = run(frames)
    if not output.requires_grad:
        return torch.zeros_like(frames)
    return torch.autograd.grad(output, frames, gradient)[0]


class Piecewise(nn.Module, ABC):
    """A model whose answer is made of another model's answers to pieces of the frames.

    Attributes:
        model: from pieces to logits.
    """

    model: nn.Module

    @abstractmethod
    def pieces(self, clips: ClipTensor) -> list[slice]:
        """The frames of each piece."""
        ...

    @abstractmethod
    def combined(self, answers: Tensor) -> Logits:
        """Logits ``B K`` from the model's logits of each piece, ``N B K``."""
        ...

    def one_by_one(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor) -> Logits:
        """The answer, one piece at a time in memory.

        Args:
            model: :attr:`model`, or what is asked in its place.
            clips: ``B C T H W``.
        """
        pieces = [Piece(frames, model) for frames in self.pieces(clips)]
        return self.combined(in_pieces(clips, pieces, draws(self.model)))
