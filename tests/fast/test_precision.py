"""Float32 that is float32: the switches are there without a GPU too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch

from vidrobust.fast.precision import full_float32

NEW = hasattr(torch.backends.cudnn, "conv")  # PyTorch 2.9 renamed the switches
OWNERS = (torch.backends.cudnn.conv if NEW else torch.backends.cudnn, torch.backends.cuda.matmul)
SWITCH, ON, OFF = ("fp32_precision", "tf32", "ieee") if NEW else ("allow_tf32", True, False)


def tf32() -> tuple[bool, ...]:
    """Is TF32 allowed in convolutions, and in products of matrices?"""
    return tuple(getattr(owner, SWITCH) == ON for owner in OWNERS)


def allow(*allowed: bool) -> None:
    for owner, here in zip(OWNERS, allowed, strict=True):
        setattr(owner, SWITCH, ON if here else OFF)


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    before = [getattr(owner, SWITCH) for owner in OWNERS]
    yield
    for owner, value in zip(OWNERS, before, strict=True):
        setattr(owner, SWITCH, value)


@pytest.mark.parametrize("allowed", [(True, True), (True, False), (False, True), (False, False)], ids=str)
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_tf32_is_off_inside_and_as_before_afterwards(allowed: tuple[bool, bool], fails: bool) -> None:
    allow(*allowed)
    with contextlib.suppress(KeyError), full_float32(torch.device("cuda")):
        assert tf32() == (False, False)
        if fails:
            raise KeyError
    assert tf32() == allowed


def test_on_a_cpu_nothing_is_switched() -> None:
    allow(True, True)
    with full_float32(torch.device("cpu")):
        assert tf32() == (True, True)
