"""Restoring a model after an attack, and mutual exclusion of threads that attack it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrobust.attacks.enclosed import enclosed_modules, moving_buffers, own_buffers, put_back
from vidrobust.fast.drawing import draws, random_states_kept
from vidrobust.fast.turns import PROCESS, turns

if TYPE_CHECKING:
    from vidrobust.types import ClipTensor, Logits


@contextlib.contextmanager
def undisturbed(model: Callable[[ClipTensor], Logits]) -> Iterator[None]:
    """Evaluation mode inside; afterwards all is as it was, also after an exception.

    That is: the train/eval flag of every sub-module, the global random states of PyTorch, NumPy and Python, and the
    buffers of all modules but PyTorch's own, which do not move any in evaluation mode. A model that draws random
    numbers draws the same ones in every attack that starts from the same state. A function is asked as it is: modules
    behind it keep their modes, and get their buffers back.

    A second thread that asks for the same model, or for one that shares a part with it, waits here until the first is
    out. Random states are shared by all threads of a process, as the switches of a GPU are: one thread at a time may
    have a function, a model that draws (:func:`~vidrobust.fast.drawing.draws`), or any model where there is a GPU.
    """
    module = module_of(model)
    behind = [module] if isinstance(model, nn.Module) else enclosed_modules(model)
    shared = draws(model) or torch.cuda.is_initialized()
    with turns.at([*(part for each in behind for part in each.modules()), *([PROCESS] if shared else [])]):
        modes = [(part, part.training) for part in module.modules() if hasattr(part, "training")]  # scripts have none
        own = own_buffers(module)
        moving = [] if isinstance(model, nn.Module) else moving_buffers(model)
        with random_states_kept() if shared else contextlib.nullcontext():
            try:
                if any(training for _, training in modes):
                    module.eval()
                yield
            finally:
                for part, training in modes:
                    if part.training != training:  # setting an attribute of a module costs more than reading it
                        part.training = training
                put_back(moving)
                for one in own:
                    one.put_back()


def module_of(model: Callable[[ClipTensor], Logits]) -> nn.Module:
    """The module that a model is, or a method of which it is; otherwise one without parts."""
    module = model if isinstance(model, nn.Module) else getattr(model, "__self__", None)
    return module if isinstance(module, nn.Module) else nn.Module()
