"""A whole study from the command to the page: time, memory, the first figure, and how near the dry run's estimate was.

With ``--before`` the study of another checkout takes turns with this one: before, now, before, now, …
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.measuring import Stage, ending, ratios
from benchmarks.results import ROOT, revision

ROUNDS = 3
"""At most, where two checkouts take turns; else there is one."""


def measure(stage: Stage) -> None:
    """With the data at hand, then with an empty cache."""
    stage.clock, profile = "wall", stage.options["profile"]
    workers = stage.options["workers"] or os.cpu_count() or 1
    for row, cold in ((f"the {profile} study", False), (f"the {profile} study, from an empty cache", True)):
        if stage.wants(row):
            with stage.trying(row):
                _in_turn(stage, row, StudyRun(stage.tiny, profile, workers, cold))


def _in_turn(stage: Stage, row: str, asked: StudyRun) -> None:
    """The study of each checkout once a round."""
    before = stage.options["before"]
    trees = {"now": ROOT} if before is None else {"before": before.resolve(), "now": ROOT}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    for number in range(1 if before is None else min(stage.rounds, ROUNDS)):
        if number and stage.left <= 0:
            break
        for name, tree in trees.items():
            one = replace(asked, tree=tree)
            load = os.getloadavg()[0]  # before the dry run, which is a load itself
            cost = against(one.estimate(), one.measured()) | {"load before": round(load, 2)}
            found[name].append(cost)
            about = {} if before is None else {"checkout": name, "revision": revision(tree), "round": number + 1}
            stage.add(kind="figure", row=row, what="cost", value=about | cost)
    if before is not None:
        stage.add_times(row, _each(found, "wall seconds"), {("now", "before"): None})
        ratio = ratios(_each(found, "CPU seconds"), "now", "before")
        stage.add(kind="ratio", row=row, what="CPU time", of="now", to="before", ratio=ratio, bound=None)


def _each(found: dict[str, list[dict[str, Any]]], what: str) -> dict[str, list[float]]:
    return {name: [cost[what] for cost in costs] for name, costs in found.items()}


def against(minutes: float, cost: dict[str, Any]) -> dict[str, Any]:
    """What a study took beside the minutes that its dry run had estimated.

    >>> against(2.0, {"wall seconds": 108.0})
    {'wall seconds': 108.0, 'estimated minutes': 2.0, 'wall over estimate': 0.9}
    """
    over = round(cost["wall seconds"] / 60 / minutes, 3)
    return {**cost, "estimated minutes": minutes, "wall over estimate": over}


@dataclass(frozen=True)
class StudyRun:
    """A study on a fresh run directory.

    Attributes:
        tiny: run the study of the tests in place of the profile's.
        profile: of the study.
        workers: jobs at once.
        cold: start with an empty cache.
        engine: runs the jobs.
        tree: the checkout whose study it is.
    """

    tiny: bool
    profile: str
    workers: int
    cold: bool = False
    engine: str = "local"
    tree: Path = ROOT

    @property
    def command(self) -> list[str]:
        """Without the run directory."""
        config = ["--config", str(ROOT / "tests" / "helpers" / "tiny.yaml")]
        size = config if self.tiny else ["--profile", self.profile]
        return [
            sys.executable, "-m", "vidrobust", "study", *size,
            "--workers", str(self.workers), "--engine", self.engine,
        ]  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes."""
        return {**os.environ, "PYTHONPATH": str(self.tree / "src"), "OMP_NUM_THREADS": "1"}

    def estimate(self) -> float:
        """The minutes that the dry run prints; it neither makes data nor fills a cache.

        Raises:
            RuntimeError: it fails or prints none.
        """
        said = subprocess.run([*self.command, "--dry-run"], env=self.environment, capture_output=True, text=True)
        found = re.search(r"about ([\d.]+) minutes", said.stderr + said.stdout)
        if said.returncode or found is None:
            raise RuntimeError(f"the dry run ended with {said.returncode}: {(said.stderr + said.stdout)[-300:]!r}")
        return float(found[1])

    def measured(self) -> dict[str, Any]:
        """Run it.

        Returns:
            Wall and CPU seconds, the largest resident memory in MiB of the process and its workers together and the
            seconds until the page has a figure, None if it never has one (both looked at twice a second), and the
            page's size in MB.

        Raises:
            RuntimeError: the study fails.
        """
        with tempfile.TemporaryDirectory() as folder:
            run, environment = Path(folder) / "run", self.environment
            if self.cold:
                environment["VIDROBUST_CACHE"] = str(Path(folder) / "cache")
            before, started = _cpu_seconds(), time.perf_counter()
            process = subprocess.Popen([*self.command, "--out", str(run)], env=environment, stdout=subprocess.DEVNULL)
            with ending(process):
                peak, first = _watched(process, run / "report.html", started)
            return {
                "workers": self.workers,
                "wall seconds": round(time.perf_counter() - started, 1),
                "first figure, seconds": None if first is None else round(first, 1),
                "CPU seconds": round(_cpu_seconds() - before, 1),
                "peak MiB": round(peak / 2**20),
                "page MB": round((run / "report.html").stat().st_size / 1e6, 2),
            }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watched(process: subprocess.Popen[bytes], page: Path, started: float) -> tuple[int, float | None]:
    """Wait for a process: the most memory that it and all below it held, the seconds until its page had a figure."""
    peak, first = 0, None
    while True:
        ended = process.poll() is not None
        if first is None and has_figure(page):
            first = time.perf_counter() - started
        if ended:
            break
        peak = max(peak, sum(map(_resident, _family(process.pid))))
        time.sleep(0.5)
    if process.returncode:
        raise RuntimeError(f"the study ended with {process.returncode}")
    return peak, first


def has_figure(page: Path) -> bool:
    """Does a page, if it is there, show a figure?"""
    try:
        return b"<figure data-figure=" in page.read_bytes()
    except FileNotFoundError:
        return False


def _family(pid: int) -> list[int]:
    """A process and all below it (Linux)."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text(encoding="ascii").split())
            except OSError:  # it ended meanwhile
                continue
    return found


def _resident(pid: int) -> int:
    """Bytes that a process holds alone, with its share of what several map (Linux)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:  # it ended meanwhile
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
