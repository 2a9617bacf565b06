"""A whole data set as clips: the three splits that training and evaluation take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from vidrobust.data.cache import cached_frames
from vidrobust.data.clips import Clips, FrameStore
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.layouts.opening import open_folder
from vidrobust.data.leaks import check_contents
from vidrobust.data.live import live_frames
from vidrobust.data.motion import Motion, motion
from vidrobust.data.sampling import Crop, mirror_swaps, span
from vidrobust.data.storage import cache_root
from vidrobust.data.videos import VideoFolder
from vidrobust.errors import InputError

if TYPE_CHECKING:
    from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class DataConfig:
    """Which videos, and how they become clips.

    Attributes:
        name: ``motion``, the embedded data set, or a folder of videos, a list of them, or shards.
        split: which of the official splits of UCF-101 or HMDB-51, from 1.
        frames: frames a clip, at least 1.
        size: height and width of a clip in pixels.
        max_frames: frames kept of each video, around its middle; training draws a random window of them. 0 keeps all.
        stride: frames of the video from one frame of a clip to the next.
        resolution: keep whole frames whose shorter side has so many pixels, for crops that need more than the clip;
            0 keeps squares of ``size`` around the centre.
        crop: of the training clips: ``shift`` (a few pixels, and a little light), ``corner`` (multi-scale corner crops,
            as 3D-ResNets) or ``resized`` (random area and aspect ratio).
        flip: mirror every other training clip; none does so where no mirror turns a class into another
            (``PanLeft``, ``PanRight``), but with ``shift``.
        live: decode clips as they are asked for instead of once into the cache.
        decoder: ``pyav``, or ``torchcodec``, an extra.
        damaged: ``keep`` uses videos without the frames of a few bad packets, and lists them; ``refuse`` treats them
            like videos that cannot be decoded.
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
    stride: int = 1
    resolution: int = 0
    crop: Crop = "shift"
    flip: bool | None = None
    live: bool = False
    decoder: Literal["pyav", "torchcodec"] = "pyav"
    damaged: Literal["keep", "refuse"] = "keep"
    contrast: tuple[float, float] = (0.25, 0.7)
    train: int = 0
    val: int = 0
    test: int = 0
    skip_bad: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.frames, self.size, self.stride) < 1 or min(self.max_frames, self.resolution) < 0:
            raise InputError(
                f"frames, size and stride must be at least 1, max_frames and resolution at least 0, not {self.frames}, "
                f"{self.size}, {self.stride}, {self.max_frames} and {self.resolution}."
            )
        if 0 < self.resolution < self.size:
            raise InputError(f"resolution {self.resolution} must not be below the size {self.size} of the clips.")
        if self.live and self.decoder != "pyav":
            raise InputError("clips are decoded live by pyav alone: leave out the decoder, or live.")

    @property
    def fit(self) -> Fit:
        """The frames that are kept of a video."""
        return Fit(self.resolution or self.size, whole=self.resolution > 0)

    @property
    def most(self) -> int | None:
        """The most frames kept of a video; at least a clip's."""
        return max(self.max_frames, span(self.frames, self.stride)) if self.max_frames else None

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
        damaged = [pair for clips in splits.values() for pair in clips.damaged]
        return {
            "kind": "dataset",
            "name": self.folder.name,
            "classes": list(self.classes),
            "clips": {name: len(clips) for name, clips in splits.items()},
            "groups": {name: len(set(clips.groups)) for name, clips in splits.items()},
            "skipped": [{"file": file, "reason": reason} for file, reason in skipped],
            "damaged": [{"file": file, "reason": reason} for file, reason in damaged],
            "missing": len(self.folder.missing),
            "frames": self.train.frames,
            "size": self.train.size,
            "contrast": list(self.config.contrast) if self.config.name == "motion" else None,
        }

    @property
    def notices(self) -> list[str]:
        """What a user should be told of the data: videos missing, left out, or damaged and used."""
        said = list(self.folder.notes)
        if self.folder.missing:
            said.append(
                f"{len(self.folder.missing)} clips of the lists are missing; `vidrobust data check` lists them."
            )
        for name, clips in {"train": self.train, "val": self.val, "test": self.test}.items():
            said += [f"{name}: left out: {reason}" for _, reason in clips.skipped]
            said += [f"{name}: {file}: {reason}" for file, reason in clips.damaged]
        return said


def open_videos(config: DataConfig) -> VideoFolder:
    """The videos that a configuration names; the embedded data set is made on first use.

    Raises:
        DataError: the folder is not as it must be.
    """
    if config.name == "motion":
        return motion(spec=Motion(seed=config.seed, contrast=config.contrast))
    return open_folder(config.name, split=config.split, seed=config.seed)


def load(config: DataConfig, progress: Callable[[str, int, int], None] | None = None, workers: int = 1) -> VideoClips:
    """Open a data set and decode it, once: later calls find the decoded clips in the cache.

    Args:
        config: which videos and how they become clips.
        progress: called with the split, the videos decoded and the videos in all.
        workers: processes that decode. More than one need a main module that can be imported
            (``if __name__ == "__main__":``).

    Raises:
        DataError: the folder is not as it must be, two splits share a file, or a video cannot be decoded and
            ``skip_bad`` is not set.
        RunError: the disk lacks room for the cache.
    """
    folder = open_videos(config)
    if config.name != "motion":
        check_contents(folder)
    flip = not mirror_swaps(folder.classes) and config.crop != "shift" if config.flip is None else config.flip

    def clips(split: str, limit: int) -> Clips:
        told = None if progress is None else partial(progress, split)
        store = split_frames(folder, split, config, limit or None, workers, told)
        return Clips(
            store,
            folder.classes,
            frames=config.frames,
            size_out=config.size,
            stride=config.stride,
            crop=config.crop,
            flip=flip,
        )

    return VideoClips(
        folder, config, clips("train", config.train), clips("val", config.val), clips("test", config.test)
    )


def split_frames(
    folder: VideoFolder,
    split: str,
    config: DataConfig,
    limit: int | None,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> FrameStore:
    """The frames of a split, from the cache or live, as a configuration asks for."""
    fit, most = config.fit, config.most
    same: dict[str, Any] = {
        "max_frames": most,
        "damaged": config.damaged,
        "skip_bad": config.skip_bad,
        "limit": limit,
        "workers": workers,
        "progress": progress,
    }
    if config.live:
        return live_frames(folder, split, fit=fit, **same)
    place = cache_root() / "clips"
    return cached_frames(
        folder, split, size=fit.side, whole=fit.whole, cache_root=place, decoder=config.decoder, **same
    )
