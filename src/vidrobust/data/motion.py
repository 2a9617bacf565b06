"""``motion``, the embedded data set: ten camera motions over photographs, written as real video files.

The photographs are those in the scikit-image wheel; a camera window moves over each of them. The files lie in UCF-101's
own layout, one group a photograph with the same numbers for all classes, so that training, validation and test never
show the same picture.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from vidrobust.data.layouts.opening import open_folder
from vidrobust.data.storage import cache_root, made_once
from vidrobust.data.videos import VideoFolder
from vidrobust.errors import DataError, InputError
from vidrobust.runs.keys import content_key, dumps

FORMAT = 1

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

PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
"""The photographs of the wheel, without drawings, near-empty pictures and the second view of the motorcycle."""

TEST_PHOTOGRAPHS = 4


@dataclass(frozen=True)
class Motion:
    """What determines the files of ``motion``.

    Attributes:
        seed: of the photographs' order and of every clip.
        contrast: range of a clip's contrast; 1 is a standard deviation of 0.25 of the pixel range.
        clips_per_group: videos of each class over each photograph.
        frames: frames of a video.
        size: side of the square videos in pixels, even.
    """

    seed: int = 0
    contrast: tuple[float, float] = (0.25, 0.7)
    clips_per_group: int = 8
    frames: int = 16
    size: int = 64

    def __post_init__(self) -> None:
        low, high = self.contrast
        if not 0 < low <= high <= 2:
            raise InputError(f"contrast must be a range within (0, 2], not {self.contrast}.")
        if self.seed < 0 or min(self.clips_per_group, self.frames) < 1 or self.size < 16 or self.size % 2:
            raise InputError(f"{self}: seed ≥ 0, clips_per_group ≥ 1, frames ≥ 1 and an even size ≥ 16 are needed.")


def motion(root: Path | None = None, spec: Motion = Motion()) -> VideoFolder:
    """The embedded data set, made on first use (some seconds) and then opened like any video folder.

    Args:
        root: where the files lie or shall lie; None is a folder of the cache, named by its content.
        spec: what to make.

    Raises:
        DataError: the photographs are not there, or ``root`` holds something else, or was damaged after it was made.
        RunError: the disk is full or the folder cannot be written.
    """
    pictures = _find_photographs()
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in pictures)).hexdigest()
    made_of = dumps({"format": FORMAT, "photographs": digest, **asdict(spec)}) + "\n"
    if root is None:
        root = cache_root() / f"motion-{content_key(made_of)}"
    with made_once(root) as part:
        if part is not None:
            _make(part, pictures, spec)
            (part / NOTE).write_text(made_of, "utf-8")
    if not (root / NOTE).is_file() or (root / NOTE).read_text("utf-8") != made_of:
        raise DataError(
            f"{root} exists and was not made of {spec} by this version. Delete it, or choose another folder."
        )
    try:
        # A photograph has the same number in all classes.
        return replace(open_folder(root, seed=spec.seed), name="motion", global_groups=True, notes=())
    except DataError as error:
        raise DataError(f"{error} Or delete {root}: the data set is made again.") from error


def _find_photographs() -> list[Path]:
    """Paths within the installed scikit-image; its own loaders could start a download."""
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise DataError("the data set `motion` needs scikit-image: install it, or give --data a folder of videos.")
    folder = Path(package.origin).parent / "data"
    missing = [name for name in PHOTOGRAPHS if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)}: install scikit-image from its wheel again.")
    return [folder / name for name in PHOTOGRAPHS]


def _make(root: Path, pictures: list[Path], spec: Motion) -> None:
    from vidrobust.data.camera import pyramid, render  # torch and an encoder only when there is work
    from vidrobust.data.decoding.encode import write_video

    order = np.random.default_rng(spec.seed).permutation(len(pictures))
    train, test = [], []
    for name in CLASSES:
        (root / name).mkdir()
    for number, picture in enumerate(order, 1):
        levels = pyramid(pictures[picture])
        for label, name in enumerate(CLASSES):
            for clip in range(1, spec.clips_per_group + 1):
                rng = np.random.default_rng([spec.seed, number, label, clip])
                frames = render(levels, name, frames=spec.frames, size=spec.size, contrast=spec.contrast, rng=rng)
                file = f"{name}/v_{name}_g{number:02d}_c{clip:02d}.avi"
                write_video(root / file, frames)
                if number <= TEST_PHOTOGRAPHS:
                    test.append(file)
                else:
                    train.append(f"{file} {label + 1}")
    texts = {
        "classInd.txt": [f"{label} {name}" for label, name in enumerate(CLASSES, 1)],
        "trainlist01.txt": sorted(train),
        "testlist01.txt": sorted(test),
    }
    (root / "ucfTrainTestlist").mkdir()
    for name, lines in texts.items():
        (root / "ucfTrainTestlist" / name).write_text("\n".join(lines) + "\n", newline="\n")
