"""An attack with less memory than it asks for: it goes on in smaller parts, with the same result."""

from __future__ import annotations

import warnings

import torch

from benchmarks.contestants import OWN
from benchmarks.measuring import Stage, peak_bytes, release, seconds
from benchmarks.problems import problems
from vidrobust.fast.memory import MemoryWarning

SHARES = (0.5, 0.25)


def measure(stage: Stage) -> None:
    """R3D-18 with a share of the memory that it takes when there is enough."""
    problem = problems(stage.device, stage.tiny)[1]
    name = f"{problem.name}, too little memory"
    if not stage.wants(name):
        return
    if stage.device.type != "cuda":
        stage.add(kind="not run", row=name, why="PyTorch bounds the memory of a process on CUDA alone")
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
