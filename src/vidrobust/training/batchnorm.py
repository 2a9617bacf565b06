"""BatchNorm over the batches of all processes, on any device (torch's SyncBatchNorm supports GPUs only)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.training.distributed import World


def synced(norm: Any, world: World, inputs: Tensor) -> Tensor:
    """The output of a BatchNorm layer over the concatenated batches of all processes.

    Args:
        norm: a BatchNorm layer; in evaluation mode its running statistics hold as always.
        world: the processes, each with as many inputs.
        inputs: ``B C …``.
    """
    if not norm.training or not norm.track_running_stats:
        return type(norm).forward(norm, inputs)
    if inputs.is_cuda:
        return _native(norm)(inputs)
    normed, mean, variance = _Normed.apply(inputs, norm.weight, norm.bias, norm.eps, world)
    count = inputs.numel() // inputs.shape[1] * world.size
    _track(norm, mean, variance * count / (count - 1))
    return normed


class _Normed(torch.autograd.Function):
    """The output, and the mean and variance over all processes.

    One exchange each way: on a CPU its latency is what a second process costs.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, world: World
    ) -> tuple[Tensor, Tensor, Tensor]:
        wide = (
            inputs.float() if weight is None and inputs.dtype.itemsize < 4 else inputs
        )  # weights make its sums float32
        _, mean, scale = torch.native_batch_norm(wide, weight, bias, None, None, True, 0.0, 0.0)  # fused: for these two
        means, variances = _of_all(torch.stack([mean, scale**-2]), world).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        ctx.save_for_backward(inputs, weight, mean, torch.rsqrt(variance + eps))
        ctx.eps, ctx.world = eps, world
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(inputs, mean, variance, weight, bias, False, 0.0, eps), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        inputs, weight, mean, scale = ctx.saved_tensors
        gradient = gradients[0].to(inputs.dtype)
        _, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, inputs, weight, None, None, mean, scale, True, ctx.eps, [False, True, True]
        )
        total = _of_all(torch.stack([by_weight, by_bias]), ctx.world).sum(0)
        count = inputs.numel() // inputs.shape[1] * ctx.world.size
        each = scale if weight is None else scale * weight
        slope = -each * scale * total[0] / count
        shape = (1, -1, *[1] * (inputs.ndim - 2))
        back = torch.addcmul((-each * total[1] / count - slope * mean).view(shape), gradient, each.view(shape))
        back = back.addcmul_(inputs, slope.view(shape)).to(inputs.dtype)
        return back, None if weight is None else by_weight, None if weight is None else by_bias, None, None


def _of_all(tensor: Tensor, world: World) -> Tensor:
    """The tensors of all processes, stacked by rank; an all-gather takes one hop where a reduction takes two."""
    parts = [torch.empty_like(tensor) for _ in range(world.size)]
    dist.all_gather(parts, tensor)
    return torch.stack(parts)


@torch.no_grad()
def _track(norm: Any, mean: Tensor, variance: Tensor) -> None:
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    share = norm.momentum if norm.momentum is not None else 1 / max(1, int(norm.num_batches_tracked or 1))
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), share)


def _native(norm: Any) -> nn.SyncBatchNorm:
    """A ``torch.nn.SyncBatchNorm`` that shares the layer's tensors."""
    layer = nn.SyncBatchNorm(norm.num_features, norm.eps, norm.momentum, affine=False, device="meta")
    layer.weight, layer.bias = norm.weight, norm.bias
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        layer._buffers[name] = getattr(norm, name)
    return layer.train()
