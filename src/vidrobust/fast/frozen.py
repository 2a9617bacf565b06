"""A convolution whose weights stand still, and a rectifier that keeps little.

PyTorch's convolution keeps its input for the gradient of its weights, takes a slow path for one small clip on one
thread (two to ten times the time), and BatchNorm folded into it needs a second copy of its weights. Where only the
gradient of the input is asked for, none of this is needed: the scale that BatchNorm brings is put on the weights while
they are used or, where they are larger than the clips' features, on the output. Then what remains is what rectifiers
keep, their outputs; where these are large, a byte a feature does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.grad import conv3d_input

from vidrobust.fast.onednn import right_dtype
from vidrobust.fast.winograd import is_worthwhile, winograd_conv3d

if TYPE_CHECKING:
    from torch import Tensor
    from torch.autograd.function import FunctionCtx

IntTriple = tuple[int, ...]


class ConvWindow(NamedTuple):
    """How a convolution goes over its input: frames, rows and columns."""

    stride: IntTriple = (1, 1, 1)
    padding: IntTriple = (0, 0, 0)
    dilation: IntTriple = (1, 1, 1)
    groups: int = 1


SAME = ConvWindow(padding=(1, 1, 1))
"""That of a 3×3×3 convolution whose output has the size of its input."""


def is_plain(conv: nn.Module) -> bool:
    """Is it a 3-D convolution that pads by given numbers of zeros?"""
    return type(conv) is nn.Conv3d and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


class FrozenConv(nn.Module):
    """``conv``, its outputs times a scale per channel (none: 1) before its bias, differentiable in the input alone.

    >>> conv = nn.Conv3d(3, 4, 3, stride=2, padding=1)
    >>> clips, twice = torch.rand(1, 3, 4, 8, 8), torch.full((4,), 2.0)
    >>> wanted = 2 * (conv(clips) - conv.bias.view(4, 1, 1, 1)) + conv.bias.view(4, 1, 1, 1)
    >>> torch.allclose(FrozenConv(conv, twice)(clips), wanted, atol=1e-6)
    True
    """

    scale: Tensor | None

    def __init__(self, conv: nn.Conv3d, scale: Tensor | None = None) -> None:
        super().__init__()
        assert not isinstance(conv.padding, str)
        self.conv, self.window = conv, ConvWindow(conv.stride, conv.padding, conv.dilation, conv.groups)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Features ``B C T H W``."""
        return frozen_conv3d(inputs, self.conv.weight, self.conv.bias, self.window, self.scale)


def frozen_conv3d(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, window: ConvWindow, scale: Tensor | None = None
) -> Tensor:
    """As ``F.conv3d`` with ``weight · scale``, differentiable in the input alone."""
    return Convolution.apply(inputs, weight, bias, scale, window)


