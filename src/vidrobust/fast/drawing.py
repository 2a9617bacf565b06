"""Does a model draw from the global random states? One that does not lets other threads go on meanwhile."""

from __future__ import annotations

import contextlib
import pickle
import random
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import nn

_without: weakref.WeakSet[nn.Module] = weakref.WeakSet()
"""Models that drew nothing when they were last watched."""


def draws(model: object) -> bool:
    """May this draw random numbers? Of what has not been watched: yes."""
    return not isinstance(model, torch.nn.Module) or model not in _without


@contextlib.contextmanager
def drawing_watched(model: object) -> Iterator[None]:
    """Watch a model answer inside, in evaluation mode: does it draw?

    >>> model = torch.nn.Flatten()
    >>> with drawing_watched(model):
    ...     _ = model(torch.zeros(1, 2))
    >>> draws(model)
    False
    """
    if not isinstance(model, torch.nn.Module):
        yield
        return
    before = _states()
    yield
    (_without.add if _states() == before else _without.discard)(model)


@contextlib.contextmanager
def refusing_draws() -> Iterator[None]:
    """Refuse what draws random numbers inside.

    Raises:
        RuntimeError: afterwards, if the global random states have changed.
    """
    before = _states()
    yield
    if _states() != before:
        raise RuntimeError("random numbers were drawn")


def _states() -> tuple[object, ...]:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    states = [state.numpy().tobytes() for state in (torch.get_rng_state(), *devices)]
    return (*states, random.getstate(), pickle.dumps(np.random.get_state()))


class RandomStates:
    """The global random states of PyTorch, NumPy and Python as they are now.

    >>> here = RandomStates()
    >>> first = torch.rand(2)
    >>> here.put_back()
    >>> torch.equal(torch.rand(2), first)
    True
    """

    def __init__(self) -> None:
        self._python, self._numpy, self._torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
        self._devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None

    def put_back(self) -> None:
        """Make them so again."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        torch.set_rng_state(self._torch)
        if self._devices is not None:
            torch.cuda.set_rng_state_all(self._devices)


@contextlib.contextmanager
def random_states_kept() -> Iterator[None]:
    """The global random states are afterwards what they were."""
    before = RandomStates()
    try:
        yield
    finally:
        before.put_back()
