"""Seeds of a training: each is derived from what determines it, never from what was drawn before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vidrobust.runs.keys import content_key

if TYPE_CHECKING:
    from vidrobust.training.learner import Learner


class seeded:  # noqa: N801 - a context manager
    """Seeds torch's global random state on entry and restores it on exit."""

    def __init__(self, seed: int, learner: Learner) -> None:
        devices = [learner.device.index or 0] if learner.device.type == "cuda" else []
        self._fork, self._seed = torch.random.fork_rng(devices), seed

    def __enter__(self) -> None:
        self._fork.__enter__()
        torch.manual_seed(self._seed)

    def __exit__(self, *error: Any) -> None:
        self._fork.__exit__(*error)


def content_seed(*parts: object) -> int:
    """A number below 2⁶⁰ from what determines it."""
    return int(content_key(list(parts))[:15], 16)


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for one epoch, unrelated to those of its neighbours."""
    return content_seed(seed, epoch)


def clip_seed(seed: int, epoch: int, clip: int) -> int:
    """A seed for one clip in one epoch."""
    return content_seed(seed, epoch, "clip", clip)
