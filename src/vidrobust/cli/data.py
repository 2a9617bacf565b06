"""``vidrobust data``: make the embedded data set as files, check a data set, decode one into the cache."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidrobust.cli.next_steps import Step, suggestions
from vidrobust.cli.options import Verb, flat, option, run
from vidrobust.cli.video_bar import video_bar
from vidrobust.errors import InputError, UsageError
from vidrobust.results.pages.console import printable
from vidrobust.runs.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

DATA_HELP = """\
usage: vidrobust data {make,check,cache} PATH [options]

  make DIR     make the embedded data set as video files in UCF-101's layout
  check PATH   decode every video, compare the splits, and write a report
  cache PATH   decode a data set once, so that training reads frames instead of videos

PATH is a folder (UCF-101, HMDB-51, Kinetics, a folder per class), a list (.csv, .jsonl) or shards
("shard-{000000..000009}.tar"). vidrobust data VERB --help tells a verb's options.
"""

NEXT = (
    Step("vidrobust data make motion-videos", "the embedded data set, to look at"),
    Step("vidrobust data check motion-videos", "as your own videos are checked"),
)


@dataclass(frozen=True, kw_only=True)
class MakeMotion(Verb):
    """Make the embedded data set as video files.

    Attributes:
        folder: a folder that does not exist yet.
        seed: of the pictures and the motions.
        contrast: range of the clips' contrast.
    """

    NEXT = (
        Step("vidrobust data make motion-videos", "about a thousand small videos"),
        Step("vidrobust train --data motion-videos --epochs 2 --out runs/standard", "train on them"),
    )

    folder: Path = option(positional=True, type=Path)
    seed: int = 0
    contrast: list[float] | None = option(default=None, type=float, nargs=2, metavar=("LOW", "HIGH"))

    def run(self, console: Console) -> None:
        """Make it, and say how many videos it has."""
        from vidrobust.data.motion import Motion, motion
        from vidrobust.data.parallel import cores

        spec = Motion(seed=self.seed)
        if self.contrast is not None:
            spec = replace(spec, contrast=(self.contrast[0], self.contrast[1]))
        with video_bar(console) as progress:
            found = motion(self.folder, spec, cores(), progress=partial(progress, "making videos"))
        counts = f"{len(found.train)} training, {len(found.val)} validation and {len(found.test)} test videos"
        print(f"{found.root}: {counts}")


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """The data set that is checked or decoded.

    Attributes:
        path: a folder, a list (.csv, .jsonl) or shards.
        split: official split of UCF-101 or HMDB-51.
        seed: of the choice of validation groups.
        damaged: videos with a few bad packets.
        skip_bad: leave out videos that cannot be decoded, and list them.
        workers: processes; by default one for each core.

    Raises:
        InputError: there are no workers.
    """

    path: str = option(positional=True, metavar="PATH")
    split: int = 1
    seed: int = 0
    damaged: Literal["keep", "refuse"] = "keep"
    skip_bad: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers must be at least 1, but is {self.workers}.")

    @property
    def processes(self) -> int:
        """How many decode."""
        from vidrobust.data.parallel import cores

        return self.workers or cores()


@dataclass(frozen=True, kw_only=True)
class CheckVideos(Verb):
    """Decode every video, compare the splits, and write a report.

    Attributes:
        videos: the data set.
        out: the report.
    """

    NEXT = (
        Step("vidrobust data check motion-videos", "check a folder of videos"),
        Step("vidrobust data cache motion-videos --dry-run", "how large its decoded frames are"),
    )

    videos: VideoOptions = flat()
    out: Path = Path("data-check.json")

    def run(self, console: Console) -> None:
        """Check, and exit with 1 if the data set cannot be used."""
        from vidrobust.data.check import check_data, summary
        from vidrobust.runs.files import write_atomic
        from vidrobust.runs.keys import dumps

        of = self.videos
        with video_bar(console) as progress:
            report = check_data(
                of.path,
                split=of.split,
                seed=of.seed,
                damaged=of.damaged,
                skip_bad=of.skip_bad,
                workers=of.processes,
                progress=partial(progress, "checking"),
            )
        write_atomic(self.out, (dumps(report) + "\n").encode())
        print(printable("\n".join([*summary(report), f"report: {self.out}"])))
        if not report["usable"]:
            print(suggestions([Step("vidrobust data check --help", "which videos may be left out or kept")]), end="")
            sys.exit(1)


@dataclass(frozen=True, kw_only=True)
class CacheVideos(Verb):
    """Decode a data set into the cache.

    Attributes:
        videos: the data set.
        frames: frames per clip.
        size: height and width of a clip in pixels.
        max_frames: kept of each video; 0 keeps all.
        resolution: keep whole frames of this shorter side.
        stride: frames of the video from one of a clip to the next.
        decoder: what decodes; torchcodec is an extra.
        dry_run: say how large it will be, and stop.
    """

    NEXT = (
        Step("vidrobust data cache motion-videos --dry-run", "how large its decoded frames are"),
        Step("vidrobust train --data motion-videos --epochs 2 --out runs/standard", "train on them"),
    )

    videos: VideoOptions = flat()
    frames: int = 8
    size: int = 24
    max_frames: int = 16
    resolution: int = 0
    stride: int = 1
    decoder: Literal["pyav", "torchcodec"] = "pyav"
    dry_run: bool = False

    def run(self, console: Console) -> None:
        """Say how large it will be, decode, and count the clips."""
        from vidrobust.data.cache import estimate, uncached
        from vidrobust.data.dataset import DataConfig, load, open_videos
        from vidrobust.data.storage import cache_root, in_words, room
        from vidrobust.data.videos import SPLITS

        of = self.videos
        names = ("frames", "size", "max_frames", "resolution", "stride", "decoder")
        own = {name: getattr(self, name) for name in names}
        config = DataConfig(of.path, split=of.split, seed=of.seed, damaged=of.damaged, skip_bad=of.skip_bad, **own)
        with video_bar(console) as progress:
            folder = open_videos(config, workers=of.processes, progress=progress)
        place = cache_root() / "clips"
        videos = [video for split in SPLITS for video in folder.split(split)]
        left = uncached(folder, videos, config)
        large = in_words(estimate(folder.root, left, config))
        print(
            f"{len(left)} of {len(videos)} videos are to be decoded: about {large} in {place}, whose disk has "
            f"{in_words(room(place))} free"
        )
        if self.dry_run:
            return
        with video_bar(console) as progress:
            data = load(config, progress, of.processes)
        print("".join(printable(f"{notice}\n") for notice in data.notices), end="")
        print(", ".join(f"{split} {counted(len(getattr(data, split)), 'clip')}" for split in SPLITS))


DATA_VERBS: dict[str, type[Verb]] = {"make": MakeMotion, "check": CheckVideos, "cache": CacheVideos}


def main(arguments: list[str]) -> None:
    """``vidrobust data make|check|cache PATH``."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(DATA_HELP, suggestions(NEXT), sep="\n", end="")
        sys.exit(0 if arguments else 2)
    verb, *rest = arguments
    if verb not in DATA_VERBS:
        raise UsageError(f"data has no verb {verb!r}: choose make, check or cache.")
    run(DATA_VERBS[verb], f"data {verb}", rest)
