"""What training a large or a pretrained network asks for: who learns how fast, and how memory is saved."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from vidrobust.errors import InputError
from vidrobust.models.adapters import innermost
from vidrobust.models.estimate import blocks_of

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.training.engine import FitConfig


def channels_last(model: nn.Module) -> None:
    """Lay out the weights of 3D convolutions channels-last; two-dimensional ones, as patch embeddings have, stay."""
    for part in model.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def optimiser_of(model: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """The optimiser with a group for each rate; ``scale`` of a group is its share of the learning rate.

    Modules count from the head down: the last has ``head_lr``, the one before it ``layer_decay``, and so on. Modules
    before ``freeze`` are not trained.

    Raises:
        InputError: no module has the name ``freeze``, or nothing is left to train.
    """
    inner = innermost(model)
    parts = [(name, list(part.parameters())) for name, part in inner.named_children()]
    parts = [(name, parameters) for name, parameters in parts if parameters]
    names = [name for name, _ in parts]
    if config.freeze and config.freeze not in names:
        raise InputError(f"there is no module {config.freeze!r} to train from. There are: {', '.join(names)}.")
    first = names.index(config.freeze) if config.freeze else 0
    groups: list[dict[str, Any]] = []
    for index, (_, parameters) in enumerate(parts):
        for parameter in parameters:
            parameter.requires_grad_(index >= first)
        if index >= first:
            depth = len(parts) - 1 - index
            scale = config.head_lr if depth == 0 else config.layer_decay**depth
            groups.append({"params": parameters, "scale": scale})
    own = [parameter for parameter in inner.parameters(recurse=False) if not config.freeze]
    if own:  # such as the class token of a transformer
        groups.append({"params": own, "scale": config.layer_decay ** (len(parts) - 1)})
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    return torch.optim.AdamW(groups, config.lr, weight_decay=config.weight_decay)


@contextlib.contextmanager
def checkpointed(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Inside, blocks of the model keep only their inputs when they train, and run again in the backward pass.

    Blocks are the parts of its sequences and lists (``layer1.0``, …). The second run does not move BatchNorm's
    statistics.
    """
    blocks = blocks_of(innermost(model)) if wanted else []
    originals = [(block, block.forward) for block in blocks]
    try:
        for block, forward in originals:
            block.forward = _rerun(block, forward)  # type: ignore[method-assign]
        yield
    finally:
        for block, _ in originals:
            del block.forward


def _rerun(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Tensor, **named: Any) -> Any:
        if not (block.training and torch.is_grad_enabled()):
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: (_as_is(), _still(block)), **named)

    return run


@contextlib.contextmanager
def _as_is() -> Iterator[None]:
    yield


@contextlib.contextmanager
def _still(block: nn.Module) -> Iterator[None]:
    """BatchNorm normalises by the batch inside, and its running statistics stay as they are."""
    norms = [part for part in block.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm, _, count in kept:
            norm.momentum = 0.0
            norm.num_batches_tracked = None if count is None else count.clone()
        yield
    finally:
        for norm, momentum, count in kept:
            norm.momentum, norm.num_batches_tracked = momentum, count
