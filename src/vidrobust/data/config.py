"""The configuration of a data set: which videos, and how they are decoded, cached and cut into clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from vidrobust.data.decoding.geometry import Fit
from vidrobust.errors import InputError

Crop: TypeAlias = Literal["shift", "corner", "resized"]

MOTION_VERSION = 2
"""The rendering of ``motion`` that is made here; runs, jobs and caches of another one are never mixed with it."""


MOST_CONTRAST = 2
"""Of a clip of ``motion``, of which nearly all pixels are then black or white."""


def span(frames: int, stride: int) -> int:
    """Frames of the video that a clip reaches over.

    >>> span(16, 2)
    31
    """
    return (frames - 1) * stride + 1


FEW = 10
"""Videos of a split that is not used: one of each class of ``motion``, which is made whole below that."""


@dataclass(frozen=True)
class DataConfig:
    """Which videos, and how they become clips.

    Attributes:
        name: ``motion``, the embedded data set, or a folder of videos, a list of them, or shards.
        split: which of the official splits of UCF-101 or HMDB-51, from 1.
        frames: frames per clip, at least 1.
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
        train, val, test: the most clips to use of each split, spread evenly over classes and groups; 0 uses all. Of
            ``motion`` as many training clips are rendered as are asked for, 800 if that is not said.
        skip_bad: leave out videos that cannot be decoded, or that a list names and the disk lacks, and list them,
            instead of stopping.
        seed: of the embedded data set, or of the choice of validation groups.
        classes: a file with the names of a model's classes in the order of its outputs
            (:func:`vidrobust.data.classes.read_classes`): labels count in that list, of which the data may lack some.
        version: of ``motion`` alone: its rendering, of which this version of vidrobust makes one.
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
    classes: str | None = None
    version: int | None = None

    def __post_init__(self) -> None:
        if self.name == "motion" and self.version is None:
            object.__setattr__(self, "version", MOTION_VERSION)
        if min(self.frames, self.size, self.stride) < 1 or min(self.max_frames, self.resolution) < 0:
            raise InputError(
                f"frames, size and stride must be at least 1, max_frames and resolution at least 0, not {self.frames}, "
                f"{self.size}, {self.stride}, {self.max_frames} and {self.resolution}."
            )
        if min(self.train, self.val, self.test) < 0:
            raise InputError(
                f"train, val and test must be at least 0 (all clips), not {self.train}, {self.val} and {self.test}."
            )
        if self.split < 1 or self.seed < 0:
            raise InputError(f"split must be at least 1 and seed at least 0, not {self.split} and {self.seed}.")
        if not 0 < self.contrast[0] <= self.contrast[1] <= MOST_CONTRAST:
            raise InputError(
                f"contrast must be a range above 0 to {MOST_CONTRAST}, the lower end first, not {self.contrast}."
            )
        if self.name != "motion" and tuple(self.contrast) != DataConfig.contrast:
            raise InputError(f"contrast is of motion alone, and the data are {self.name}: leave it out.")
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

    def limit(self, split: str) -> int | None:
        """The most videos to use of a split; None for all."""
        return {"train": self.train, "val": self.val, "test": self.test}[split] or None

    def mainly(self, split: str) -> DataConfig:
        """The same data for one who uses this split alone: of the others, at most ten videos are made and decoded.

        >>> config = DataConfig().mainly("test")
        >>> config.train, config.val, config.test
        (10, 10, 0)
        """
        others = [name for name in ("train", "val", "test") if name != split]
        return replace(self, **{name: min(self.limit(name) or FEW, FEW) for name in others})

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> DataConfig:
        """A configuration from what was written as JSON, which knows no tuples."""
        typed: dict[str, Any] = {**as_written(fields), "contrast": tuple(fields["contrast"])}
        return cls(**typed)


def as_written(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a configuration that was written, with the version of ``motion`` that its writer had.

    >>> as_written({"name": "motion"})
    {'name': 'motion', 'version': 1}
    """
    written = dict(fields)
    if written.get("name", "motion") == "motion":
        written.setdefault("version", 1)  # files older than version 2 have no such field
    return written
