"""Wall time, CPU time and memory of a whole study, from the command to the page, and from an empty cache."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import Stage
from benchmarks.results import ROOT


def measure(stage: Stage) -> None:
    """With the data at hand, then with an empty cache."""
    stage.clock, profile = "wall", stage.options["profile"]
    workers = stage.options["workers"] or os.cpu_count() or 1
    for row, cold in ((f"the {profile} study", False), (f"the {profile} study, from an empty cache", True)):
        if stage.wants(row):
            with stage.trying(row):
                found = run_study(stage.tiny, profile, workers, cold)
                stage.add(kind="figure", row=row, what="cost", value=found)


def run_study(tiny: bool, profile: str, workers: int, cold: bool = False, engine: str = "local") -> dict[str, float]:
    """Run a study on a fresh run directory.

    Args:
        tiny: run the study of the tests in place of the profile's.
        profile: of the study.
        workers: jobs at once.
        cold: start with an empty cache.
        engine: runs the jobs.

    Returns:
        Wall and CPU seconds, the largest resident memory in MiB of the process and its workers together (sampled twice
        a second), the load of the machine before the start, and the page's size in MB.
    """
    with tempfile.TemporaryDirectory() as folder:
        run, environment = Path(folder) / "run", {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        if cold:
            environment["VIDROBUST_CACHE"] = str(Path(folder) / "cache")
        size = ["--config", str(ROOT / "tests" / "helpers" / "tiny.yaml")] if tiny else ["--profile", profile]
        command = [sys.executable, "-m", "vidrobust", "study", *size, "--workers", str(workers), "--engine", engine]
        load, before, started = os.getloadavg()[0], _cpu_seconds(), time.perf_counter()
        peak = _peak_bytes(subprocess.Popen([*command, "--out", str(run)], env=environment, stdout=subprocess.DEVNULL))
        return {
            "workers": workers,
            "wall seconds": round(time.perf_counter() - started, 1),
            "CPU seconds": round(_cpu_seconds() - before, 1),
            "peak MiB": round(peak / 2**20),
            "load before": round(load, 2),
            "page MB": round((run / "report.html").stat().st_size / 1e6, 2),
        }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_bytes(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; the most memory that it and all below it held together."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_resident, _family(process.pid))))
        time.sleep(0.5)
    if process.returncode:
        raise RuntimeError(f"the study ended with {process.returncode}")
    return peak


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
