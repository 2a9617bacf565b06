"""Names for what flows between the layers.

Clips are float32 tensors of shape ``B C T H W`` with pixels in [0, 1]; normalisation lives inside the model. In
Python, ε and α are in the same units (``8 / 255``); text for people counts them in units of 1/255.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    ClipTensor: TypeAlias = Tensor
    """``B C T H W``, float32, pixels in [0, 1]."""

    Labels: TypeAlias = Tensor
    """``B``, int64, class indices."""

    Logits: TypeAlias = Tensor
    """``B K``, float32."""

    Classifier: TypeAlias = Callable[[ClipTensor], Logits]
    """Anything that maps clips to logits: an ``nn.Module`` or a plain function."""

PIXEL = 1 / 255
"""The unit of ε and α in text: one grey level of an 8-bit pixel."""
