"""The gradient that attacks follow: the model's own, or one that goes straight through what comes before its layers.

Rounding, compression, purification, noise and detached copies stand between the clips and the first layers of a network
and hide its gradient. Backwards, they are often close to the identity (BPDA; Athalye, Carlini and Wagner, ICML 2018,
section 4.1). So every layer that is shown something of the clips' shape is tried: the model answers as it does, but the
gradient of that layer's input is taken for that of the clips. The gradient that leads furthest uphill is followed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vidrobust.attacks.gradients import uphill
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.attacks.wrappers import Averaged, seeded_by_clips
from vidrobust.evaluation.attacked_model import bisected
from vidrobust.evaluation.worst_case import single_eps
from vidrobust.fast.view import answers
from vidrobust.losses import margin

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.threats import Threat
    from vidrobust.types import ClipTensor, Labels, Logits

STEP = 1 / 4
"""Of ε: how far uphill gradients are compared."""

FURTHER = 1.5
"""How much further than the model's own another gradient must lead to be followed."""

TRIED = 8
"""Layers, at most."""


@dataclass(frozen=True, eq=False)
class StraightThrough:
    """A model whose gradient in the clips is that in the input of one of its layers.

    Args:
        model: from clips to logits.
        layer: one that is shown something of the clips' shape, or the clips flattened.
    """

    model: nn.Module
    layer: nn.Module

    def __call__(self, clips: ClipTensor) -> Logits:
        if not (torch.is_grad_enabled() and clips.requires_grad):
            return self.model(clips)

        def through(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if not _is_of_clips(inputs, clips):
                return None
            values = clips.reshape(inputs[0].shape).to(inputs[0].dtype)
            return (inputs[0].detach() + (values - values.detach()), *inputs[1:])

        handle = self.layer.register_forward_pre_hook(through)
        try:
            return self.model(clips)
        finally:
            handle.remove()


def gradient_to_follow(
    model: nn.Module, threat: Threat, clips: ClipTensor, labels: Labels, samples: int = 1
) -> tuple[str, bool]:
    """What attacks should differentiate.

    Args:
        model: from clips to logits of an ordinary size; left as it was.
        threat: at whose STEP gradients are compared.
        clips, labels: ``B`` some that the model gets right.
        samples: draws per pass, of a model that draws at random.

    Returns:
        The name of the layer whose input gradient is used, by :class:`StraightThrough` (empty for the model's own
        gradient), and whether there is any gradient at all.
    """
    own = _rise(model, threat, clips, labels, samples)
    height, name = own, ""
    for path, layer in _layers_shown_clips(model, clips):
        straight = StraightThrough(model, layer)
        rise = _rise(straight, threat, clips, labels, samples)
        if rise is not None and rise > max(FURTHER * max(own or 0.0, 0.0), 1e-6) and (height is None or rise > height):
            height, name = rise, path
    return name, height is not None


def _rise(
    call: Callable[[ClipTensor], Logits], threat: Threat, clips: ClipTensor, labels: Labels, samples: int
) -> float | None:
    """By how much the margin rises in the median of clips by one step along a gradient; None where there is none."""
    view = answers(Averaged(call, samples) if samples > 1 else call)
    module = call.model if isinstance(call, StraightThrough) else call

    def risen(rows: Tensor) -> Tensor:
        feasible = threat.around(clips[rows])
        start = feasible.start
        ascent = uphill(view, feasible, start, labels[rows], margin)
        moved = feasible.step(start, ascent.gradient, STEP * single_eps(threat))
        with torch.no_grad():
            after = margin(view(feasible.clips(moved)), labels[rows])
        return torch.nan_to_num(after - ascent.losses, 0.0, 0.0, 0.0)

    with undisturbed(module), seeded_by_clips(0, clips):
        found = [rises for _, rises in bisected(risen, torch.arange(len(clips)), {}) if rises is not None]
    return torch.cat(found).median().item() if found else None


def _layers_shown_clips(model: nn.Module, clips: ClipTensor) -> list[tuple[str, nn.Module]]:
    """The modules, by name, that are shown a tensor of the clips' shape (or flattened) in a forward pass, in order."""
    one_clip, found = clips[:1], dict[int, tuple[str, nn.Module]]()

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def see(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if _is_of_clips(inputs, one_clip):
                found.setdefault(id(module), (name, module))

        return see

    handles = [part.register_forward_pre_hook(hook(name)) for name, part in model.named_modules() if part is not model]
    try:
        with undisturbed(model), torch.no_grad(), contextlib.suppress(Exception):  # what was shown until then
            model(one_clip)
    finally:
        for handle in handles:
            handle.remove()
    return list(found.values())[:TRIED]


def _is_of_clips(inputs: tuple[Any, ...], clips: Tensor) -> bool:
    """Is the first input of the clips' shape, or of the clips flattened?"""
    if not inputs or not torch.is_tensor(inputs[0]) or not inputs[0].is_floating_point():
        return False
    return inputs[0].shape in (clips.shape, clips.flatten(1).shape)
