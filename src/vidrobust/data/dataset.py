"""A whole data set as clips: the three splits that training and evaluation take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidrobust.data.cache import cache_root, cached_frames
from vidrobust.data.clips import Clips
from vidrobust.data.folders import VideoFolder, open_folder
from vidrobust.data.motion import Motion, motion

if TYPE_CHECKING:
    from vidrobust.runs import Row


@dataclass(frozen=True)
class DataConfig:
    """Which videos, and how they become clips.

    Attributes:
        name: ``motion``, the embedded data set, or the folder of one's own videos.
        split: which of UCF-101's official splits, from 1.
        frames: frames a clip, at least 1.
        size: height and width of a clip in pixels.
        max_frames: frames kept of each video, around its middle; training draws a random window of them.
        contrast: of ``motion`` alone: the range of each clip's contrast, 1 being a standard deviation of a quarter of
            the pixel range. The lower it is, the harder a given ε.
        train, val, test: the most clips to use of each split, spread evenly over classes and groups; 0 uses all.
        skip_bad: leave out videos that cannot be decoded, and list them, instead of stopping.
        seed: of the embedded data set, or of the choice of validation groups.
    """

    name: str = "motion"
    split: int = 1
    frames: int = 8
    size: int = 24
    max_frames: int = 16
    contrast: tuple[float, float] = (0.25, 0.7)
    train: int = 0
    val: int = 0
    test: int = 0
    skip_bad: bool = False
    seed: int = 0

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> DataConfig:
        """A configuration from what was written as JSON, which knows no tuples."""
        typed: dict[str, Any] = {**fields, "contrast": tuple(fields["contrast"])}
        return cls(**typed)


@dataclass(frozen=True)
class VideoClips:
    """A data set as clips.

    Attributes:
        folder: where the videos are.
        config: what they were loaded by.
        train, val, test: the splits; their sources are disjoint.
    """

    folder: VideoFolder
    config: DataConfig
    train: Clips
    val: Clips
    test: Clips

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return self.folder.classes

    @property
    def row(self) -> Row:
        """What the data set is, as a ``dataset`` row."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        skipped = [pair for clips in splits.values() for pair in clips.skipped]
        return {
            "kind": "dataset",
            "name": self.folder.name,
            "classes": list(self.classes),
            "clips": {name: len(clips) for name, clips in splits.items()},
            "groups": {name: len(set(clips.groups)) for name, clips in splits.items()},
            "skipped": [{"file": file, "reason": reason} for file, reason in skipped],
            "frames": self.train.frames,
            "size": self.train.size,
            "contrast": list(self.config.contrast) if self.config.name == "motion" else None,
        }


def open_videos(config: DataConfig) -> VideoFolder:
    """The videos that a configuration names; the embedded data set is made on first use.

    Raises:
        DataError: the folder is not as it must be.
    """
    if config.name == "motion":
        return motion(spec=Motion(seed=config.seed, contrast=config.contrast))
    return open_folder(config.name, split=config.split, seed=config.seed)


def load(config: DataConfig, progress: Callable[[str, int, int], None] | None = None) -> VideoClips:
    """Open a data set and decode it, once: later calls find the decoded clips in the cache.

    Args:
        config: which videos and how they become clips.
        progress: called with the split, the videos decoded and the videos in all.

    Raises:
        DataError: the folder is not as it must be, or a video cannot be decoded and ``skip_bad`` is not set.
    """
    folder = open_videos(config)

    def clips(split: str, limit: int) -> Clips:
        cached = cached_frames(
            folder,
            split,
            size=config.size,
            max_frames=max(config.max_frames, config.frames),
            cache_root=cache_root() / "clips",
            skip_bad=config.skip_bad,
            limit=limit or None,
            progress=None if progress is None else lambda done, of: progress(split, done, of),
        )
        return Clips(cached, folder.classes, frames=config.frames)

    return VideoClips(
        folder, config, clips("train", config.train), clips("val", config.val), clips("test", config.test)
    )
