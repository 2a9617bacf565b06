"""3D-ResNets, plainly: weights by the names of the published files, and what that code computes with them.

Written from the papers and the published code's behaviour (stem 7×7×7 of stride 1×2×2, max-pool 3 of stride 2, average
pool of ⌈T/16⌉ × ⌈S/32⌉ × ⌈S/32⌉ of stride 1), as functions of a dictionary of tensors, so that it shares nothing with
the library's network.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

EXPANSION = {"basic": 1, "bottleneck": 4, "resnext": 2}
LAYERS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}


def weights(
    kind: str,
    layers: tuple[int, ...],
    classes: int,
    *,
    width: int = 64,
    stem: int = 64,
    cardinality: int = 32,
    shortcut: str = "B",
    t_size: int = 7,
    counts: bool = True,
) -> dict[str, Tensor]:
    """Random weights with the names and shapes of the published files."""
    generator = torch.Generator().manual_seed(len(layers) * classes + width)
    found: dict[str, Tensor] = {}

    def conv(name: str, outputs: int, inputs: int, *kernel: int) -> None:
        found[f"{name}.weight"] = torch.randn(outputs, inputs, *kernel, generator=generator) * math.sqrt(
            2 / (inputs * math.prod(kernel))
        )

    def norm(name: str, channels: int) -> None:
        found[f"{name}.weight"] = torch.rand(channels, generator=generator) + 0.5
        found[f"{name}.bias"] = torch.randn(channels, generator=generator) * 0.1
        found[f"{name}.running_mean"] = torch.randn(channels, generator=generator) * 0.1
        found[f"{name}.running_var"] = torch.rand(channels, generator=generator) + 1
        if counts:
            found[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", stem, 3, t_size, 7, 7)
    norm("bn1", stem)
    inputs = stem
    for stage, depth in enumerate(layers):
        planes = width * 2**stage
        outputs = planes * EXPANSION[kind]
        for index in range(depth):
            name = f"layer{stage + 1}.{index}"
            if kind == "basic":
                conv(f"{name}.conv1", planes, inputs, 3, 3, 3)
                norm(f"{name}.bn1", planes)
                conv(f"{name}.conv2", planes, planes, 3, 3, 3)
                norm(f"{name}.bn2", planes)
            else:
                middle = cardinality * (planes // 32) if kind == "resnext" else planes
                groups = cardinality if kind == "resnext" else 1
                conv(f"{name}.conv1", middle, inputs, 1, 1, 1)
                norm(f"{name}.bn1", middle)
                conv(f"{name}.conv2", middle, middle // groups, 3, 3, 3)
                norm(f"{name}.bn2", middle)
                conv(f"{name}.conv3", outputs, middle, 1, 1, 1)
                norm(f"{name}.bn3", outputs)
            if index == 0 and (stage > 0 or inputs != outputs) and shortcut == "B":
                conv(f"{name}.downsample.0", outputs, inputs, 1, 1, 1)
                norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    found["fc.weight"] = torch.randn(classes, inputs, generator=generator) / math.sqrt(inputs)
    found["fc.bias"] = torch.randn(classes, generator=generator) * 0.1
    return found


def logits(weights: dict[str, Tensor], x: Tensor, *, t_stride: int = 1, max_pool: bool = True) -> Tensor:
    """What the published code computes of normalised clips ``B 3 T S S``."""
    duration, size = x.shape[2], x.shape[3]

    def conv(x: Tensor, name: str, stride: int | tuple[int, ...] = 1, padding: int | tuple[int, ...] = 0) -> Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv3d(x, weight, stride=stride, padding=padding, groups=x.shape[1] // weight.shape[1])

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        return F.batch_norm(x, mean, variance, weights[f"{name}.weight"], weights[f"{name}.bias"])

    time = weights["conv1.weight"].shape[2]
    x = F.relu(norm(conv(x, "conv1", (t_stride, 2, 2), (time // 2, 3, 3)), "bn1"))
    if max_pool:
        x = F.max_pool3d(x, 3, 2, 1)
    for stage in range(1, 5):
        index = 0
        while f"layer{stage}.{index}.conv1.weight" in weights:
            name, stride = f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1
            three = f"{name}.conv3.weight" in weights
            out = conv(x, f"{name}.conv1") if three else conv(x, f"{name}.conv1", stride, 1)
            out = F.relu(norm(out, f"{name}.bn1"))
            out = norm(conv(out, f"{name}.conv2", stride if three else 1, 1), f"{name}.bn2")
            if three:
                out = norm(conv(F.relu(out), f"{name}.conv3"), f"{name}.bn3")
            if f"{name}.downsample.0.weight" in weights:
                x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            elif out.shape != x.shape:
                x = F.avg_pool3d(x, 1, stride)
                x = torch.cat([x, x.new_zeros(len(x), out.shape[1] - x.shape[1], *x.shape[2:])], 1)
            x = F.relu(out + x)
            index += 1
    if max_pool and t_stride == 1:
        x = F.avg_pool3d(x, (math.ceil(duration / 16), math.ceil(size / 32), math.ceil(size / 32)), 1)
    else:  # the later code pools whatever is there
        x = x.mean((2, 3, 4), keepdim=True)
    return F.linear(x.flatten(1), weights["fc.weight"], weights["fc.bias"])
