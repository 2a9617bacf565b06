"""What a second process brings: to one training by torchrun, and to a study of many jobs. Wall time.

Two cores rarely give twice the speed of one. `apart` shows what the machine allows: two processes that train on half of
the clips each and exchange nothing. A training is timed from its second epoch on, a study from the command to the page.
Quote the result only from a machine with nothing else to do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.measuring import Stage, ending
from benchmarks.results import ROOT
from benchmarks.suites.study import StudyRun

BOUND = round(1 / 1.8, 3)
"""The most that two processes may take of the time of one."""

CASES: dict[str, dict[str, Any]] = {
    "r3d-small, batch 32": {"model": "r3d-small", "frames": 8, "size": 24, "batch": 32, "clips": 320, "epochs": 4},
    "r3d-small, batch 128": {"model": "r3d-small", "frames": 8, "size": 24, "batch": 128, "clips": 512, "epochs": 3},
    "R3D-18 of width 16, batch 32": {
        "model": "r3d-18(width=16)",
        "frames": 16,
        "size": 56,
        "batch": 32,
        "clips": 96,
        "epochs": 3,
    },
}
TINY = {"r3d-small, batch 8": {"model": "r3d-small", "frames": 4, "size": 16, "batch": 8, "clips": 32, "epochs": 2}}


def measure(stage: Stage) -> None:
    """Trainings, then the study."""
    stage.clock = "wall"
    rounds = min(stage.rounds, 3)
    for case, asked in (TINY if stage.tiny else CASES).items():
        row = f"AT(i=5), epochs by two processes, {case}"
        if stage.wants(row):
            with stage.trying(row):
                times = _in_turn([_training(asked) for _ in range(rounds)])
                stage.add_times(row, times, {("two", "one"): BOUND, ("apart", "one"): None})
    profile, engine = stage.options["profile"], stage.options["engine"]
    row = f"the {profile} study by two workers" + (f" of {engine}" if engine != "local" else "")
    if stage.wants(row):
        with stage.trying(row):
            studies = [_studies(stage.tiny, profile, engine) for _ in range(1 if stage.tiny else rounds)]
            stage.add_times(row, _in_turn(studies), {("two", "one"): BOUND})


def _in_turn(rounds: list[dict[str, float]]) -> dict[str, list[float]]:
    """Seconds of each contestant, from those of each round."""
    return {name: [times[name] for times in rounds] for name in rounds[0]}


def _studies(tiny: bool, profile: str, engine: str) -> dict[str, float]:
    """Seconds of a study with one worker, and with two."""
    workers = {"one": 1, "two": 2}
    return {
        name: StudyRun(tiny, profile, count, engine=engine).measured()["wall seconds"]
        for name, count in workers.items()
    }


def _training(asked: dict[str, Any]) -> dict[str, float]:
    """Seconds of the epochs after the first: by one process, by two, and by two that do half of it each, apart."""
    half = asked | {"batch": asked["batch"] // 2, "clips": asked["clips"] // 2}
    return {"one": _seconds(_started(asked, 1)), "two": _seconds(_started(asked, 2)), "apart": _together(half, half)}


def _together(*asked: dict[str, Any]) -> float:
    """Seconds of the slowest of some trainings that run at once."""
    processes = [_started(one, 1) for one in asked]
    with ending(*processes):
        return max(map(_seconds, processes))


def _started(asked: dict[str, Any], processes: int) -> subprocess.Popen[str]:
    """Torchrun with so many processes of one thread."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["-m", "benchmarks.epochs", json.dumps(asked)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _seconds(process: subprocess.Popen[str]) -> float:
    """The sum of its epochs after the first."""
    with ending(process):
        out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a training process ended with {process.returncode}")
    return sum(json.loads(out.splitlines()[-1])[1:])
