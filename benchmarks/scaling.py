"""What a second process brings: to one training by torchrun, and to a study of many jobs.

    python benchmarks/scaling.py training    # AT(i=5) at the same batch by 1 and 2 processes of one thread
    python benchmarks/scaling.py study       # the same study with 1 and 2 workers of one thread; --engine ray|slurm;
                                             # what it does not know goes to `vidrobust study`, such as --policies '[…]'

The sizes are run in turn, round after round, on fresh directories and decoded data; the figure is the ratio of wall
times within each round. Of a training the epochs after the first are counted, as its start is paid once; of a study
the whole command, from start to page. Two cores rarely give twice the speed of one, so beside a training stands
`apart`: the speed-up of two processes that train on half of the clips each and exchange nothing. Quote it only from a
machine with nothing else to do. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from vidrobust.data.dataset import DataConfig, load
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World, process_group
from vidrobust.training.trainer import new_training


def main() -> None:
    """Measure and print; or be one of the processes that are measured."""
    options = arguments()
    if options.what == "epochs":
        epochs(options)
        return
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    measured = {"training": training, "study": study}[options.what]
    load_before = os.getloadavg()[0]
    rounds = [measured(options, one_thread) for _ in range(options.rounds)]
    found = {
        "what": " ".join(sys.argv[1:]),
        "seconds": [{name: round(seconds, 2) for name, seconds in times.items()} for times in rounds],
        "speed_up": {name: summary([times["one"] / times[name] for times in rounds]) for name in list(rounds[0])[1:]},
        "load_before": round(load_before, 2),
    }
    print(json.dumps(found, indent=1))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["training", "study", "epochs"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="r3d-small")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--profile", default="quick", help="of the study")
    parser.add_argument("--engine", default="local", choices=["local", "ray", "slurm"])
    options, options.more = parser.parse_known_args()
    if options.more and options.what != "study":
        parser.error(f"unknown options: {' '.join(options.more)}")
    return options


def training(options: argparse.Namespace, environment: dict[str, str]) -> dict[str, float]:
    """Seconds of the epochs after the first: by one process, by two, and by two that do half of it each, apart."""
    return {
        "one": sum(finished(trainer(options, 1, 1, environment))),
        "two": sum(finished(trainer(options, 2, 1, environment))),
        "apart": max(map(sum, map(finished, [trainer(options, 1, 2, environment) for _ in range(2)]))),
    }


def trainer(options: argparse.Namespace, processes: int, share: int, environment: dict[str, str]) -> Any:
    """Processes that train on a share of the clips."""
    size = {"batch": options.batch // share, "clips": options.clips // share}
    asked = {name: getattr(options, name) for name in ("model", "frames", "size", "epochs")} | size
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *torchrun, __file__, "epochs"]
    command += [text for name, value in asked.items() for text in (f"--{name}", str(value))]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def finished(process: Any) -> list[float]:
    """Seconds of each epoch after the first."""
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    return json.loads(out.splitlines()[-1])[1:]


def epochs(options: argparse.Namespace) -> None:
    """One of the processes: trains, and the first prints the seconds of each epoch."""
    with process_group() as world:
        found = trained(options, world)
        if world.first:
            print(json.dumps(found), flush=True)


def trained(options: argparse.Namespace, world: World) -> list[float]:
    """Seconds of each epoch."""
    size = {"frames": options.frames, "size": options.size, "max_frames": max(16, options.frames)}
    data = load(DataConfig(train=options.clips, val=20, test=20, **size))
    config = FitConfig(epochs=options.epochs, batch=options.batch)
    model, policy = build(options.model, len(data.classes)), parse_policy("AT(ε=8,α=2,i=5)")
    running = new_training(model, data.train, policy, config, 0, lambda eps, steps: 2.0, world)
    found = []
    for _ in range(options.epochs):
        world.wait()
        started = time.perf_counter()
        running.epoch(lambda gradients: None, lambda: None)
        world.wait()
        found.append(time.perf_counter() - started)
    return found


def study(options: argparse.Namespace, environment: dict[str, str]) -> dict[str, float]:
    """Seconds of the whole command with one worker and with two."""
    return {"one": studied(options, 1, environment), "two": studied(options, 2, environment)}


def studied(options: argparse.Namespace, workers: int, environment: dict[str, str]) -> float:
    """Seconds of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "vidrobust", "study", "--profile", options.profile, "--out", f"{folder}/run"]
        command += ["--engine", options.engine, "--workers", str(workers), *options.more]
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        rows = (Path(folder) / "run" / "jobs").glob("*/timings.jsonl")
        busy = sum(json.loads(line)["seconds"] for file in rows for line in file.read_text().splitlines())
    print(f"{workers} workers: {seconds:.1f} s; the jobs took {busy:.1f} s altogether", file=sys.stderr)
    return seconds


def summary(numbers: list[float]) -> dict[str, float]:
    """Median and range."""
    return {
        "median": round(statistics.median(numbers), 3),
        "min": round(min(numbers), 3),
        "max": round(max(numbers), 3),
    }


if __name__ == "__main__":
    main()
