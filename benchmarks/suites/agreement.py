"""Robust accuracy under our attacks and those of other libraries, on the same inputs at equal budgets.

Each contestant runs in a process of its own, forked from one that has trained the network and imported the libraries,
so that its peak memory is its own. Times are CPU time. ``make test-peers`` runs this suite in an environment that has
the libraries.
"""

from __future__ import annotations

import multiprocessing
import re
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.gratings import trained_on_drifting_gratings, trained_on_gratings
from benchmarks.measuring import Stage
from benchmarks.peers import CLIPS_ALONE, CONTESTANTS, IMAGES_ALONE, NORMS, Contestant, import_all, titled

INPUTS = {"images": trained_on_gratings, "clips": trained_on_drifting_gratings}
EPS = {"images": {"Linf": 15 / 255, "L2": 1.15}, "clips": {"Linf": 13 / 255, "L2": 2.1}}
"""At which about half of the inputs are left."""

SQUARE = {"Linf": 1.75, "L2": 2.4}
"""Times as much ε for Square alone, which needs more for its few queries."""

COUNTS = {"images": 1000, "clips": 100}


class Outcome(NamedTuple):
    """What a contestant did: ``held`` one number an input, CPU seconds, and the peak over what was there, in MB."""

    held: Tensor
    seconds: float
    peak: float


def measure(stage: Stage) -> None:
    """Each attack under each norm, on images and on clips."""
    warnings.simplefilter("ignore")
    import_all()
    for inputs, made in INPUTS.items():
        model, x, y = made(20 if stage.tiny else COUNTS[inputs])
        for norm, eps in EPS[inputs].items():
            for attack, contestants in CONTESTANTS.items():
                if attack in (IMAGES_ALONE if inputs == "clips" else CLIPS_ALONE):
                    continue
                row, size = f"{attack}, {norm}", eps * (SQUARE[norm] if attack.startswith("Square") else 1)
                if stage.wants(f"{row}, {inputs}"):
                    found = {name: in_a_process(one, norm, size, model, x, y) for name, one in contestants.items()}
                    add(stage, row, f"{len(x)} {inputs}", found)


def add(stage: Stage, row: str, inputs: str, found: dict[str, Outcome | str]) -> None:
    """A line of the table for each contestant, ours first; differences are paired by input."""
    mine = found["vidrobust"]
    assert isinstance(mine, Outcome), mine
    for library, one in found.items():
        if isinstance(one, str):
            stage.add(kind="not run", row=f"{row}, {inputs}", why=f"{library}: {one}")
            continue
        value = {
            "library": titled(library),
            f"robust accuracy (%), {inputs}": with_error(one.held),
            "ours less theirs": "" if one is mine else with_error(mine.held - one.held, "+"),
            "CPU seconds": f"{one.seconds:.1f}",
            "peak (MB)": f"{one.peak:.0f}",
        }
        stage.add(kind="figure", row=row, what="table", value=value)


def with_error(values: Tensor, sign: str = "") -> str:
    """A mean in percent with its standard error.

    >>> with_error(torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0]))
    '60.00 ± 24.49'
    """
    return f"{100 * values.mean():{sign}.2f} ± {100 * values.std() / len(values) ** 0.5:.2f}"


def in_a_process(*work: Any) -> Outcome | str:
    """The outcome of a contestant in a forked process, or why there is none."""
    context = multiprocessing.get_context("fork")
    mine, other = context.Pipe(duplex=False)

    def run() -> None:
        try:
            found = contested(*work)
            other.send((found.held.tolist(), found.seconds, found.peak))
        except Exception as error:  # noqa: BLE001 - a contestant that cannot run is a line of the table
            text = " ".join(str(error).split())
            other.send(f"{type(error).__name__}: {text}"[:90])

    process = context.Process(target=run)
    process.start()
    other.close()  # so that a process that dies ends the wait
    try:
        answer = mine.recv()
    except EOFError:
        answer = "its process died"
    process.join()
    return answer if isinstance(answer, str) else Outcome(torch.tensor(answer[0]), *answer[1:])


def contested(contestant: Contestant, norm: str, eps: float, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
    """Run a contestant once. What leaves the budget does not count as broken."""
    torch.set_num_threads(1)
    attack = contestant(norm, eps)
    attack(model, x[:4], y[:4])  # what is made once
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    before, begun = resident("VmRSS"), time.process_time()
    moved = attack(model, x, y).detach()
    seconds = time.process_time() - begun
    with torch.no_grad():
        held = model(moved).argmax(1) == y
    held |= NORMS[norm].size((moved - x).flatten(1)) > eps * (1 + 1e-4)
    return Outcome(held.double(), seconds, resident("VmHWM") - before)


def resident(field: str) -> float:
    """Of this process, in MB: VmRSS is now, VmHWM the most since it was reset."""
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024
