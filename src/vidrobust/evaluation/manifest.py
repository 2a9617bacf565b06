"""Which clips a number is of: video, source, frames, crop, and the SHA-256 of the pixels that the model saw."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from vidrobust.runs.keys import content_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from vidrobust.data.clips import Clips
    from vidrobust.runs.rows import Row

BATCH = 64

_known: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()
"""The manifests of clips that are still in use: of the same clips there are many rows."""

_by_hash: dict[str, dict[str, Any]] = {}
"""All manifests that this process has made."""


def manifest(clips: Clips) -> dict[str, Any]:
    """The manifest of clips, in their order.

    Returns:
        ``hash``, which names all of it, and ``clips``: of each its ``video``, ``source``, ``label`` (the class' index),
        ``frames`` (first and last), ``crop`` (top, left, height, width) and ``sha256``.
    """
    if clips not in _known:
        found = _listed(clips)
        _known[clips] = {"hash": content_key(found), "clips": found}
        _by_hash[_known[clips]["hash"]] = _known[clips]
    return dict(_known[clips])


def clips_of(clips: Clips) -> str:
    """The hash of the manifest of clips, by which rows refer to it."""
    return manifest(clips)["hash"]


def manifest_row(clips: Clips) -> Row:
    """The ``manifest`` row of clips, which is appended with every row about them, for their sources."""
    return _row(manifest(clips))


def manifest_rows(rows: Iterable[Row]) -> list[Row]:
    """The ``manifest`` rows of the clips that rows are about, as far as they were measured in this process."""
    named = dict.fromkeys(row["clips_of"] for row in rows if "clips_of" in row)
    return [_row(_by_hash[name]) for name in named if name in _by_hash]


def _row(found: dict[str, Any]) -> Row:
    return {"kind": "manifest", "clips_of": found["hash"], "clips": len(found["clips"]), "list": found["clips"]}


def _listed(clips: Clips) -> list[dict[str, Any]]:
    found = []
    for start in range(0, len(clips), BATCH):
        indices = range(start, min(start + BATCH, len(clips)))
        found += [manifest_entry(clips, *each) for each in zip(indices, clips.centre(list(indices)), strict=True)]
    return found


def manifest_entry(clips: Clips, index: int, pixels: Tensor) -> dict[str, Any]:
    """What a manifest says of one clip.

    Args:
        clips: it is one of these.
        index: its place among them.
        pixels: ``C T H W``, its own.
    """
    frames, crop = clips.place(index)
    place = {"frames": list(frames), "crop": list(crop), "label": int(clips.labels[index])}
    return {"video": clips.videos[index], "source": clips.sources[index], **place, "sha256": pixel_hash(pixels)}


def pixel_hash(clip: Tensor) -> str:
    """SHA-256 of a clip (``C T H W`` in [0, 1]) as float32 in that order, 64 hexadecimal digits.

    >>> import torch
    >>> pixel_hash(torch.zeros(3, 1, 1, 1))[:8]
    '15ec7bf0'
    """
    return hashlib.sha256(clip.detach().float().cpu().contiguous().numpy().tobytes()).hexdigest()
