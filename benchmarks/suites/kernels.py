"""Where a network's time goes on a GPU: each of its convolutions in several forms, and a profile of an attack.

What this found decides how the fast copy computes; nothing here is a comparison with another library.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks.contestants import ours
from benchmarks.measuring import Stage, seconds
from benchmarks.problems import Problem, problems

Form = tuple[str, Callable[[], object], Callable[[], object]]


@dataclass(frozen=True)
class Shape:
    """A convolution as a network calls it."""

    inputs: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    groups: int

    def __str__(self) -> str:
        kernel, stride = ("×".join(map(str, sizes)) for sizes in (self.weight[2:], self.stride))
        size = "×".join(map(str, self.inputs))
        return f"{size} → {self.weight[0]}, kernel {kernel}, stride {stride}, {self.groups} groups"


def measure(stage: Stage) -> None:
    """Profiles first, then convolution by convolution."""
    found = problems(stage.device, stage.tiny)[1:]
    for problem in found:
        name = f"profile of {problem.name}"
        if stage.wants(name):
            with stage.trying(name):
                _profile(stage, problem, name)
    for problem in found:
        for shape, times in shapes(problem, stage.device).items():
            if stage.wants(f"convolution {shape}"):
                with stage.trying(f"convolution {shape}"):
                    _convolution(stage, problem, shape, times)


def _profile(stage: Stage, problem: Problem, name: str) -> None:
    model, clips, labels = problem.make(stage.device)
    run = ours(model, 3)
    run(clips, labels)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if stage.device.type == "cuda" else [])]
    with profile(activities=activities) as seen:
        run(clips, labels)
        if stage.device.type == "cuda":
            torch.cuda.synchronize()
    attribute = "self_device_time_total" if stage.device.type == "cuda" else "self_cpu_time_total"
    top = sorted(seen.key_averages(), key=lambda event: -getattr(event, attribute, 0))[:30]
    lines = [[event.key[:110], event.count, round(getattr(event, attribute, 0) / 1000, 3)] for event in top]
    stage.add(kind="figure", row=name, what="kernels, calls, ms of PGD-3", value=lines)


def shapes(problem: Problem, device: torch.device) -> dict[Shape, int]:
    """The convolutions of a problem's network, and how often each shape comes."""
    model, clips, _ = problem.make(device)
    found: dict[Shape, int] = {}

    def look(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.Conv3d) and not isinstance(module.padding, str)
        weight = tuple(module.weight.shape)
        shape = Shape(tuple(given[0].shape), weight, module.stride, module.padding, module.groups)
        found[shape] = found.get(shape, 0) + 1

    handles = [part.register_forward_pre_hook(look) for part in model.modules() if isinstance(part, nn.Conv3d)]
    with torch.no_grad():
        model(clips)
    for handle in handles:
        handle.remove()
    return found


def _convolution(stage: Stage, problem: Problem, shape: Shape, times: int) -> None:
    found: dict[str, list[float] | str] = {}
    for name, forward, backward in _forms(shape, stage.device):
        if stage.left <= 0:
            break
        try:
            found[name] = [_milliseconds(work, stage.device) for work in (forward, backward)]
        except RuntimeError as error:
            found[name] = str(error)[:80]
    stage.add(
        kind="figure",
        row=f"convolution {shape}",
        what="ms of forward pass and input gradient",
        value=found,
        times=times,
        of=problem.name,
    )


def _milliseconds(work: Callable[[], object], device: torch.device) -> float:
    first = seconds(work, device)
    taken = [seconds(work, device) for _ in range(2 if first > 0.1 else 5)]
    return round(1000 * statistics.median(taken), 4)


def _forms(shape: Shape, device: torch.device) -> Iterator[Form]:
    """The same convolution in several forms: name, forward pass, input gradient."""
    plain, last = torch.contiguous_format, torch.channels_last_3d
    yield _form("float32", shape, device, torch.float32, plain)
    if device.type != "cuda":
        return
    yield _form("float32, channels last", shape, device, torch.float32, last)
    yield _form("bfloat16", shape, device, torch.bfloat16, plain)
    yield _form("bfloat16, channels last", shape, device, torch.bfloat16, last)
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True):
        yield _form("bfloat16, channels last, searched", shape, device, torch.bfloat16, last)
    groups = shape.groups
    while groups > 1:
        groups //= 2
        merged = (shape.weight[0], shape.inputs[1] // groups, *shape.weight[2:])
        same = Shape(shape.inputs, merged, shape.stride, shape.padding, groups)
        yield _form(f"bfloat16, channels last, {groups} groups", same, device, torch.bfloat16, last)
    if shape.inputs[1] == 3 and shape.stride[1:] == (2, 2):
        batch, _, frames, height, width = shape.inputs
        rows, columns = (size // 2 + 1 for size in shape.weight[3:])
        for channels in (12, 16):
            halved = (batch, channels, frames, height // 2, width // 2)
            weight = (shape.weight[0], channels, shape.weight[2], rows, columns)
            same = Shape(halved, weight, (shape.stride[0], 1, 1), (shape.padding[0], rows // 2, columns // 2), 1)
            yield _form(f"bfloat16, channels last, unshuffled to {channels}", same, device, torch.bfloat16, last)


def _form(name: str, shape: Shape, device: torch.device, dtype: torch.dtype, layout: torch.memory_format) -> Form:
    inputs = torch.randn(shape.inputs, device=device, dtype=dtype).contiguous(memory_format=layout)
    weight = torch.randn(shape.weight, device=device, dtype=dtype).contiguous(memory_format=layout)
    window = (shape.stride, shape.padding, (1, 1, 1))

    def forward() -> Tensor:
        return F.conv3d(inputs, weight, None, *window, shape.groups)

    output = forward()
    gradient = torch.randn_like(output)
    extent = zip(shape.inputs[2:], output.shape[2:], shape.weight[2:], shape.stride, shape.padding, strict=True)
    beyond = [size - ((out - 1) * step - 2 * pad + kernel) for size, out, kernel, step, pad in extent]

    def backward() -> Tensor:
        return F.conv_transpose3d(gradient, weight, None, shape.stride, shape.padding, beyond, shape.groups)

    return name, forward, backward
