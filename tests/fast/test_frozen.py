"""Frozen convolutions and rectifiers give what PyTorch's give, keep less, and can be differentiated again."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vidrobust.fast import frozen, winograd
from vidrobust.fast.frozen import FrozenConv, FrozenReLU, is_plain
from vidrobust.fast.onednn import sees_input
from vidrobust.fast.segments import saving, storages
from vidrobust.fast.winograd import winograd_conv3d


def scaled(conv: nn.Conv3d, scale: Tensor | None, inputs: Tensor) -> Tensor:
    """By PyTorch's convolution."""
    weight = conv.weight if scale is None else conv.weight * scale.view(-1, 1, 1, 1, 1)
    return nn.functional.conv3d(inputs, weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Conv3d, Tensor, Tensor | None]:
    """A frozen convolution, features it takes, and a scale."""
    groups, small = draw(st.sampled_from([1, 2, 4])), st.integers(1, 3)
    channels = groups * draw(st.integers(1, 4))
    triple = st.tuples(small, small, small)
    kernel, stride, dilation = draw(triple), draw(triple), draw(triple)
    padding: Any = tuple(draw(st.integers(0, d * (k - 1) // 2)) for d, k in zip(dilation, kernel, strict=True))
    out = groups * draw(small)
    conv = nn.Conv3d(channels, out, kernel, stride, padding, dilation, groups, bias=draw(st.booleans()))
    reach = [d * (k - 1) + 1 - 2 * p for d, k, p in zip(dilation, kernel, padding, strict=True)]
    sizes = [max(1, least) + draw(st.integers(0, 4)) for least in reach]
    # Of outputs that see padding alone, PyTorch's own call of oneDNN (2.13) writes beyond its memory: no reference.
    assume(all(map(sees_input, sizes, kernel, stride, padding, dilation)))
    inputs = torch.randn(draw(st.integers(1, 2)), channels, *sizes)
    layout = draw(st.sampled_from([torch.contiguous_format, torch.channels_last_3d]))
    return (
        conv.requires_grad_(False),
        inputs.contiguous(memory_format=layout),
        draw(st.sampled_from([None, torch.rand(out) + 0.5])),
    )


@settings(max_examples=150, deadline=None)
@given(convolutions(), st.booleans())
def test_a_frozen_convolution_is_the_convolution_and_its_gradient(
    drawn: tuple[nn.Conv3d, Tensor, Tensor | None], onednn: bool
) -> None:
    conv, inputs, scale = drawn
    leaf = inputs.requires_grad_(True)
    wanted = scaled(conv, scale, leaf)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(frozen, "_HAS_ONEDNN", onednn)
        found = FrozenConv(conv, scale)(leaf)
        weights = torch.randn(wanted.shape)
        (gradient,) = torch.autograd.grad(found, leaf, weights)
    (reference,) = torch.autograd.grad(wanted, leaf, weights)
    assert torch.allclose(found, wanted, atol=1e-4)
    assert torch.allclose(gradient, reference, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "dilation", "padding", "size"), [(2, 3, 1, 2), (2, 2, 1, 1), (1, 1, 1, 3)])
def test_outputs_that_see_padding_alone_are_right(
    kernel: int, dilation: int, padding: int, size: int, dtype: torch.dtype
) -> None:
    assert not sees_input(size, kernel, 1, padding, dilation)
    conv = nn.Conv3d(3, 4, kernel, 1, padding, dilation).requires_grad_(False).to(dtype)
    clips = torch.randn(2, 3, size, size, size, dtype=dtype)
    found, wanted = [], []
    for module, leaf, into in ((FrozenConv(conv), clips, found), (deepcopy(conv).double(), clips.double(), wanted)):
        output = module(leaf.requires_grad_(True))
        into += [output.double(), *(g.double() for g in torch.autograd.grad(output.sum(), leaf))]
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=0.05 if dtype == torch.bfloat16 else 1e-5)


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_in_bfloat16_the_gradient_is_that_of_pytorch_bit_for_bit(
    drawn: tuple[nn.Conv3d, Tensor, Tensor | None],
) -> None:
    conv, inputs, _ = drawn
    leaf = inputs.detach().bfloat16().requires_grad_(True)
    weight = conv.weight.bfloat16().contiguous(memory_format=torch.channels_last_3d)
    window = frozen.ConvWindow(conv.stride, conv.padding, conv.dilation, conv.groups)
    output = nn.functional.conv3d(leaf, weight, None, *window)
    weights = torch.randn(output.shape).bfloat16()
    (reference,) = torch.autograd.grad(output, leaf, weights)
    with torch.no_grad():
        assert frozen.gradient_of_input(leaf.shape, weight, weights, window).equal(reference)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("sizes", [(4, 6, 6), (5, 7, 3), (1, 1, 9), (2, 2, 2)], ids=str)
@pytest.mark.parametrize("stride", [(2, 2, 2), (1, 2, 2), (1, 3, 1)], ids=str)
def test_the_gradient_of_a_shortcut_lies_where_it_looked(
    stride: tuple[int, ...], sizes: tuple[int, ...], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv3d(16, 32, 1, stride, bias=False).to(dtype).requires_grad_(False)  # type: ignore[arg-type]
    inputs = torch.randn(3, 16, *sizes, dtype=dtype).contiguous(memory_format=torch.channels_last_3d)
    found, wanted = inputs.clone().requires_grad_(True), inputs.clone().requires_grad_(True)
    output, expected = FrozenConv(conv)(found), conv(wanted)
    back = torch.randn_like(output)
    (got,), (expect,) = torch.autograd.grad(output, found, back), torch.autograd.grad(expected, wanted, back)
    torch.testing.assert_close(got, expect, rtol=0.0 if dtype == torch.bfloat16 else 1e-6, atol=1e-6)
    frames, rows, columns = stride
    seen = torch.zeros_like(got, dtype=torch.bool)
    seen[:, :, ::frames, ::rows, ::columns] = True
    assert not got[~seen].any() and got[seen].any()


@pytest.mark.parametrize("width", [2, 64])  # more features than weights, and more weights than features
def test_it_keeps_nothing_of_its_input(width: int) -> None:
    module = FrozenConv(nn.Conv3d(width, width, 3, padding=1).requires_grad_(False), torch.rand(width))
    with saving(storages(module)) as kept:
        module(torch.rand(1, width, 4, 8, 8, requires_grad=True))
    assert sum(kept) == 0


@pytest.mark.parametrize("width", [2, 64])
def test_its_gradient_can_be_differentiated(width: int) -> None:
    conv = nn.Conv3d(width, 3, 3, padding=1).requires_grad_(False)
    scale, leaf = torch.rand(3), torch.randn(1, width, 2, 4, 4, requires_grad=True)
    found = []
    for call in (FrozenConv(conv, scale), lambda inputs: scaled(conv, scale, inputs)):
        (first,) = torch.autograd.grad(call(leaf).pow(3).sum(), leaf, create_graph=True)
        found.append(torch.autograd.grad(first.pow(2).sum(), leaf)[0])
    assert torch.allclose(*found, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("size", [(3, 24, 20), (1, 21, 23)])
def test_wide_convolutions_multiply_less(size: tuple[int, ...], inplace: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "MASKED", 1)
    monkeypatch.setattr(winograd, "THREADS", torch.get_num_threads())
    conv, scale = nn.Conv3d(48, 64, 3, padding=1).requires_grad_(False), torch.rand(64) + 0.5
    leaf = torch.randn(2, 48, *size, requires_grad=True)
    calls: list[torch.Size] = []

    def counted(inputs: Tensor, *others: Tensor) -> Tensor:
        calls.append(inputs.shape)
        return winograd_conv3d(inputs, *others)

    monkeypatch.setattr(frozen, "winograd_conv3d", counted)
    found = FrozenReLU(inplace)(FrozenConv(conv, scale)(leaf))
    before = scaled(conv, scale, leaf)
    weights = torch.randn(before.shape) * (before.abs() > 1e-3)  # a sum near zero may pass in one of them alone
    gradients = [torch.autograd.grad(output, leaf, weights)[0] for output in (found, before.relu())]
    assert len(calls) == (2 if frozen._HAS_ONEDNN else 0)  # there and back
    assert torch.allclose(found, before.relu(), atol=1e-4)
    assert torch.allclose(*gradients, atol=1e-4)


@pytest.mark.parametrize("bias", [None, torch.arange(5.0)])
@pytest.mark.parametrize("shape", [(1, 3, 1, 1, 1), (2, 3, 2, 4, 8), (2, 1, 5, 9, 7), (1, 4, 3, 12, 5)])
def test_fewer_multiplications_give_the_same_sums(shape: tuple[int, ...], bias: Tensor | None) -> None:
    weight = torch.randn(5, shape[1], 3, 3, 3)
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        inputs = torch.randn(shape).contiguous(memory_format=layout)
        exact = nn.functional.conv3d(
            inputs.double(), weight.double(), None if bias is None else bias.double(), padding=1
        )
        with torch.autocast("cpu", torch.bfloat16):
            found = winograd_conv3d(inputs, weight, bias)
        assert found.dtype == torch.float32
        assert found._base is None  # a view could not be changed in place
        assert torch.allclose(found, exact.float(), rtol=1e-4, atol=1e-4)


def test_fewer_multiplications_whatever_the_default_type_is() -> None:
    inputs, weight = torch.randn(1, 2, 2, 4, 4), torch.randn(3, 2, 3, 3, 3)
    torch.set_default_dtype(torch.float64)
    try:
        found = winograd_conv3d(inputs, weight)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32


@pytest.mark.parametrize(
    ("channels", "size", "threads", "worth"),
    [(48, 20, 8, True), (47, 20, 8, False), (48, 19, 8, False), (48, 20, 9, False)],
)
def test_only_wide_convolutions_on_few_threads_are_worth_it(
    channels: int, size: int, threads: int, worth: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    shape = torch.Size((1, channels, 4, size, 20))
    assert winograd.is_worthwhile(shape, torch.empty(64, channels, 3, 3, 3)) is worth
    assert not winograd.is_worthwhile(shape, torch.empty(64, channels, 1, 3, 3))


def test_what_pads_beyond_its_kernel_is_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> Tensor:
        raise AssertionError("oneDNN was seen to end the process")

    monkeypatch.setattr(torch, "mkldnn_convolution", refused)
    conv, leaf = nn.Conv3d(3, 4, 1, padding=1).requires_grad_(False), torch.rand(1, 3, 2, 4, 4, requires_grad=True)
    found = [torch.autograd.grad(call(leaf).pow(2).sum(), leaf)[0] for call in (FrozenConv(conv), conv)]
    assert torch.allclose(*found, atol=1e-5)


def test_what_pads_in_another_way_is_left_alone() -> None:
    assert is_plain(nn.Conv3d(3, 4, 3, padding=1))
    assert not is_plain(nn.Conv3d(3, 4, 3, padding="same"))
    assert not is_plain(nn.Conv3d(3, 4, 3, padding=1, padding_mode="circular"))
    assert not is_plain(nn.Conv2d(3, 4, 3))


@pytest.mark.parametrize("inplace", [False, True])
def test_a_rectifier_keeps_a_byte_of_a_large_feature(inplace: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "MASKED", 4 * 1024)
    for count, each in ((1023, 4), (1024, 1)):
        leaf = torch.randn(1, 1, 1, 1, count, requires_grad=True)
        with saving(set()) as kept:
            found = FrozenReLU(inplace)(leaf * 2)
        assert sum(kept) == each * count
        weights = torch.randn(leaf.shape)
        found = FrozenReLU(inplace)(leaf * 2)
        (gradient,) = torch.autograd.grad(found, leaf, weights)
        assert torch.equal(found, (leaf * 2).relu())
        assert torch.equal(gradient, torch.where(leaf > 0, weights * 2, 0.0))
