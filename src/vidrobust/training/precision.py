"""The precision of training steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.fast.precision import has_bf16

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor


def training_dtype(model: nn.Module, clips: ClipTensor) -> torch.dtype:
    """bfloat16 where the hardware multiplies it and its weight gradients can be trusted, else float32.

    On the CPU, torch 2.13 gives wrong or NaN *weight* gradients for a bfloat16 Conv3d whose input has a temporal
    depth of 2 (kernel 3, padding 1); from depth 4 on they were right. So a model that meets a depth below 4 trains in
    float32. What convolutions a TorchScript module has cannot be seen, so it does too.

    Args:
        model: the model about to be trained.
        clips: at least one clip of the length and size it will be trained on.
    """
    if not has_bf16(clips.device):
        return torch.float32
    scripted = any(isinstance(part, torch.jit.ScriptModule) for part in model.modules())
    if clips.device.type == "cpu" and (scripted or shallowest(model, clips[:1]) < 4):
        return torch.float32
    return torch.bfloat16


def shallowest(model: nn.Module, clips: ClipTensor) -> int:
    """The smallest temporal depth that a convolution with a temporal kernel meets."""
    depths = [clips.shape[2]]

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1:
            depths.append(inputs[0].shape[2])

    handles = [module.register_forward_pre_hook(look) for module in model.modules()]
    try:
        with undisturbed(model), torch.no_grad():
            model(clips)
    finally:
        for handle in handles:
            handle.remove()
    return min(depths)
