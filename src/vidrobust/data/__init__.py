"""Videos in, clips out: folders of video files, decoding, caching, sampling, and the embedded data set ``motion``.

Reading folders and caches does not import torch; ``Clips``, which needs it, is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrobust.data.cache import CachedSplit, cache_root, cached_frames
from vidrobust.data.folders import Video, VideoFolder, open_folder
from vidrobust.data.motion import Motion, motion  # not on demand: the module of that name would hide the function

if TYPE_CHECKING:
    from vidrobust.data.clips import Clips

__all__ = [
    "CachedSplit",
    "Clips",
    "Motion",
    "Video",
    "VideoFolder",
    "cache_root",
    "cached_frames",
    "motion",
    "open_data",
    "open_folder",
]


def __getattr__(name: str) -> object:
    if name == "Clips":
        from vidrobust.data.clips import Clips

        return Clips
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def open_data(name_or_path: str, *, split: int = 1, val_fraction: float = 0.2, seed: int = 0) -> VideoFolder:
    """The embedded data set for ``motion``, else the folder of videos at that path.

    Args:
        name_or_path: ``motion``, or a folder (``./motion`` for a folder of that name).
        split: which of UCF-101's official splits.
        val_fraction: part of the training groups held out for validation.
        seed: of the embedded data set, or of the choice of held-out groups.

    Raises:
        DataError: the folder is not as it must be.
    """
    if name_or_path == "motion":
        return motion(spec=Motion(seed=seed))
    return open_folder(name_or_path, split=split, val_fraction=val_fraction, seed=seed)
