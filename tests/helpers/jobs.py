"""Jobs whose workers are killed at a chosen moment: in a module that worker processes can import."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidrobust.study.engines import local
from vidrobust.training.stopping import terminating


@dataclass(frozen=True)
class Meeting:
    """Ends when the other worker is at one too."""

    folder: Path
    name: str
    gradients: int = 3

    @property
    def title(self) -> str:
        return self.name

    def run(self, place: Any) -> list[dict[str, Any]]:
        (self.folder / f"{self.name}.pid").write_text(str(os.getpid()))
        wait_for(self.folder / "first.pid", self.folder / "second.pid")
        return []


@dataclass(frozen=True)
class Placed(Meeting):
    """Says which GPU it sees."""

    def run(self, place: Any) -> list[dict[str, Any]]:
        (self.folder / f"{self.name}.gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
        return super().run(place)


@dataclass(frozen=True)
class Training(Meeting):
    """Is asked by SIGTERM to save, as a training is, and goes on until there is a file."""

    def run(self, place: Any) -> list[dict[str, Any]]:
        with terminating():
            (self.folder / f"{self.name}.at-work").write_text(str(os.getpid()))
            wait_for(self.folder / "go")
        return []


@dataclass(frozen=True)
class Counting(Meeting):
    """Is killed while it counts gradients, the first time."""

    def run(self, place: Any) -> list[dict[str, Any]]:
        if not (self.folder / "killed").exists():
            place.progress(2)
            (self.folder / "killed").touch()
            local._spent.get_lock().acquire()
            os.kill(os.getpid(), signal.SIGKILL)
        return []


def wait_for(*files: Path) -> None:
    while not all(file.exists() and file.read_text() for file in files):
        time.sleep(0.02)
