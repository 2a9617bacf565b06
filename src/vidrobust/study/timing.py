"""How long work takes, also where a GPU goes on with it after the call has returned."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def seconds(work: Callable[[], object], clips: Tensor) -> float:
    """The time of one call on the device of some clips, from a device at rest to a device at rest."""
    _finish(clips)
    begun = time.perf_counter()
    work()
    _finish(clips)
    return time.perf_counter() - begun


def _finish(clips: Tensor) -> None:
    if clips.is_cuda:
        torch.cuda.synchronize(clips.device)
