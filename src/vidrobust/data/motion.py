"""``motion``, the embedded data set: ten camera motions over pictures, written as real video files.

The pictures are the photographs in the scikit-image wheel, over each of which a window moves several times in every
class, and any number of rendered ones (:mod:`vidrobust.data.dead_leaves`), of which each video has its own. The files
lie in UCF-101's own layout, one group a picture, so that training, validation and test never show the same picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from vidrobust.data.config import MOST_CONTRAST, MOTION_VERSION, DataConfig
from vidrobust.data.layouts.opening import open_folder
from vidrobust.data.parallel import VideoProgress, in_order
from vidrobust.data.photographs import PHOTOGRAPHS, find_photographs, read_photograph
from vidrobust.data.storage import cache_root, made_once
from vidrobust.data.subset import even_places, spread
from vidrobust.data.videos import SPLITS, Video, VideoFolder
from vidrobust.errors import DataError, InputError
from vidrobust.runs.keys import content_key, dumps

NOTE = "motion.json"
"""Beside the videos: what they were made of."""

CLASSES = (
    "PanDown",
    "PanLeft",
    "PanRight",
    "PanUp",
    "RotateClockwise",
    "RotateCounterclockwise",
    "ShakeHorizontal",
    "ShakeVertical",
    "ZoomIn",
    "ZoomOut",
)
"""What the camera does: in ``PanLeft`` it moves to the left, so the picture moves to the right."""

SplitCounts = tuple[int, int, int]
"""A number for each of training, validation and test."""


@dataclass(frozen=True)
class Motion:
    """What determines the files of ``motion``.

    Attributes:
        seed: of the photographs' order, of the rendered pictures and of every clip.
        contrast: range of a clip's contrast; 1 is a standard deviation of 0.25 of the pixel range.
        photographs: how many are for training, validation and test.
        clips_per_group: videos of each class over each photograph.
        rendered: videos of each class over a rendered picture of their own, of training, validation and test.
        further: training videos of each class beyond these, over pictures that are numbered after all others, which
            stay as they are.
        frames: frames of a video.
        size: side of the square videos in pixels, even.
    """

    seed: int = 0
    contrast: tuple[float, float] = (0.25, 0.7)
    photographs: SplitCounts = (6, 2, 8)
    clips_per_group: int = 4
    rendered: SplitCounts = (56, 12, 24)
    further: int = 0
    frames: int = 16
    size: int = 64

    def __post_init__(self) -> None:
        low, high = self.contrast
        if not 0 < low <= high <= MOST_CONTRAST:
            raise InputError(f"contrast must be a range within (0, {MOST_CONTRAST}], not {self.contrast}.")
        if self.seed < 0 or min(self.clips_per_group, self.frames) < 1 or self.size < 16 or self.size % 2:
            raise InputError(f"{self}: seed ≥ 0, clips_per_group ≥ 1, frames ≥ 1 and an even size ≥ 16 are needed.")
        if min(*self.photographs, *self.rendered, self.further) < 0 or sum(self.photographs) > len(PHOTOGRAPHS):
            raise InputError(f"{self}: there are {len(PHOTOGRAPHS)} photographs, and no count is below 0.")
        if min(map(sum, zip(self.photographs, self.rendered, strict=True))) < 1:
            raise InputError(f"{self}: training, validation and test need a picture each.")

    @property
    def clip_counts(self) -> dict[str, int]:
        """Videos of each split, counted without making them."""
        counts = zip(SPLITS, self.photographs, self.rendered, (self.further, 0, 0), strict=True)
        return {split: len(CLASSES) * (few * self.clips_per_group + own + more) for split, few, own, more in counts}

    @property
    def described(self) -> dict[str, Any]:
        """What the files were made of, as their note has it."""
        return {name: value for name, value in asdict(self).items() if name != "further" or value}


def motion_of(config: DataConfig) -> Motion:
    """What to make for a configuration: more training videos than usual where it asks for more.

    >>> [motion_of(DataConfig(train=train)).clip_counts["train"] for train in (0, 600, 1200)]
    [800, 800, 1200]
    """
    usual = Motion(seed=config.seed, contrast=config.contrast)
    return replace(usual, further=max(0, -(-(config.train - usual.clip_counts["train"]) // len(CLASSES))))


@dataclass(frozen=True)
class PictureGroup:
    """The videos over one picture.

    Attributes:
        number: of the group, from 1; those of the photographs are at most their number.
        split: ``train``, ``val`` or ``test``.
        photograph: the index into the photographs; None of a picture that is rendered.
        classes: the labels of its videos.
    """

    number: int
    split: str
    photograph: int | None
    classes: tuple[int, ...]


def picture_groups(spec: Motion) -> Iterator[PictureGroup]:
    """All pictures: the photographs in an order that the seed decides, then the rendered ones, class after class."""
    order = np.random.default_rng(spec.seed).permutation(len(PHOTOGRAPHS)).tolist()
    ends = dict(zip(SPLITS, accumulate(spec.photographs), strict=True))
    for index, photograph in enumerate(order[: sum(spec.photographs)]):
        split = next(name for name, end in ends.items() if index < end)
        yield PictureGroup(index + 1, split, photograph, tuple(range(len(CLASSES))))
    number = len(PHOTOGRAPHS)
    for label in range(len(CLASSES)):
        for split, count in zip(SPLITS, spec.rendered, strict=True):
            for _ in range(count):
                number += 1
                yield PictureGroup(number, split, None, (label,))
    for label in range(len(CLASSES)):
        for _ in range(spec.further):
            number += 1
            yield PictureGroup(number, "train", None, (label,))


def is_photograph(source: str) -> bool:
    """Is this source (``g0007``) of the data set a photograph, not a rendered picture?

    >>> is_photograph("g0016"), is_photograph("g0017")
    (True, False)
    """
    return int(source[1:]) <= len(PHOTOGRAPHS)


PlannedVideos = dict[str, tuple[Video, ...]]
"""The videos of each split, sorted by path."""


def planned_videos(spec: Motion, limits: SplitCounts = (0, 0, 0), evenly: str = "") -> PlannedVideos:
    """The videos of a data set before it is made.

    Args:
        spec: what is made.
        limits: the most of training, validation and test, those that :func:`vidrobust.data.subset.spread` chooses of
            all; 0 is all.
        evenly: a split of which they are instead those that :meth:`vidrobust.data.clips.Clips.spread` takes.
    """
    found = {}
    for split, limit in zip(SPLITS, limits, strict=True):
        groups = [group for group in picture_groups(spec) if group.split == split]
        videos = [Video(path, label, _group(one.number)) for one in groups for label, _, path in _paths(one, spec)]
        found[split] = _limited(sorted(videos, key=lambda video: video.path), limit, split == evenly)
    return found


def _limited(videos: Sequence[Video], limit: int, evenly: bool) -> tuple[Video, ...]:
    if evenly and limit:
        return tuple(videos[place] for place in even_places(len(videos), limit))
    return spread(videos, limit or None)


def motion(
    root: Path | None = None,
    spec: Motion = Motion(),
    workers: int = 1,
    limits: SplitCounts = (0, 0, 0),
    evenly: str = "",
    progress: VideoProgress | None = None,
) -> VideoFolder:
    """The embedded data set, made on first use (some seconds) and then opened like any video folder.

    Args:
        root: where the files lie or shall lie; None is a folder of the cache, named by its content.
        spec: what to make.
        workers: processes that render.
        limits, evenly: the most videos of each split to make, as :func:`planned_videos` has them. All are there
            nevertheless if a limit is below the number of classes, or if the cache has them already.
        progress: called as they are made.

    Raises:
        DataError: the photographs are not there, or ``root`` holds something else, or was damaged after it was made.
        RunError: the disk is full or the folder cannot be written.
    """
    pictures = find_photographs()
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in pictures)).hexdigest()
    about = {"format": MOTION_VERSION, "photographs": digest, **spec.described}
    videos, made_of = planned_videos(spec), f"{dumps(about)}\n"
    lacks_classes = any(0 < limit < len(CLASSES) for limit in limits)
    if not lacks_classes and (root is not None or not _place(made_of).exists()):
        wanted = planned_videos(spec, limits, evenly)
        if wanted != videos:
            videos = wanted
            part_of: dict[str, Any] = {"videos": {split: len(of) for split, of in videos.items()}}
            made_of = f"{dumps({**about, **part_of, **({'evenly': evenly} if evenly else {})})}\n"
    root = root or _place(made_of)
    with made_once(root) as part:
        if part is not None:
            _make(part, pictures, spec, videos, workers, progress)
            (part / NOTE).write_text(made_of, "utf-8")
    if not (root / NOTE).is_file() or (root / NOTE).read_text("utf-8") != made_of:
        raise DataError(
            f"{root} exists and was not made of {spec} by this version. Delete it, or choose another folder."
        )
    try:
        return _with_splits(open_folder(root, seed=spec.seed), spec)
    except DataError as error:
        raise DataError(f"{error} Or delete {root}: the data set is made again.") from error


def _place(made_of: str) -> Path:
    return cache_root() / f"motion-{content_key(made_of)}"


def _with_splits(folder: VideoFolder, spec: Motion) -> VideoFolder:
    """UCF-101's lists know no validation: here it is not a fifth of the groups, but those that were made for it."""
    held = {_group(one.number) for one in picture_groups(spec) if one.split == "val"}
    known = sorted((*folder.train, *folder.val), key=lambda video: video.path)
    train, val = (tuple(video for video in known if (video.group in held) is inside) for inside in (False, True))
    # A photograph has the same number in all classes.
    return replace(folder, name="motion", train=train, val=val, global_groups=True, notes=())


