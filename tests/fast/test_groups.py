"""Merged groups compute the same convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vidrobust.fast.groups import MergedConv, groups_to_merge, merge_groups


@pytest.mark.parametrize(
    ("channels", "out", "groups", "stride"), [(32, 32, 8, 1), (32, 64, 4, 2), (24, 48, 4, (1, 2, 2))]
)
@pytest.mark.parametrize("bias", [False, True])
def test_merged_groups_are_the_same_convolution(channels, out, groups, stride, bias) -> None:
    conv = nn.Conv3d(channels, out, 3, stride, 1, groups=groups, bias=bias, dtype=torch.float64)
    features = torch.rand(2, channels, 4, 7, 6, dtype=torch.float64, requires_grad=True)
    slope = torch.rand_like(conv(features))
    wanted, got = conv(features), MergedConv(conv, 2)(features)
    torch.testing.assert_close(got, wanted)
    gradients = [torch.autograd.grad(output, features, slope)[0] for output in (wanted, got)]
    torch.testing.assert_close(gradients[1], gradients[0])


def test_new_weights_are_taken_over_where_they_lie() -> None:
    conv = nn.Conv3d(16, 16, 3, padding=1, groups=4, dtype=torch.float64)
    wide = MergedConv(conv, 4)
    place, features = wide.weight.data_ptr(), torch.rand(1, 16, 2, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        conv.weight.mul_(-2)
    wide.refresh()
    torch.testing.assert_close(wide(features), conv(features))
    assert wide.weight.data_ptr() == place


def test_only_narrow_groups_are_merged() -> None:
    assert groups_to_merge(nn.Conv3d(128, 128, 3, groups=32)) == 4
    assert groups_to_merge(nn.Conv3d(256, 256, 3, groups=32)) == 2
    assert groups_to_merge(nn.Conv3d(512, 512, 3, groups=32)) == 1  # 16 channels a group are enough
    assert groups_to_merge(nn.Conv3d(54, 54, 3, groups=54)) == 1  # depthwise
    assert groups_to_merge(nn.Conv3d(20, 20, 3, groups=5)) == 1  # 5 groups are no multiple of 4
    assert groups_to_merge(nn.Conv3d(128, 128, 3, groups=32, padding="same", padding_mode="circular")) == 1
    assert groups_to_merge(nn.Linear(4, 4)) == 1


def test_a_model_is_rewritten_where_it_has_such_groups() -> None:
    model = nn.Sequential(nn.Conv3d(3, 32, 1), nn.Sequential(nn.Conv3d(32, 32, 3, padding=1, groups=8)), nn.ReLU())
    clips = torch.rand(1, 3, 2, 4, 4)
    wanted = model(clips)
    assert len(merge_groups(model)) == 1
    assert isinstance(model[1][0], MergedConv)
    torch.testing.assert_close(model(clips), wanted)
