"""Optimisers, layer-wise learning rates and their schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import SGD, AdamW, Optimizer

from vidrobust.errors import InputError
from vidrobust.models.adapters import innermost
from vidrobust.models.multibn import MultiBN
from vidrobust.models.purifier import Purified

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.training.config import FitConfig


def default_optimiser(model: nn.Module, config: FitConfig) -> Optimizer:
    """The optimiser of a configuration, its groups scaled by depth.

    Raises:
        InputError: every weight is frozen.
    """
    groups = layer_groups(model, config.layer_decay, config.head_lr)
    if not any(group["params"] for group in groups):
        raise InputError(
            "every weight that would be trained is frozen: set requires_grad_(True) on some, or freeze less."
        )
    if config.optimiser == "sgd":
        return SGD(groups, config.lr, config.momentum, weight_decay=config.weight_decay)
    return AdamW(groups, config.lr, weight_decay=config.weight_decay)


def layer_groups(model: nn.Module, decay: float, head: float) -> list[dict[str, Any]]:
    """Trained parameters, with the factor (``scale``) of their learning rate.

    The classifier's last top-level module with parameters has the factor ``head``; from it backwards each has ``decay``
    of the rate of the one after it. What stands around a classifier (a purifier, a detector of branches) has the whole
    rate. A weight that several modules share counts for the first of them.

    >>> from vidrobust.models.building import build
    >>> [group["scale"] for group in layer_groups(build("r3d-small", 10), decay=0.5, head=10)]
    [0.03125, 0.0625, 0.125, 0.25, 0.5, 10.0]
    """
    if decay == head == 1:
        return [{"params": [p for p in innermost(model).parameters() if p.requires_grad], "scale": 1.0}]
    network = innermost(model.classifier if isinstance(model, Purified | MultiBN) else model)
    parts = [part for part in [_own(network), *(list(child.parameters()) for child in network.children())] if part]
    scales = [decay ** (len(parts) - 1 - index) for index in range(len(parts))]
    scales[-1] = float(head)
    seen: set[nn.Parameter] = set()
    moving = []
    for part, scale in zip([*parts, list(innermost(model).parameters())], [*scales, 1.0], strict=True):
        moving.append(([p for p in part if p.requires_grad and p not in seen], scale))
        seen.update(part)
    return [{"params": part, "scale": scale} for part, scale in moving if part]


def _own(model: nn.Module) -> list[nn.Parameter]:
    return list(model.parameters(recurse=False))


def set_rate(optimisers: Iterable[Optimizer], config: FitConfig, step: int, total: int) -> None:
    """One cycle: the rate rises over the first tenth of the steps and falls along a cosine.

    Optimisers whose groups have no ``scale`` keep a rate of their own.
    """
    warm = max(1, total // 10)
    falling = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
    rate = config.lr * ((step + 1) / warm if step < warm else falling)
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            if "scale" in group:
                group["lr"] = rate * group["scale"]


def gradient_norm(parameters: Iterable[torch.Tensor]) -> torch.Tensor:
    """The L2 norm of all gradients together, as a tensor on their device; shards of a sharded model are gathered."""
    norm: Any = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
