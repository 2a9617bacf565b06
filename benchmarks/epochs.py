"""A process of a training that the suite `scaling` measures, started by torchrun: `-m benchmarks.epochs '{…}'`.

The argument is a JSON object with `model`, `frames`, `size`, `batch`, `clips` and `epochs`. The first process prints
the seconds of each epoch as a JSON list.
"""

from __future__ import annotations

import json
import sys
import time

from vidrobust.data.dataset import DataConfig, load
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World, process_group
from vidrobust.training.trainer import new_training


def seconds_of_epochs(
    world: World, *, model: str, frames: int, size: int, batch: int, clips: int, epochs: int
) -> list[float]:
    """Wall seconds of each epoch of AT(i=5) on the embedded data."""
    data = load(DataConfig(frames=frames, size=size, max_frames=max(16, frames), train=clips, val=20, test=20))
    config, policy = FitConfig(epochs=epochs, batch=batch), parse_policy("AT(ε=8,α=2,i=5)")
    network = build(model, len(data.classes))
    running = new_training(network, data.train, policy, config, 0, lambda eps, steps: 2.0, world)
    found = []
    for _ in range(epochs):
        world.wait()
        started = time.perf_counter()
        running.epoch(lambda gradients: None, lambda: None)
        world.wait()
        found.append(time.perf_counter() - started)
    return found


if __name__ == "__main__":
    with process_group() as world:
        found = seconds_of_epochs(world, **json.loads(sys.argv[1]))
        if world.first:
            print(json.dumps(found), flush=True)
