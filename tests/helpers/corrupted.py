"""Corruptions with random numbers that a test chooses, for formulas written a second time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidrobust.evaluation.corruptions import CONVENTIONS
from vidrobust.evaluation.corruptions.kinds import ClipDraws, CorruptionKind

KINDS = [(convention, kind.name) for convention, one in CONVENTIONS.items() for kind in one.kinds]


def kind_of(convention: str, name: str) -> CorruptionKind:
    found = CONVENTIONS[convention].kind(name)
    assert found is not None
    return found


def changed(convention: str, name: str, severity: int, clips: Tensor, seeds: tuple[int, ...] = (5,)) -> np.ndarray:
    """The first clip after one kind, before rounding: ``T H W 3``."""
    kind = kind_of(convention, name)
    found = kind.apply(clips[: len(seeds)], kind.levels[severity - 1], ClipDraws(seeds))
    return found[0].permute(1, 2, 3, 0).double().numpy()


def drawn(seed: int = 5) -> Any:
    """The generator of a clip's draws."""
    return torch.Generator().manual_seed(seed)


def order_of(convention: str, name: str, severity: int, frames: int, seed: int = 5) -> list[int]:
    """Which frames a kind that only picks frames shows, found from frames that each show their own number."""
    numbered = (torch.arange(frames) / 255).view(1, 1, frames, 1, 1).expand(1, 3, frames, 4, 4)
    kind = kind_of(convention, name)
    shown = kind.apply(numbered, kind.levels[severity - 1], ClipDraws([seed]))[0, 0, :, 0, 0] * 255
    return [round(float(one)) for one in shown]
