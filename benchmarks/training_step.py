"""What a step of adversarial training costs over its bare passes, and where an epoch's time goes.

    python benchmarks/training_step.py    # the study's network; or --model r3d-18 --frames 16 --size 56 --batch 8

`step` is one step of the loop (loading the clips, the attack, the forward and backward pass, the optimiser); `bare` is
as many input gradients of the attack's fast copy, refreshed once, and one training step, in the same precision and
nothing else. The two are interleaved on one thread and compared by CPU time within each round. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from vidrobust.data.dataset import DataConfig, load
from vidrobust.fast.view import inference_view
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World
from vidrobust.training.loop import Training
from vidrobust.training.trainer import new_training


def main() -> None:
    """Measure and print."""
    options = arguments()
    torch.set_num_threads(1)
    data = load(DataConfig(frames=options.frames, size=options.size, max_frames=max(16, options.frames)))
    policy = parse_policy(f"AT(ε=8,α=2,i={options.steps})")
    config = FitConfig(batch=options.batch)
    training = new_training(
        build(options.model, len(data.classes)), data.train, policy, config, 0, lambda e, i: 2.0, World()
    )
    training.learner.train()
    rounds = [one_round(training, options.steps) for _ in range(options.rounds + 1)][1:]  # the first one warms up
    ratio = [step / bare for step, bare, _ in rounds]
    load_share = [loading / step for step, _, loading in rounds]
    found = {
        "model": options.model,
        "clips": [options.batch, 3, options.frames, options.size, options.size],
        "steps": options.steps,
        "dtype": str(training.learner.dtype),
        "step_over_bare": summary(ratio),
        "loading_share_of_step": summary(load_share),
        "seconds_per_step": summary([step for step, _, _ in rounds]),
    }
    print(json.dumps(found, indent=1))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="r3d-small")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=15)
    return parser.parse_args()


def one_round(training: Training, steps: int) -> tuple[float, float, float]:
    """CPU seconds of a step of the loop, of its bare passes, and of loading the batch alone."""
    indices = torch.arange(training.config.batch)
    generator = torch.Generator().manual_seed(0)
    loaded = training.load(indices, generator)
    loading = timed(lambda: training.load(indices, generator))
    step = timed(lambda: training.step(loaded))
    return step + loading, timed(lambda: bare(training, loaded.clips, loaded.labels, steps)), loading


def bare(training: Training, clips: Any, labels: Any, steps: int) -> None:
    """As many passes and nothing else."""
    model, learner = training.learner.model, training.learner
    model.eval().requires_grad_(False)
    view = inference_view(model, clips)
    point = clips.contiguous(memory_format=view.layout)
    count = view.parts(point)
    for part, answers in zip(point.tensor_split(count), labels.tensor_split(count), strict=True):
        for _ in range(steps):
            leaf = part.detach().requires_grad_(True)
            torch.autograd.grad(F.cross_entropy(view(leaf), answers, reduction="sum"), leaf)
    model.train().requires_grad_(True)
    optimiser = training.optimisers["model"]
    optimiser.zero_grad(set_to_none=True)
    laid = clips.contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", learner.dtype, enabled=learner.dtype != torch.float32):
        logits = model(laid)
    F.cross_entropy(logits.float(), labels).backward()
    optimiser.step()


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def summary(numbers: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(numbers, n=4)
    return {"median": round(middle, 4), "q1": round(low, 4), "q3": round(high, 4)}


if __name__ == "__main__":
    main()
