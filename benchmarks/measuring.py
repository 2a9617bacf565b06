"""How a benchmark measures: synchronised, warmed up, interleaved, by median and quartiles, with peak memory."""

from __future__ import annotations

import gc
import statistics
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]
Work = Callable[[], object]


@contextmanager
def ending(*processes: subprocess.Popen[Any]) -> Iterator[None]:
    """Inside, processes run; those that still do where an error or Ctrl-C leaves it are ended, with their workers."""
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
            process.wait()


@dataclass
class Stage:
    """Where and how long a suite measures, and what it has found.

    Attributes:
        device: ``cuda`` or ``cpu``.
        rounds: how often each contestant runs, in turn with the others.
        tiny: miniature sizes, which show that all of it works and nothing of speed.
        rows: patterns that the names of rows must contain; empty: all.
        seconds: after so long, nothing more is begun.
        found: the rows so far.
        listener: called after each new row.
        clock: ``wall`` or ``process``, what the seconds are of.
        options: those of the suite alone, by name (``benchmarks.command.OPTIONS``).
    """

    device: torch.device
    rounds: int = 7
    tiny: bool = False
    rows: tuple[str, ...] = ()
    seconds: float = float("inf")
    found: list[Row] = field(default_factory=list)
    listener: Callable[[Row], None] = lambda row: None
    began: float = field(default_factory=time.monotonic)
    clock: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = self.clock or ("wall" if self.device.type == "cuda" else "process")

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self.began)

    def add(self, **row: Any) -> None:
        """Take down a row."""
        self.found.append(row)
        self.listener(row)

    def add_times(
        self, row: str, times: dict[str, list[float]], bounds: Mapping[tuple[str, str], float | None]
    ) -> None:
        """Take down the time of each contestant, and for each pair the ratio within rounds beside its bound."""
        for contestant, taken in times.items():
            self.add(kind="time", row=row, contestant=contestant, seconds=quartiles(taken))
        for (of, to), bound in bounds.items():
            if of in times and to in times:
                ratio = ratios(times, of, to)
                self.add(kind="ratio", row=row, what="time", of=of, to=to, ratio=ratio, bound=bound)

    def wants(self, name: str) -> bool:
        """Is this row asked for, and is there time?"""
        if self.rows and not any(part in name for part in self.rows):
            return False
        if self.left <= 0:
            self.add(kind="not run", row=name, why="no time left")
            return False
        return True

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """What fails inside is taken down, and the suite goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the other rows are still worth measuring
            lines = traceback.format_exc().strip().splitlines()
            self.add(kind="not run", row=name, why=f"{type(error).__name__}: {error}"[:500], trace=lines[-12:])
        finally:
            release(self.device)


def release(device: torch.device) -> None:
    """Let go of what nothing uses."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clock(device: torch.device) -> float:
    """Seconds: of the wall beside a GPU, of this process on a CPU, which a busy neighbour slows less."""
    return time.perf_counter() if device.type == "cuda" else time.process_time()


def seconds(work: Work, device: torch.device) -> float:
    """What one call takes, from a device at rest to a device at rest."""
    synchronise(device)
    start = clock(device)
    work()
    synchronise(device)
    return clock(device) - start


SPENT = 20.0
"""Seconds after which no further round of a row begins, if there were two."""


def interleaved(runs: Mapping[str, Work], stage: Stage, warm: int = 2) -> dict[str, list[float]]:
    """Seconds of each contestant in each round, all of them once a round; fewer rounds where they take long."""
    for run in runs.values():
        for _ in range(warm):
            run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    began = time.monotonic()
    for number in range(stage.rounds):
        if number >= 2 and (stage.left <= 0 or time.monotonic() - began > SPENT):
            break
        for name, run in runs.items():
            times[name].append(seconds(run, stage.device))
    return times


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles, to five digits."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    return {
        "median": float(f"{middle:.5g}"),
        "q1": float(f"{low:.5g}"),
        "q3": float(f"{high:.5g}"),
        "rounds": len(values),
    }


def ratios(times: dict[str, list[float]], of: str, to: str) -> dict[str, float]:
    """One contestant's time over another's within each round."""
    return quartiles([one / other for one, other in zip(times[of], times[to], strict=True)])


def peak_bytes(run: Work, device: torch.device) -> int:
    """The most that the first two calls hold over what was held before them.

    On a GPU what PyTorch has allocated; what a captured graph keeps is allocated when it is made, which is in these
    calls. On a CPU the resident memory of the process (Linux).
    """
    release(device)
    if device.type == "cuda":
        synchronise(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        run()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - before
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts again from what is held now
    held = _resident("VmRSS")
    run()
    return max(0, _resident("VmHWM") - held)


def _resident(field_name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field_name))
