"""Attacks with little memory: on a GPU less than they ask for, on a CPU the peak of the whole process."""

from __future__ import annotations

import resource
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from benchmarks.contestants import ALPHA, EPS, OWN
from benchmarks.measuring import Stage, peak_bytes, quartiles, release, seconds
from benchmarks.problems import problems
from vidrobust import PGD, Linf, Threat
from vidrobust.fast import view
from vidrobust.fast.memory import MemoryWarning
from vidrobust.fast.precision import Precision
from vidrobust.models.building import build

SHARES = (0.5, 0.25)


def measure(stage: Stage) -> None:
    """One clip of the full-size network on a CPU; on a GPU, R3D-18 with a share of the memory that it would take."""
    if stage.device.type == "cpu":
        _processes(stage)
    else:
        _shares(stage)


def _processes(stage: Stage) -> None:
    """PGD on one clip in a process of its own, as it is and as if no memory were free: then in segments."""
    model, frames, size, steps = ("r3d-small", 8, 16, 1) if stage.tiny else ("resnext3d-101", 64, 112, 2)
    for precision in ("auto",) if stage.tiny else ("auto", "exact"):
        for lean in (False, True):
            way = f"{precision}{', in segments' if lean else ''}"
            row = f"PGD-{steps} on one clip, {model}, {frames}×{size}×{size}, {way}"
            if stage.wants(row):
                with stage.trying(row), ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    taken, peak = pool.submit(_one_clip, model, frames, size, steps, precision, lean).result()
                    stage.add(kind="memory", row=row, contestant="whole process", bytes=peak)
                    stage.add(kind="time", row=row, contestant="ours", seconds=quartiles([taken]))


def _one_clip(model: str, frames: int, size: int, steps: int, precision: Precision, lean: bool) -> tuple[float, int]:
    """CPU seconds of an attack and the peak of the process's resident memory, torch and model included."""
    torch.set_num_threads(1)
    if lean:
        view.free_memory = lambda device: 0
    network = build(model, 101).eval()
    clips = torch.rand(1, 3, frames, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = network(clips).argmax(1)
    attack = PGD(Threat(Linf(), EPS), ALPHA, steps, precision=precision, keep="last")
    taken = seconds(lambda: attack(network, clips, labels), torch.device("cpu"))
    unit = 1 if sys.platform == "darwin" else 1024
    return taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _shares(stage: Stage) -> None:
    problem = problems(stage.device, stage.tiny)[1]
    name = f"{problem.name}, too little memory"
    if not stage.wants(name):
        return
    model, clips, labels = problem.make(stage.device)
    total = torch.cuda.get_device_properties(stage.device).total_memory
    wanted = None
    for contestant in ("ours", "ours, exact"):
        run = OWN[contestant](model, 3)
        whole = peak_bytes(lambda run=run: run(clips, labels), stage.device)
        wanted = run(clips, labels)
        for share in SHARES:
            where = f"{name}: {contestant}, {share:.0%} of {whole / 2**30:.2f} GiB"
            with stage.trying(where), warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", MemoryWarning)
                release(stage.device)
                limit = (torch.cuda.memory_reserved() + share * whole) / total
                try:
                    torch.cuda.set_per_process_memory_fraction(limit, torch.cuda.current_device())
                    taken = seconds(lambda run=run: run(clips, labels), stage.device)
                    found = run(clips, labels)
                finally:
                    torch.cuda.set_per_process_memory_fraction(1.0, torch.cuda.current_device())
                words = [str(word.message) for word in said if issubclass(word.category, MemoryWarning)]
                alike = (found - wanted).abs().le(1e-6).float().mean().item()
                value = {"seconds": round(taken, 4), "pixels alike": alike, "words": words}
                stage.add(kind="figure", row=where, what="went on", value=value)
