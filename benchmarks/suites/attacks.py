"""PGD against that of other libraries: same model, clips, ε, α and iterations."""

from __future__ import annotations

import copy
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.contestants import OWN, PEERS, Attack
from benchmarks.measuring import Stage, interleaved, peak_bytes, quartiles, ratios, release
from benchmarks.problems import Problem, problems
from vidrobust.fast.precision import has_bf16

MEMORY = {"torchattacks": 0.4}
AS_MANY_PASSES = (("ours", "bare, and a verdict"), ("ours, search alone", "bare"))
FEW = ("ours", "ours, search alone", "bare", "bare, and a verdict", "plain bfloat16", "torchattacks")
"""The contestants of a large problem: those that have a bound, and what these consist of."""


def measure(stage: Stage) -> None:
    """All problems of the device."""
    for problem in problems(stage.device, stage.tiny):
        if stage.wants(problem.name):
            with stage.trying(problem.name):
                _problem(stage, problem)


def _problem(stage: Stage, problem: Problem, steps: int = 10) -> None:
    model, clips, labels = problem.make(stage.device)
    runs: dict[str, Attack] = {}
    losses: dict[str, float] = {}
    peaks: dict[str, int] = {}
    for name, make in (OWN | PEERS).items():
        where = f"{problem.name}: {name}"
        if problem.few and name not in FEW:
            continue
        if name == "plain bfloat16" and not has_bf16(stage.device):
            stage.add(kind="not run", row=where, why="the device has no bfloat16, and emulates it many times slower")
            continue
        try:
            run = make(copy.deepcopy(model), steps)
        except ImportError as error:
            stage.add(kind="not run", row=where, why=f"not installed: {error}")
            continue
        with stage.trying(where):
            if stage.device.type == "cuda" or stage.tiny:  # in miniature, processes take longer than all else
                peaks[name] = peak_bytes(lambda run=run: run(clips, labels), stage.device)
            else:
                with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                    peaks[name] = alone.submit(_peak, problem, name, steps, torch.get_num_threads()).result()
            losses[name] = final_loss(model, run(clips, labels), labels)
            runs[name] = run
            stage.add(kind="memory", row=problem.name, contestant=name, bytes=peaks[name])
            if not name.startswith("bare"):
                stage.add(kind="loss", row=problem.name, contestant=name, loss=round(losses[name], 5))
    times = interleaved({name: lambda run=run: run(clips, labels) for name, run in runs.items()}, stage, warm=0)
    for name, taken in times.items():
        stage.add(kind="time", row=problem.name, contestant=name, seconds=quartiles(taken))
    for of in ("ours", "ours, search alone"):
        for to in times:
            if not to.startswith("ours") and of in times:
                ratio, bound = ratios(times, of, to), bound_of(problem, of, to)
                stage.add(kind="ratio", row=problem.name, what="time", of=of, to=to, ratio=ratio, bound=bound)
    for to, peak in peaks.items():
        if "ours" in peaks and not to.startswith(("ours", "bare")) and peak:
            ratio = quartiles([peaks["ours"] / peak])
            bound = MEMORY.get(to)
            stage.add(kind="ratio", row=problem.name, what="memory", of="ours", to=to, ratio=ratio, bound=bound)
    runs.clear()
    release(stage.device)


def bound_of(problem: Problem, of: str, to: str) -> float | None:
    """The bound of a ratio of times; over bare passes only where these are as many."""
    if to.startswith("bare"):
        return problem.bounds.get("bare") if (of, to) in AS_MANY_PASSES else None
    return problem.bounds.get(to)


def _peak(problem: Problem, name: str, steps: int, threads: int) -> int:
    """The peak of a contestant on a CPU, in a process where nobody has left memory for it to use."""
    torch.set_num_threads(threads)
    device = torch.device("cpu")
    model, clips, labels = problem.make(device)
    run = (OWN | PEERS)[name](model, steps)
    return peak_bytes(lambda: run(clips, labels), device)


@torch.no_grad()
def final_loss(model: nn.Module, clips: Tensor, labels: Tensor) -> float:
    """Mean float32 cross-entropy of the clips an attack returned."""
    return F.cross_entropy(model(clips), labels).item()
