"""Convolutions that oneDNN computes wrongly on a CPU, and in which numbers it computes them rightly.

Found by comparing random convolutions of PyTorch 2.13 on a processor with AMX with the same in float64, whoever calls
oneDNN. The gradients of their inputs were right.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

FEW = 16
"""Channels of a group: with fewer, the frames beyond a single one are read although they are padding."""


@lru_cache(4096)
def right_dtype(
    dtype: torch.dtype,
    sizes: tuple[int, ...],
    weight: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> torch.dtype:
    """``dtype``, or a wider one if a CPU computes such a convolution wrongly in ``dtype``.

    In any type, outputs that see padding alone end the process or overwrite its memory: float64. In bfloat16, so does
    padding that is more than half a kernel or under a dilated one, and outputs are wrong where a column of them is the
    only one of a stride above 1, and for a single frame of few channels under a kernel over several frames: float32.

    Args:
        dtype: in which it is asked for.
        sizes: of the input, the last one that of its columns.
        weight: its shape: output channels, input channels of a group, and the kernel.
        stride, padding, dilation: one number per dimension.

    >>> sizes, weight = (2, 4, 2), (8, 8, 3, 3, 3)
    >>> right_dtype(torch.bfloat16, sizes, weight, stride=(1, 1, 2), padding=(1, 1, 1), dilation=(1, 1, 1))
    torch.float32
    """
    kernel = weight[2:]
    extent = list(zip(sizes, kernel, stride, padding, dilation, strict=True))
    if not all(sees_input(*one) for one in extent):
        return torch.float64
    if dtype != torch.bfloat16:
        return dtype
    unusual = any(2 * p > d * (k - 1) or (p > 0 and d > 1) for _, k, _, p, d in extent)
    alone = [k > 1 < s and size + 2 * p - d * (k - 1) <= s for size, k, s, p, d in extent]
    column = len(alone) > 1 and alone[-1] and not alone[-2]
    frame = len(kernel) == 3 and sizes[0] == 1 < kernel[0] and weight[1] < FEW
    return torch.float32 if unusual or column or frame else dtype


def sees_input(size: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Does each output, along one dimension, see something of an input of this size?

    >>> sees_input(2, kernel=3, stride=1, padding=1, dilation=1), sees_input(2, 2, stride=1, padding=1, dilation=3)
    (True, False)
    """
    outputs = range(-padding, size + padding - dilation * (kernel - 1), stride)
    return all(any(0 <= first + dilation * tap < size for tap in range(kernel)) for first in outputs)


@contextlib.contextmanager
def lowered(device: torch.device, bf16: bool, watched: bool = True) -> Iterator[None]:
    """Autocast to bfloat16, if asked for, with convolutions in wider numbers where a CPU computes them wrongly.

    Watching them takes 5 % of the time of a small network: not needed where each looks after itself.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=bf16))
        if bf16 and watched and device.type == "cpu":
            stack.enter_context(RightConvolutions())
        yield


class RightConvolutions(TorchFunctionMode):
    """Inside, what autocast would have a CPU convolve wrongly is convolved in wider numbers; without autocast, nothing.

    >>> features, weight = torch.randn(1, 8, 2, 4, 2), torch.randn(8, 8, 3, 3, 3)
    >>> with torch.autocast("cpu", torch.bfloat16), RightConvolutions():
    ...     found = torch.conv3d(features, weight, None, (1, 1, 2), (1, 1, 1))
    >>> torch.allclose(found.float(), torch.conv3d(features, weight, None, (1, 1, 2), (1, 1, 1)), rtol=0.01, atol=0.01)
    True
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        asked = func in CONVOLUTIONS and torch.is_autocast_enabled("cpu")
        return _convolve(func, *args, **kwargs or {}) if asked else func(*args, **kwargs or {})


def again_right() -> tuple[contextlib.AbstractContextManager[object], contextlib.AbstractContextManager[object]]:
    """The contexts of a forward pass and of its repetition in the backward pass, for activation checkpointing."""
    return contextlib.nullcontext(), RightConvolutions()


CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)


def _convolve(
    convolve: Callable[..., Tensor],
    input: Tensor,  # noqa: A002 - PyTorch's name
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: str | int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> Tensor:
    """As PyTorch's function, in the type that is right."""
    kernel, asked = weight.shape[2:], torch.get_autocast_dtype("cpu")
    strides, dilations = _each(stride, kernel), _each(dilation, kernel)
    same = tuple(d * (k - 1) // 2 for d, k in zip(dilations, kernel, strict=True))
    paddings = (same if padding == "same" else _each(0, kernel)) if isinstance(padding, str) else _each(padding, kernel)
    sizes = input.shape[-len(kernel) :]
    right = right_dtype(asked, sizes, weight.shape, strides, paddings, dilations)
    if right == asked:
        return convolve(input, weight, bias, stride, padding, dilation, groups)
    wide = [None if tensor is None else tensor.to(right) for tensor in (input, weight, bias)]
    with torch.autocast("cpu", enabled=False):
        return convolve(*wide, stride, padding, dilation, groups).to(asked)


def _each(number: int | tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
    """A number for each dimension."""
    many = (number,) if isinstance(number, int) else tuple(number)
    return many * len(kernel) if len(many) == 1 else many
