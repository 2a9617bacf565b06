"""``vidrobust data``: make the embedded data set as files, check a data set, decode one into the cache."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vidrobust.errors import InputError

HELP = """\
usage: vidrobust data {make,check,cache} PATH [options]

  make DIR     make the embedded data set as video files in UCF-101's layout
  check PATH   decode every video, compare the splits, and write a report
  cache PATH   decode a data set once, so that training reads frames instead of videos

PATH is a folder (UCF-101, HMDB-51, Kinetics, a folder a class), a list (.csv, .jsonl) or shards
("shard-{000000..000009}.tar"). vidrobust data VERB --help tells a verb's options.
"""


def main(arguments: Sequence[str]) -> None:
    """Run one of the three; exits with 1 if a checked data set cannot be used."""
    verbs: dict[str, Callable[[Sequence[str]], None]] = {"make": _make, "check": _check, "cache": _cache}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        sys.exit(0 if arguments else 2)
    if arguments[0] not in verbs:
        print(f"vidrobust data: there is no verb {arguments[0]!r}: choose make, check or cache.", file=sys.stderr)
        sys.exit(2)
    verbs[arguments[0]](arguments[1:])


def _make(arguments: Sequence[str]) -> None:
    from vidrobust.data.motion import Motion, motion

    parser = argparse.ArgumentParser("vidrobust data make", description="Make the embedded data set as video files.")
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--contrast", type=float, nargs=2, metavar=("LOW", "HIGH"), help="range of the clips' contrast")
    values = parser.parse_args(arguments)
    spec = Motion(seed=values.seed, contrast=tuple(values.contrast)) if values.contrast else Motion(seed=values.seed)
    found = motion(values.folder, spec)
    print(f"{found.root}: {len(found.train)} training, {len(found.val)} validation and {len(found.test)} test videos")


def _check(arguments: Sequence[str]) -> None:
    from vidrobust.data.check import check, summary
    from vidrobust.runs.files import write_atomic
    from vidrobust.runs.keys import dumps

    parser = argparse.ArgumentParser("vidrobust data check", description="Decode every video, compare the splits.")
    _add_common(parser)
    parser.add_argument("--out", type=Path, help="the report (default: data-check.json)", default="data-check.json")
    values = parser.parse_args(arguments)
    with _progress("checking") as progress:
        report = check(
            values.path,
            split=values.split,
            seed=values.seed,
            damaged=values.damaged,
            skip_bad=values.skip_bad,
            workers=_workers(values),
            progress=progress,
        )
    write_atomic(values.out, (dumps(report) + "\n").encode())
    print(*summary(report), f"report: {values.out}", sep="\n")
    sys.exit(0 if report["usable"] else 1)


def _cache(arguments: Sequence[str]) -> None:
    from vidrobust.data.cache import Recipe, estimate, missing
    from vidrobust.data.dataset import DataConfig, load, open_videos
    from vidrobust.data.storage import cache_root, in_words, room
    from vidrobust.data.videos import SPLITS

    parser = argparse.ArgumentParser("vidrobust data cache", description="Decode a data set into the cache.")
    _add_common(parser)
    known = DataConfig()
    parser.add_argument("--frames", type=int, default=known.frames, help="frames a clip")
    parser.add_argument("--size", type=int, default=known.size, help="height and width of a clip in pixels")
    parser.add_argument("--max-frames", type=int, default=known.max_frames, help="kept of each video; 0 keeps all")
    parser.add_argument("--resolution", type=int, default=0, help="keep whole frames of this shorter side")
    parser.add_argument("--stride", type=int, default=1, help="frames of the video from one of a clip to the next")
    parser.add_argument("--decoder", choices=["pyav", "torchcodec"], default="pyav")
    parser.add_argument("--dry-run", action="store_true", help="say how large it will be, and stop")
    values = parser.parse_args(arguments)
    names = ("split", "seed", "damaged", "skip_bad", "frames", "size", "max_frames", "resolution", "stride", "decoder")
    config = DataConfig(values.path, **{name: getattr(values, name) for name in names})
    folder, place = open_videos(config), cache_root() / "clips"
    recipe = Recipe(config.fit, config.most, config.damaged, config.decoder)
    videos = [video for split in SPLITS for video in folder.split(split)]
    left = missing(folder, videos, recipe, place)
    print(
        f"{len(left)} of {len(videos)} videos are to be decoded: about {in_words(estimate(folder.root, left, recipe))} "
        f"in {place}, whose disk has {in_words(room(place))} free"
    )
    if values.dry_run:
        return
    with _progress("decoding") as progress:
        data = load(config, lambda split, done, of: progress(done, of), _workers(values))
    print(*data.notices, sep="\n", end="\n" if data.notices else "")
    print(", ".join(f"{split} {len(getattr(data, split))} clips" for split in SPLITS))


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a folder, a list (.csv, .jsonl) or shards")
    parser.add_argument("--split", type=int, default=1, help="official split of UCF-101 or HMDB-51")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of validation groups")
    parser.add_argument("--damaged", choices=["keep", "refuse"], default="keep", help="videos with a few bad packets")
    parser.add_argument("--skip-bad", action="store_true", help="leave out videos that cannot be decoded")
    parser.add_argument("--workers", type=int, help="processes (default: one for each core)")


def _workers(values: Any) -> int:
    from vidrobust.data.parallel import cores

    if values.workers is not None and values.workers < 1:
        raise InputError(f"--workers must be at least 1, but is {values.workers}.")
    return values.workers or cores()


@contextmanager
def _progress(doing: str) -> Generator[Callable[[int, int], None]]:
    """A bar on a terminal; elsewhere silence, because what is printed is the result."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, emoji=False)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
