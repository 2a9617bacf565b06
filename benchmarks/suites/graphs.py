"""One input gradient of the fast copy, started kernel by kernel, as CUDA graphs, and compiled by torch.compile."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measuring import Stage, interleaved, peak_bytes, quartiles, ratios
from benchmarks.problems import Problem, problems
from vidrobust.fast.graphs import Graphs
from vidrobust.fast.inference import InferenceCopy, current_copy


def measure(stage: Stage) -> None:
    """The small network and R3D-18."""
    for problem in problems(stage.device, stage.tiny)[:2]:
        name = f"an input gradient, {problem.name.removeprefix('PGD-10, ')}"
        if stage.wants(name):
            with stage.trying(name):
                _problem(stage, problem, name)


def _problem(stage: Stage, problem: Problem, name: str) -> None:
    model, clips, labels = problem.make(stage.device)
    model.requires_grad_(False)
    call = current_copy(model, clips)
    assert call is not None
    found: dict[str, Callable[[Tensor], Tensor]] = {"plain": call}
    if stage.device.type == "cuda":
        graphs = Graphs()
        found["graphs"] = lambda point: graphs(call, point)
        found["plain, kernels searched"] = call
        for mode in ("reduce-overhead", "default"):
            found[f"compiled, {mode}"] = _compiled(call, mode)
    runs: dict[str, Callable[[], Tensor]] = {}
    for kind, view in found.items():
        if kind != "plain" and stage.left <= 0:
            stage.add(kind="not run", row=f"{name}: {kind}", why="no time left")
            continue
        with stage.trying(f"{name}: {kind}"):
            run = lambda view=view, kind=kind: _gradient(view, clips, labels, "searched" in kind)  # noqa: E731
            began = time.perf_counter()
            peak = peak_bytes(run, stage.device)
            stage.add(
                kind="figure", row=name, what=f"{kind}: seconds to begin", value=round(time.perf_counter() - began, 2)
            )
            stage.add(kind="memory", row=name, contestant=kind, bytes=peak)
            wanted, got = _gradient(call, clips, labels), run()
            off = ((got - wanted).norm() / wanted.norm()).item()
            stage.add(kind="figure", row=name, what=f"{kind}: relative difference from plain", value=off)
            runs[kind] = run
    times = interleaved(runs, stage)
    for kind, taken in times.items():
        stage.add(kind="time", row=name, contestant=kind, seconds=quartiles(taken))
    for kind in times:
        if kind != "plain" and "plain" in times:
            ratio = ratios(times, kind, "plain")
            stage.add(kind="ratio", row=name, what="time", of=kind, to="plain", ratio=ratio, bound=None)


def _compiled(call: InferenceCopy, mode: str) -> Callable[[Tensor], Tensor]:
    compiled = torch.compile(call.graph, mode=mode)

    def run(point: Tensor) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(point.device.type, torch.bfloat16, enabled=call.bf16):
            return compiled(point.contiguous(memory_format=call.layout)).float()

    return run


def _gradient(view: Callable[[Tensor], Tensor], clips: Tensor, labels: Tensor, search: bool = False) -> Tensor:
    """One input gradient, with cuDNN's fastest algorithms looked for by trial if ``search``."""
    point = clips.detach().requires_grad_(True)
    with torch.backends.cudnn.flags(enabled=True, benchmark=search, allow_tf32=True):
        return torch.autograd.grad(F.cross_entropy(view(point), labels, reduction="sum"), point)[0].clone()
