"""A model under attack is afterwards as it was, and attacks from several threads take turns."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from vidrobust.attacks.enclosed import moving_buffers, put_back
from vidrobust.fast.view import View, inference_view

if TYPE_CHECKING:
    from vidrobust.fast.precision import Precision
    from vidrobust.types import Clips, Logits

_turn = threading.RLock()
"""Held by the thread whose turn it is to attack."""


@contextlib.contextmanager
def undisturbed(model: Callable[[Clips], Logits]) -> Iterator[None]:
    """Evaluation mode inside; afterwards all is as it was, also after an exception.

    That is: the train/eval flag of every sub-module, ``requires_grad`` of every parameter (which only
    :func:`attack_view` changes) and the global random states of PyTorch, NumPy and Python. Buffers do not move in
    evaluation mode. A model that draws random numbers draws the same ones in every attack that starts from the same
    state. A function is asked as it is: modules behind it keep their modes, and get their buffers back.

    A second thread waits here until the first is out, whatever model it has: modes and random states are shared by all
    threads of a process. To attack several models at once, take processes.
    """
    module = module_of(model)
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with _turn:
        modes = [
            (part, part.training) for part in module.modules() if hasattr(part, "training")
        ]  # frozen scripts have none
        flags = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
        moving = [] if isinstance(model, nn.Module) else moving_buffers(model)
        drawn, drawn_by_numpy = random.getstate(), np.random.get_state()
        with torch.random.fork_rng(devices):
            try:
                if modes:
                    module.eval()
                yield
            finally:
                for part, training in modes:
                    part.training = training
                for parameter, required in flags:
                    if parameter.requires_grad != required:
                        parameter.requires_grad_(required)
                put_back(moving)
                random.setstate(drawn)
                np.random.set_state(drawn_by_numpy)


def module_of(model: Callable[[Clips], Logits]) -> nn.Module:
    """The module that a model is, or a method of which it is; otherwise one without parts."""
    module = model if isinstance(model, nn.Module) else getattr(model, "__self__", None)
    return module if isinstance(module, nn.Module) else nn.Module()


def attack_view(model: Callable[[Clips], Logits], clips: Clips, precision: Precision = "auto") -> View:
    """What an attack calls and differentiates in place of a model that is :func:`undisturbed`.

    A fast copy has frozen weights of its own. Where there is none, those of the model need no gradient until it is left
    alone again: linear layers would otherwise keep what goes into them for the gradient of their weights.
    """
    view = inference_view(model, clips, precision)
    if not view.copied:
        for parameter in module_of(model).parameters():
            parameter.requires_grad_(False)
    return view
