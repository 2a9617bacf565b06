"""One of the two revisions: its checkout, and the processes in which it does its part of the work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from compared.commands import COMMANDS, SMALL
from compared.differences import Compared, of_cases, of_folders

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parents[1] / "docs" / "example-run"
SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",  # a GPU sums in another order each time
    "PYTHONHASHSEED": "0",
    "NO_COLOR": "1",
    "COLUMNS": "200",
}
AT_ONCE = 2
"""Processes beside each other, each on one thread."""


RUNNING: set[subprocess.Popen[bytes]] = set()
STOPPED = threading.Event()
"""The processes at work, which must not outlive this one, and whether no more are to be started."""


class WorkError(Exception):
    """A revision cannot do what the comparison rests on."""


def is_checkout(name: str) -> bool:
    """Is it a folder with a checkout, rather than a revision?"""
    return (Path(name) / "src" / "vidrobust").is_dir()


@contextmanager
def checkout(name: str, place: Path) -> Iterator[Path]:
    """The folder that holds the package of a revision, or a copy of that of a checkout, which may change meanwhile."""
    if is_checkout(name):
        shutil.copytree(Path(name) / "src", place / "src", ignore=shutil.ignore_patterns("__pycache__"))
        yield place / "src"
        return
    git("worktree", "add", "--quiet", "--detach", str(place), name)
    try:
        yield place / "src"
    finally:
        git("worktree", "remove", "--force", str(place))


def git(*arguments: str) -> str:
    """What git prints, in the repository around the current folder.

    Raises:
        WorkError: git refuses.
    """
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise WorkError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def run(command: list[str], **how: Any) -> int:
    """The exit code of a command."""
    if STOPPED.is_set():
        return 143
    process = subprocess.Popen(command, **how)
    RUNNING.add(process)
    try:
        return process.wait()
    finally:
        RUNNING.discard(process)


@contextmanager
def nothing_left() -> Iterator[None]:
    """End what still runs where this process is told to end, in whichever thread it waits."""
    try:
        yield
    except BaseException:
        STOPPED.set()
        for process in list(RUNNING):
            process.terminate()
        raise


@dataclass(frozen=True)
class Side:
    """A revision at work.

    The two work in a folder of the same path, one after the other, as paths are part of what names a job.

    Attributes:
        letter: A or B.
        sources: the folder that holds the package.
        shared: the folder of both, with the data set and the trained model that are given to both.
    """

    letter: str
    sources: Path
    shared: Path

    @property
    def now(self) -> Path:
        """Where it works."""
        return self.shared / "now"

    @property
    def done(self) -> Path:
        """Where its work lies afterwards."""
        return self.shared / self.letter

    @property
    def data(self) -> Path:
        """A few videos of the embedded data set."""
        return self.shared / "data"

    @property
    def start(self) -> Path:
        """The run of a model that was trained on them."""
        return self.shared / "start"

    def python(self, *arguments: str | Path, log: str, at: str = ".") -> str | None:
        """Run Python on the sources; returns what was wrong, if it fails."""
        for folder in (self.now / at, self.now / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        out, err = self.now / "logs" / f"{log}.out", self.now / "logs" / f"{log}.err"
        own = {"PYTHONPATH": str(self.sources), "VIDROBUST_CACHE": str(self.now / "cache")}
        command = [sys.executable, *map(str, arguments)]
        with out.open("wb") as printed, err.open("wb") as told:
            code = run(command, cwd=self.now / at, env=os.environ | SETTINGS | own, stdout=printed, stderr=told)
        if code == 0:
            return None
        last = err.read_text("utf-8", "replace").strip().splitlines()[-5:]
        return "\n    ".join([f"{self.letter}: {log} ends with exit code {code}", *last])

    def vidrobust(self, *arguments: str | Path, log: str, at: str = ".") -> str | None:
        """Run its command line."""
        return self.python("-m", "vidrobust", *arguments, log=log, at=at)

    def script(self, name: str, part: str) -> str | None:
        """Run a file of this folder on the data and the trained model."""
        return self.python(HERE / name, self.data, self.start, self.now / part, log=part)

    def check_origin(self) -> None:
        """See that the package is imported from this checkout, and not from where it is installed.

        Raises:
            WorkError: it is not.
        """
        wrong = self.python("-c", "import vidrobust; print(vidrobust.__file__)", log="origin")
        found = (self.now / "logs" / "origin.out").read_text().strip()
        if wrong or not Path(found).is_relative_to(self.sources):
            raise WorkError(wrong or f"{self.letter} should be imported from {self.sources}, but is from {found}.")

    def prepare(self) -> None:
        """Make what both are given: a small part of the data set that this side has rendered, and a model.

        Raises:
            WorkError: it fails.
        """
        few(self.now / "data" / "motion", self.data)
        asked = ("--data", self.data, "--epochs", "12", "--batch", "16", "--out", self.start, "--watch.every", "0")
        if wrong := self.vidrobust("train", *asked, *SMALL[:4], log="start"):
            raise WorkError(wrong)


PHOTOGRAPHS = 16
"""Groups of the embedded data set that are photographs; what is rendered beside them has later numbers."""


def few(whole: Path, part: Path) -> None:
    """The first two videos of each class over each photograph, with lists of their own."""
    shutil.copytree(whole, part)
    for video in part.rglob("*.avi"):
        _, _, group, clip = video.stem.split("_")
        if int(group[1:]) > PHOTOGRAPHS or int(clip[1:]) > 2:
            video.unlink()
    for path in part.glob("*/*list01.txt"):
        lines = path.read_text("utf-8").splitlines()
        kept = [line for line in lines if (part / line.split()[0]).exists()]
        path.write_text("".join(f"{line}\n" for line in kept), "utf-8")


# --------------------------------------------------------------------------------------------------------------- parts


def render(side: Side) -> list[str | None]:
    """Make the embedded data set."""
    return [side.vidrobust("data", "make", "motion", log="data", at="data")]


def study(side: Side) -> list[str | None]:
    """A whole study."""
    asked = ("--config", HERE / "study.yaml", "--data", side.data, "--workers", "2", "--out", side.now / "study")
    return [side.vidrobust("study", *asked, log="study")]


def commands(side: Side) -> list[str | None]:
    """The verbs of the command line, and what they print."""
    printed = side.now / "commands" / "printed"
    printed.mkdir(parents=True)
    shutil.copytree(EXAMPLE, side.now / "commands" / "example")
    wrong = []
    for name, command in COMMANDS.items():
        texts = [text.format(data=side.data, start=side.start) if text[0] == "{" else text for text in command]
        wrong.append(side.vidrobust(*texts, log=name, at="commands"))
        shutil.copy(side.now / "logs" / f"{name}.out", printed / f"{name}.txt")
    return wrong


class Part(NamedTuple):
    """One part of the work: what a side does, and how the two folders that come of it are compared."""

    work: Callable[[Side], list[str | None]]
    compare: Callable[[Path, Path], Iterator[Compared]]


PARTS = {
    "data": Part(render, of_folders),
    "study": Part(study, of_folders),
    "training": Part(lambda side: [side.script("trainings.py", "training")], of_cases),
    "attacks": Part(lambda side: [side.script("attacks.py", "attacks")], partial(of_cases, row="clip")),
    "commands": Part(commands, of_folders),
}
"""By name; each works in a folder of that name."""


def work(side: Side, parts: Sequence[str]) -> list[str]:
    """Do the parts, and return what went wrong."""
    wrong: list[str | None] = []
    with nothing_left():
        if "data" in parts or not side.data.exists():
            wrong += render(side)
        if not side.start.exists():
            side.prepare()
    with ThreadPoolExecutor(AT_ONCE) as pool, nothing_left():
        results = [pool.submit(PARTS[part].work, side) for part in parts if part != "data"]
        wrong += [text for result in results for text in result.result()]
    side.now.rename(side.done)
    return [text for text in wrong if text]