def _group(number: int) -> str:
    return f"g{number:04d}"


def _paths(group: PictureGroup, spec: Motion) -> list[tuple[int, int, str]]:
    """The videos of a group: class, number from 1, and path."""
    count = spec.clips_per_group if group.photograph is not None else 1
    return [
        (label, clip, f"{CLASSES[label]}/v_{CLASSES[label]}_{_group(group.number)}_c{clip:02d}.avi")
        for label in group.classes
        for clip in range(1, count + 1)
    ]


def _make(
    root: Path,
    pictures: Sequence[Path],
    spec: Motion,
    videos: PlannedVideos,
    workers: int,
    progress: VideoProgress | None,
) -> None:
    for name in CLASSES:
        (root / name).mkdir()
    wanted = {video.path for of in videos.values() for video in of}
    pieces = [(group, [one for one in _paths(group, spec) if one[2] in wanted]) for group in picture_groups(spec)]
    pieces, done = [piece for piece in pieces if piece[1]], 0
    for written in in_order(partial(_film, root, tuple(pictures), spec), pieces, workers):
        done += written
        if progress is not None:
            progress(done, len(wanted))
    texts = {
        "classInd.txt": [f"{label} {name}" for label, name in enumerate(CLASSES, 1)],
        "trainlist01.txt": sorted(f"{video.path} {video.label + 1}" for video in (*videos["train"], *videos["val"])),
        "testlist01.txt": sorted(video.path for video in videos["test"]),
    }
    (root / "ucfTrainTestlist").mkdir()
    for name, lines in texts.items():
        (root / "ucfTrainTestlist" / name).write_text("\n".join(lines) + "\n", newline="\n")


def _film(
    root: Path, pictures: Sequence[Path], spec: Motion, piece: tuple[PictureGroup, list[tuple[int, int, str]]]
) -> int:
    """Write some videos of a group: class, number and path of each; how many they are."""
    from vidrobust.data.camera import pyramid, render  # torch and an encoder only when there is work
    from vidrobust.data.dead_leaves import dead_leaves
    from vidrobust.data.decoding.encode import write_video

    group, videos = piece
    if group.photograph is None:
        levels = pyramid(dead_leaves(np.random.default_rng([spec.seed, group.number])))
    else:
        levels = pyramid(read_photograph(pictures[group.photograph]))
    for label, clip, path in videos:
        rng = np.random.default_rng([spec.seed, group.number, label, clip])
        frames = render(levels, CLASSES[label], frames=spec.frames, size=spec.size, contrast=spec.contrast, rng=rng)
        write_video(root / path, frames)
    return len(videos)
