"""The first convolution on pixel-unshuffled frames, and its gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vidrobust.fast.stem import Shuffle, Unshuffle, UnshuffledStem

PADS = [(0, 0, 0, 0), (1, 1, 0, 0), (2, 1, 1, 2)]


def unshuffled(clips: torch.Tensor, pad: tuple[int, int, int, int]) -> torch.Tensor:
    """As PyTorch has it, frame by frame."""
    top, left, bottom, right = pad
    frames = [F.pixel_unshuffle(frame.contiguous(), 2) for frame in clips.unbind(2)]
    return F.pad(torch.stack(frames, 2), (left, right, top, bottom))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("pad", PADS, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 4, 6, 8), (1, 3, 1, 2, 2), (1, 1, 5, 2, 4)], ids=str)
def test_clips_and_gradients_are_those_of_pixel_unshuffle(
    shape: tuple[int, ...], pad: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    clips = torch.rand(shape, dtype=dtype, requires_grad=True)
    found, wanted = Unshuffle.apply(clips, dtype, pad), unshuffled(clips, pad)
    assert torch.equal(found, wanted)
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        slope = torch.randn(found.shape).to(dtype).contiguous(memory_format=layout)
        ours, theirs = (torch.autograd.grad(one, clips, slope, retain_graph=True)[0] for one in (found, wanted))
        assert torch.equal(ours, theirs)
        assert ours.is_contiguous()


@pytest.mark.parametrize("pad", PADS, ids=str)
def test_each_is_the_gradient_of_the_other(pad: tuple[int, int, int, int]) -> None:
    torch.manual_seed(0)
    clips = torch.rand(2, 3, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: Unshuffle.apply(x, torch.float64, pad), clips)
    assert torch.autograd.gradgradcheck(lambda x: Unshuffle.apply(x, torch.float64, pad) ** 2, clips)
    parts = Unshuffle.apply(clips, torch.float64, pad).detach().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: Shuffle.apply(x, torch.float64, pad), parts)


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_the_stem_is_the_convolution_for_any_number_of_clips(batch: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv3d(3, 4, (3, 7, 5), (1, 2, 2), (1, 3, 2), dtype=torch.float64).requires_grad_(False)
    clips = torch.rand(batch, 3, 4, 12, 10, dtype=torch.float64, requires_grad=True)
    (found,), (wanted,) = (torch.autograd.grad(part(clips).sin().sum(), clips) for part in (UnshuffledStem(conv), conv))
    torch.testing.assert_close(found, wanted)
