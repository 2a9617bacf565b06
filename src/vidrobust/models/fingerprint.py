"""A name for a model's weights, by their content."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn


def fingerprint(model: nn.Module) -> str:
    """A name for the weights of a model: 16 hexadecimal digits, other ones if a single bit differs.

    Of a model whose weights lie in its file alone (ONNX, an exported program) it is a name for that file.

    >>> from vidrobust.models import build
    >>> fingerprint(build("r3d-small", 10, seed=0)) == fingerprint(build("r3d-small", 10, seed=1))
    False
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    for part in model.modules():
        if isinstance(content := getattr(part, "file_hash", None), str):
            digest.update(content.encode())
    return digest.hexdigest()[:16]
