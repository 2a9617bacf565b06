"""Adversarial training against the same training written with torchattacks in plain PyTorch.

    python benchmarks/attack_speed.py --setup     # an environment for the other library, once
    python benchmarks/training_epoch.py           # the study's network; or --model "r3d-18(width=16)" --size 56

Both train the same network on the same clips in the same order with the same optimiser and AT(ε=8,α=2,i=5), epoch by
epoch in turn, on one thread; the ratio is of CPU time within each epoch. Then both are attacked by the same PGD. Prints
JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

from attack_speed import ENVIRONMENT  # pyrefly: ignore[missing-import]

EPS, ALPHA, STEPS = 8 / 255, 2 / 255, 5


def main() -> None:
    """Measure and print."""
    options = arguments()
    sys.path.append(str(next(ENVIRONMENT.glob("lib/python*/site-packages"))))  # for torchattacks alone: ours come first
    import torch

    torch.set_num_threads(1)
    from vidrobust.data.dataset import DataConfig, load
    from vidrobust.evaluation.clips import evaluate, pgd
    from vidrobust.models.building import build
    from vidrobust.notation import parse_policy
    from vidrobust.training.config import FitConfig
    from vidrobust.training.distributed import World
    from vidrobust.training.trainer import new_training

    size = {"frames": options.frames, "size": options.size, "max_frames": max(16, options.frames)}
    data = load(DataConfig(train=options.clips, val=20, test=100, **size))
    models = [build(options.model, len(data.classes)) for _ in range(2)]
    config = FitConfig(epochs=options.epochs, batch=options.batch)
    policy = parse_policy(f"AT(ε=8,α=2,i={STEPS})")
    ours = new_training(models[0], data.train, policy, config, 0, lambda eps, steps: 2.0, World())
    theirs = torch.optim.AdamW(models[1].parameters(), config.lr, weight_decay=config.weight_decay)
    ratios = []
    for epoch in range(options.epochs):
        mine = timed(lambda: ours.epoch(lambda gradients: None, lambda: None))
        plain = timed(lambda epoch=epoch: plain_epoch(models[1], theirs, data.train, config, epoch))
        ratios.append(mine / plain)
    found = [evaluate(model.eval(), data.test, [pgd(8, 2, 20)]) for model in models]
    print(
        json.dumps(
            {
                "model": options.model,
                "dtype": str(ours.learner.dtype),
                "epoch_ours_over_torchattacks": [round(ratio, 3) for ratio in ratios],
                "median": round(statistics.median(ratios), 3),
                "clean, PGD-20 at ε=8 (of 100), ours": [row["correct"] for row in found[0]],
                "clean, PGD-20 at ε=8 (of 100), theirs": [row["correct"] for row in found[1]],
            },
            indent=1,
            ensure_ascii=False,
        )
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="r3d-small")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--epochs", type=int, default=8)
    return parser.parse_args()


def plain_epoch(model: Any, optimiser: Any, clips: Any, config: Any, epoch: int) -> None:
    """One epoch as one would write it."""
    import torch
    import torchattacks  # pyrefly: ignore[missing-import]
    from torch.nn import functional as F

    from vidrobust.training.randomness import epoch_seed
    from vidrobust.training.rates import set_rate

    attack = torchattacks.PGD(model, eps=EPS, alpha=ALPHA, steps=STEPS, random_start=False)
    generator = torch.Generator().manual_seed(epoch_seed(0, epoch))
    order = torch.randperm(len(clips), generator=generator)
    steps = len(clips) // config.batch
    for group in optimiser.param_groups:
        group["scale"] = 1.0
    for step, indices in enumerate(order[: steps * config.batch].split(config.batch)):
        set_rate([optimiser], config, epoch * steps + step, config.epochs * steps)
        labels = clips.labels[indices]
        attacked = attack(clips.augmented(indices, generator), labels)
        model.train()
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(model(attacked), labels).backward()
        optimiser.step()


def timed(work: Any) -> float:
    """CPU seconds of this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