class Convolution(torch.autograd.Function):
    """The convolution and the gradient of its input, neither of which keeps the input."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, inputs: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor | None, window: ConvWindow
    ) -> Tensor:
        ctx.save_for_backward(*(weight,) if scale is None else (weight, scale))
        ctx.shape, ctx.window = inputs.shape, window  # type: ignore[attr-defined]
        if scale is None or _is_light(weight, inputs.shape):
            return _convolve(inputs, _scaled(weight, scale), bias, window)
        output = _convolve(inputs.contiguous(), weight, None, window).mul_(_spread(scale))
        return output if bias is None else output.add_(_spread(bias))

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        weight, *scales = ctx.saved_tensors  # type: ignore[attr-defined]
        shape, window, gradient = ctx.shape, ctx.window, gradients[0]  # type: ignore[attr-defined]
        if not scales or _is_light(weight, shape):
            found = gradient_of_input(shape, _scaled(weight, *scales), gradient, window)
        else:
            found = gradient_of_input(shape, weight, (gradient * _spread(*scales)).contiguous(), window)
        return found, None, None, None, None


def _is_light(weight: Tensor, shape: torch.Size) -> bool:
    """Are there fewer weights than features? Then they are scaled and laid out anew at each use."""
    return weight.numel() < shape.numel()


def _scaled(weight: Tensor, scale: Tensor | None = None) -> Tensor:
    if scale is None:
        return weight
    return (weight * scale.view(-1, 1, 1, 1, 1)).contiguous(memory_format=torch.channels_last_3d)


def _spread(channels: Tensor) -> Tensor:
    return channels.view(-1, 1, 1, 1)


def _convolve(inputs: Tensor, weight: Tensor, bias: Tensor | None, window: ConvWindow) -> Tensor:
    right = _right_dtype(inputs, inputs.shape, weight, window)
    if right != inputs.dtype:
        wide = None if bias is None else bias.to(right)
        return _convolve(inputs.to(right), weight.to(right), wide, window).to(inputs.dtype)
    if _by_onednn(inputs, weight, window, (torch.float32,)):
        if window == SAME and is_worthwhile(inputs.shape, weight):
            return winograd_conv3d(inputs, weight, bias)
        stride, padding, dilation, groups = window
        return torch.mkldnn_convolution(inputs, weight, bias, padding, stride, dilation, groups)
    return F.conv3d(inputs, weight, bias, *window)


def gradient_of_input(shape: torch.Size, weight: Tensor, gradient: Tensor, window: ConvWindow) -> Tensor:
    """The gradient of a convolution's input of a given shape, from that of its output."""
    right = _right_dtype(gradient, shape, weight, window)
    if right != gradient.dtype:
        return gradient_of_input(shape, weight.to(right), gradient.to(right), window).to(gradient.dtype)
    again = torch.is_grad_enabled()  # it is to be differentiated again
    by_onednn = _by_onednn(gradient, weight, window, (torch.float32, torch.bfloat16))
    if again or not (by_onednn or gradient.is_cuda):
        return conv3d_input(shape, weight, gradient, *window)
    if by_onednn and gradient.dtype == torch.float32 and window == SAME and is_worthwhile(shape, weight):
        return winograd_conv3d(gradient, weight.flip(2, 3, 4).transpose(0, 1))
    if by_onednn and _picks(weight, window):
        return _put_back(shape, weight, gradient, window.stride)
    stride, padding, dilation, groups = window
    extent = zip(shape[2:], gradient.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    beyond = [size - ((out - 1) * s - 2 * p + d * (k - 1) + 1) for size, out, k, s, p, d in extent]
    if not by_onednn:  # on a GPU: `conv3d_input` would fill a tensor of the size of the input for nothing
        return F.conv_transpose3d(gradient, weight, None, stride, padding, beyond, groups, dilation)
    transposed = torch.ops.mkldnn._convolution_transpose_pointwise
    return transposed(gradient, weight, None, padding, beyond, stride, dilation, groups, "none", [], "")


def _picks(weight: Tensor, window: ConvWindow) -> bool:
    """Does each output see one place of the input, and do strides leave places out that none sees?"""
    return max(weight.shape[2:]) == 1 < max(window.stride) and not any(window.padding) and window.groups == 1


def _put_back(shape: torch.Size, weight: Tensor, gradient: Tensor, stride: IntTriple) -> Tensor:
    """The gradient where an input was seen, 0 elsewhere: the transposed convolution in a fifth of its time."""
    found = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last_3d).zero_()
    frames, rows, columns = stride
    found[:, :, ::frames, ::rows, ::columns] = _convolve(gradient, weight.transpose(0, 1), None, ConvWindow())
    return found


def _right_dtype(features: Tensor, shape: torch.Size, weight: Tensor, window: ConvWindow) -> torch.dtype:
    """In which type the convolution of an input of this shape is right."""
    if features.device.type != "cpu":
        return features.dtype
    return right_dtype(features.dtype, shape[2:], weight.shape, *window[:3])


def _by_onednn(features: Tensor, weight: Tensor, window: ConvWindow, types: tuple[torch.dtype, ...]) -> bool:
    """Is it of one of these types on a CPU, where calling oneDNN oneself is faster?

    In float32 PyTorch does not call it for one small clip on one thread. In bfloat16 it does, but its gradient of the
    input takes a fifth longer than oneDNN's transposed convolution, which gives the same numbers. Not with more padding
    than half a kernel, which no network here has.
    """
    if not _HAS_ONEDNN or not torch.backends.mkldnn.enabled or not (features.dtype == weight.dtype in types):
        return False
    if features.dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    reach = zip(window.padding, window.dilation, weight.shape[2:], strict=True)
    return features.device.type == "cpu" and features.numel() > 0 and all(2 * p <= d * (k - 1) for p, d, k in reach)


_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_transpose_pointwise")


MASKED = 4 * 2**20
"""Bytes of float32 features from which a rectifier keeps a mask: of fewer, the mask takes time that is not worth it."""


class FrozenReLU(nn.Module):
    """As ``nn.ReLU``.

    >>> features = torch.randn(1, 16, 8, 96, 96)
    >>> torch.equal(FrozenReLU()(features), features.relu())
    True
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, inputs: Tensor) -> Tensor:
        """Features of the shape of ``inputs``."""
        large = inputs.dtype == torch.float32 and inputs.nbytes >= MASKED
        if large and inputs.requires_grad and torch.is_grad_enabled():
            return Rectifier.apply(inputs, self.inplace)
        return F.relu(inputs, self.inplace)


class Rectifier(torch.autograd.Function):
    """Keeps which features pass, a byte each."""

    @staticmethod
    def forward(ctx: FunctionCtx, inputs: Tensor, inplace: bool) -> Tensor:
        if inplace:
            ctx.mark_dirty(inputs)
        output = F.relu(inputs, inplace)
        ctx.save_for_backward((output > 0).view(torch.uint8))  # multiplied in half the time of a bool
        return output

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        (passed,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradients[0] * passed, None
