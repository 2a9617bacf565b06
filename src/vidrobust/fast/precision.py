"""In which numbers a model is run: bfloat16 where the hardware multiplies it, and float32 that really is float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["auto", "exact"]
"""``auto``: folded, and bfloat16 where the hardware has it; ``exact``: the model itself in its own precision,
on a GPU without TF32."""


def has_bf16(device: torch.device) -> bool:
    """Does the device multiply bfloat16 in hardware (emulation is slower than float32)?"""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        supported = (getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("avx512_bf16", "amx_tile"))
        return any(supported)
    return False


@contextlib.contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """No TF32 inside: by default, cuDNN rounds the factors of float32 convolutions to 10 bits on a GPU that has it.

    The switches are the process's, not the thread's.
    """
    switches = _tf32_switches() if device.type == "cuda" else []
    before = [getattr(owner, name) for owner, name, _ in switches]
    try:
        for owner, name, full in switches:
            setattr(owner, name, full)
        yield
    finally:
        for (owner, name, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)


def _tf32_switches() -> list[tuple[Any, str, Any]]:
    """Where TF32 is switched off: owner, attribute, and its value for full float32 (PyTorch 2.9 renamed them)."""
    if hasattr(torch.backends.cudnn, "conv"):
        owners = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
        return [(owner, "fp32_precision", "ieee") for owner in owners]
    return [(torch.backends.cudnn, "allow_tf32", False), (torch.backends.cuda.matmul, "allow_tf32", False)]
