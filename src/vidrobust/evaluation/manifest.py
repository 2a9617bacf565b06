"""Which clips a number is of: video, source, frames, crop, and the SHA-256 of the pixels that the model saw."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from vidrobust.runs.keys import content_key

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.data.clips import Clips

BATCH = 64


def manifest(clips: Clips) -> dict[str, Any]:
    """The manifest of clips, in their order.

    Returns:
        ``hash``, which names all of it, and ``clips``: of each its ``video``, ``source``, ``label`` (the class' index),
        ``frames`` (first and last), ``crop`` (top, left, height, width) and ``sha256``.
    """
    found = []
    for start in range(0, len(clips), BATCH):
        indices = range(start, min(start + BATCH, len(clips)))
        for index, pixels in zip(indices, clips.centre(list(indices)), strict=True):
            frames, crop = clips.place(index)
            place = {"frames": list(frames), "crop": list(crop), "label": int(clips.labels[index])}
            found.append(
                {"video": clips.videos[index], "source": clips.sources[index], **place, "sha256": pixel_hash(pixels)}
            )
    return {"hash": content_key(found), "clips": found}


def pixel_hash(clip: Tensor) -> str:
    """SHA-256 of a clip (``C T H W`` in [0, 1]) as float32 in that order, 64 hexadecimal digits.

    >>> import torch
    >>> pixel_hash(torch.zeros(3, 1, 1, 1))[:8]
    '15ec7bf0'
    """
    return hashlib.sha256(clip.detach().float().cpu().contiguous().numpy().tobytes()).hexdigest()
