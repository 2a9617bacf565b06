"""A whole data set as clips: the three splits that training and evaluation take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vidrobust.data.cache import cached_frames
from vidrobust.data.classes import read_classes, with_classes
from vidrobust.data.clips import Clips
from vidrobust.data.config import MOTION_VERSION, DataConfig
from vidrobust.data.layouts.opening import open_folder
from vidrobust.data.leaks import check_contents
from vidrobust.data.live import live_frames
from vidrobust.data.motion import is_photograph, motion, motion_of
from vidrobust.data.parallel import DataProgress, VideoProgress, same_processes
from vidrobust.data.sampling import mirror_swaps
from vidrobust.data.videos import SPLITS, VideoFolder, check_given
from vidrobust.errors import DataError

if TYPE_CHECKING:
    from vidrobust.runs.rows import Row

__all__ = ["DataConfig", "VideoClips", "given_name", "load", "open_videos"]

_GIVEN = "VideoFolder at "


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
        damaged = [pair for clips in splits.values() for pair in clips.damaged]
        row: Row = {
            "kind": "dataset",
            "name": self.folder.name,
            "layout": self.folder.layout,
            "classes": list(self.classes),
            "clips": {name: len(clips) for name, clips in splits.items()},
            "groups": {name: len(set(clips.sources)) for name, clips in splits.items()},
            "skipped": [{"file": file, "reason": reason} for file, reason in skipped],
            "damaged": [{"file": file, "reason": reason} for file, reason in damaged],
            "missing": len(self.folder.missing),
            "frames": self.train.frames,
            "size": self.train.size,
            "contrast": list(self.config.contrast) if self.config.name == "motion" else None,
        }
        if self.config.name == "motion":
            sources = {source for clips in splits.values() for source in clips.sources}
            row["photographs"] = sorted(filter(is_photograph, sources))
        return row

    @property
    def notices(self) -> list[str]:
        """Notices about the data: videos that are missing, left out, or damaged and used."""
        said = list(self.folder.notes)
        if self.folder.missing:
            said.append(
                f"{len(self.folder.missing)} clips of the lists are missing; `vidrobust data check` lists them."
            )
        for name, clips in {"train": self.train, "val": self.val, "test": self.test}.items():
            asked, found = self.config.limit(name), len(self.folder.split(name))
            if asked is not None and found < asked:
                said.append(f"{asked} {name} clips were asked for, but there are {found}: all of them are used.")
            said += [f"{name}: left out: {reason}" for _, reason in clips.skipped]
            said += [f"{name}: {file}: {reason}" for file, reason in clips.damaged]
        return said


def given_name(folder: VideoFolder) -> str:
    """How a configuration calls a data set that was given as a value.

    It says where the videos are, and cannot be opened: the layouts that are known here might cut other splits.
    """
    return _GIVEN + str(folder.root.absolute())


def check_version(config: DataConfig) -> None:
    """Refuse the embedded data set in a rendering that is not made here.

    Raises:
        DataError: it is asked for.
    """
    if config.name == "motion" and config.version != MOTION_VERSION:
        raise DataError(
            f"this is of `motion` {config.version}, and this version of vidrobust makes `motion` {MOTION_VERSION}, "
            "whose training and test pictures are others. Train again, or use the version that wrote it."
        )


def open_videos(
    config: DataConfig, given: VideoFolder | None = None, workers: int = 1, progress: DataProgress | None = None
) -> VideoFolder:
    """The videos that a configuration names; the embedded data set is made on first use.

    Args:
        config: which videos.
        given: the videos themselves, in a layout of one's own; they are checked like those of the known layouts.
        workers: processes that make the embedded data set.
        progress: called as it is made.

    Raises:
        DataError: the folder or the list of classes is not as it must be; ``motion`` of another version is asked for.
    """
    if given is not None:
        check_given(given)
        folder = given
    elif config.name.startswith(_GIVEN):
        raise DataError(
            f"the data was given from Python, as a {config.name}, and only the function that read it knows its splits. "
            "Call it again, load the weights with vidrobust.load_model, and go on in Python."
        )
    elif config.name == "motion":
        check_version(config)
        limits = (config.train, config.val, config.test)
        folder = motion(spec=motion_of(config), workers=workers, limits=limits, progress=_making(progress))
    else:
        folder = open_folder(config.name, split=config.split, seed=config.seed, allow_missing=config.skip_bad)
    return folder if config.classes is None else with_classes(folder, read_classes(Path(config.classes).expanduser()))


def load_spread(
    config: DataConfig, split: str, count: int, progress: DataProgress | None = None, workers: int = 1
) -> VideoClips:
    """Of the embedded data set the clips of a split that :meth:`Clips.spread` takes, without making the others.

    Args:
        config: the embedded data set, as clips.
        split: ``train``, ``val`` or ``test``; of the others, few videos are made.
        count: clips of the split. Below the number of classes, or where the cache has all, all are there.
        progress, workers: as :func:`load` takes them.
    """
    check_version(config)
    few = config.mainly(split)
    train, val, test = (count if name == split else few.limit(name) or 0 for name in SPLITS)
    limits, spec = (train, val, test), motion_of(config)
    folder = motion(spec=spec, workers=workers, limits=limits, evenly=split, progress=_making(progress))
    return load(few, progress, workers, given=folder)


def load(
    config: DataConfig,
    progress: DataProgress | None = None,
    workers: int = 1,
    given: VideoFolder | None = None,
) -> VideoClips:
    """Open a data set and decode it, once: later calls find the decoded clips in the cache.

    Args:
        config: which videos and how they become clips.
        progress: called as videos are made and decoded; not at all where the cache has them.
        workers: processes that decode, and that make the embedded data set.
        given: the videos, in a layout of one's own, instead of those that the configuration names.

    Raises:
        DataError: the folder is not as it must be, two splits share a file, or a video cannot be decoded and
            ``skip_bad`` is not set.
        RunError: the disk lacks room for the cache.
    """
    with same_processes(workers):
        return _load(config, progress, workers, given)


def _load(
    config: DataConfig,
    progress: DataProgress | None,
    workers: int,
    given: VideoFolder | None,
) -> VideoClips:
    folder = open_videos(config, given, workers, progress)
    if config.name != "motion":
        check_contents(folder)
    flip = not mirror_swaps(folder.classes) and config.crop != "shift" if config.flip is None else config.flip
    frames = live_frames if config.live else cached_frames

    def clips(split: str) -> Clips:
        decoding = None if progress is None else partial(progress, f"decoding {split}")
        store = frames(folder, split, config, workers, decoding)
        return Clips(
            store,
            folder.classes,
            frames=config.frames,
            size_out=config.size,
            stride=config.stride,
            crop=config.crop,
            flip=flip,
        )

    return VideoClips(folder, config, clips("train"), clips("val"), clips("test"))


def _making(progress: DataProgress | None) -> VideoProgress | None:
    return None if progress is None else partial(progress, "making videos")
