"""From videos to clips: data sets, decoding, caching, sampling, and the embedded data set ``motion``.

:func:`motion` and :func:`videos` are the short way to clips for training and evaluation.

What is in here, from files to clips:

- ``layouts/``: which videos a folder, lists or shards hold (:class:`VideoFolder`), without opening one;
- ``decoding/``: files to frames, and frames to files;
- ``config``: which videos, and how they become clips (:class:`DataConfig`), the value that the rest is asked with;
- ``cache``, ``live``, ``surveys``, ``freshness``: frames from the disk or as they are asked for, decoded once;
- ``clips``, ``sampling``, ``dataset``: frames to tensors, whole data sets as clips;
- ``check``, ``leaks``: what can be found before anything is trained;
- ``motion``, ``photographs``, ``dead_leaves``, ``camera``: the embedded data set.

Of the other rooms it may import ``runs``, ``types`` and ``errors``. Reading folders and caches imports neither torch
nor a decoder; what needs them is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidrobust.data.cache import CachedSplit, cached_frames
from vidrobust.data.layouts.opening import open_folder
from vidrobust.data.motion import Motion
from vidrobust.data.storage import cache_root
from vidrobust.data.videos import Video, VideoFolder

if TYPE_CHECKING:
    from vidrobust.data.clips import Clips
    from vidrobust.data.dataset import DataConfig, VideoClips

__all__ = [
    "CachedSplit",
    "Clips",
    "DataConfig",
    "Motion",
    "Video",
    "VideoClips",
    "VideoFolder",
    "cache_root",
    "cached_frames",
    "motion",
    "open_folder",
    "videos",
]


def motion(**options: Any) -> VideoClips:  # defined here, not loaded on demand: the module of that name would hide it
    """The embedded data set as clips; its videos are made and decoded on first use.

    Args:
        options: the fields of :class:`vidrobust.data.dataset.DataConfig` but its name, such as ``frames``, ``size`` and
            ``contrast``.
    """
    return videos("motion", **options)


def videos(name: str | VideoFolder, **options: Any) -> VideoClips:
    """A data set as clips: ``motion``, the folder of one's own videos, or videos in a layout of one's own.

    Args:
        name: ``motion`` or a path (``./motion`` for a folder of that name) in a layout that is known here; or a
            :class:`VideoFolder`, made by a function of one's own, for any other.
        options: the other fields of :class:`vidrobust.data.dataset.DataConfig`.

    Raises:
        DataError: the folder is not as it must be, or a video cannot be decoded and ``skip_bad`` is not set.
    """
    from vidrobust.data.dataset import DataConfig, given_name, load

    if isinstance(name, VideoFolder):
        return load(DataConfig(given_name(name), **options), given=name)
    return load(DataConfig(name, **options))


def __getattr__(name: str) -> object:
    if name == "Clips":
        from vidrobust.data.clips import Clips

        return Clips
    if name in ("DataConfig", "VideoClips"):
        from vidrobust.data import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
