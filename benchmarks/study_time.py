"""Wall time, CPU time and memory of a whole study, each measured on a fresh run directory.

    python benchmarks/study_time.py [--profile quick|full] [--workers N] [--cold]

Prints one JSON line: wall and CPU seconds, the largest resident memory of the process and its workers together (sampled
twice a second), and the load of the machine before the start. With ``--cold`` the embedded data set is made and decoded
anew. A busy neighbour slows everything: quote CPU seconds beside wall seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Measure one study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--profile", default="quick", choices=["quick", "full"])
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--cold", action="store_true", help="with an empty cache")
    values = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(values.profile, values.workers, values.cold, Path(folder))))


def measure(profile: str, workers: int, cold: bool, folder: Path) -> dict[str, object]:
    """Run a study in ``folder`` and say what it cost."""
    environment = dict(os.environ)
    if cold:
        environment["VIDROBUST_CACHE"] = str(folder / "cache")
    command = [sys.executable, "-m", "vidrobust", "study", "--profile", profile, "--workers", str(workers)]
    load, started = os.getloadavg()[0], time.perf_counter()
    process = subprocess.Popen([*command, "--out", str(folder / "run")], env=environment, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(resident, family(process.pid))))
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(process.returncode)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "profile": profile,
        "workers": workers,
        "cold": cold,
        "wall_seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_resident_mib": round(peak / 2**20),
        "load_before": round(load, 2),
        "page_mb": round((folder / "run" / "report.html").stat().st_size / 1e6, 2),
    }


def family(pid: int) -> list[int]:
    """A process and all below it (Linux)."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:  # it ended meanwhile
                continue
    return found


def resident(pid: int) -> int:
    """Bytes of memory a process holds alone, its share of what is mapped by several counted in part (Linux)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended meanwhile
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
