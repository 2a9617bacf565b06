"""What a calibrated step size buys: PGD with alpha="auto" against the rules of thumb 2.5·ε/steps and ε/4.

    python benchmarks/step_size_gain.py [--epochs 6] [--clips 200] > benchmarks/step_size_gain.md

Trains two small models on the embedded `motion` data, one of them adversarially. α* is looked for on validation clips;
the attacks run on test clips. Prints a table in Markdown: the mean cross-entropy after the last step, and the accuracy
that is left (best iterate), with its 95 % interval.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn

from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.step_size import calibrate
from vidrobust.data.dataset import DataConfig, VideoClips, load
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.results.numbers.intervals import interval
from vidrobust.threats import Linf, Threat
from vidrobust.training.trainer import FitConfig, train
from vidrobust.types import PIXEL

EPS = (2.0, 4.0, 8.0)
STEPS = (5, 10, 20)
POLICIES = ("standard", "AT(ε=4,α=2,i=3)")


def trained(data: VideoClips, policy: str, epochs: int) -> nn.Module:
    """A small model: trained clean, and then, if the policy says so, adversarially for as long again."""
    model = build("r3d-small", len(data.classes))
    train(model, data.train, parse_policy("standard"), FitConfig(epochs))
    if policy != "standard":
        train(model, data.train, parse_policy(policy), FitConfig(epochs, lr=1e-3))
    return model


def measured(model: nn.Module, data: VideoClips, threat: Threat, alpha: float, steps: int) -> tuple[float, int, int]:
    """The mean loss of the last iterate, the clips left right by the best, and all clips."""
    clips, labels = data.test.centre(torch.arange(len(data.test))), data.test.labels
    last = PGD(threat, alpha, steps, keep="last")(model, clips, labels)
    best = PGD(threat, alpha, steps, keep="best")(model, clips, labels)
    return last.loss.mean().item(), int((~best.success).sum()), len(clips)


def row(policy: str, model: nn.Module, data: VideoClips, eps: float, steps: int) -> str:
    """One line of the table."""
    budget = eps * PIXEL
    threat = Threat(Linf(), budget)
    held_out = data.val.centre(torch.arange(len(data.val)))
    found = calibrate(model, threat, steps, held_out, data.val.labels)[steps]
    cells = [
        policy,
        f"{eps:g}",
        f"{steps}",
        f"{found.alpha / PIXEL:.2f} ({found.low / PIXEL:.2f}–{found.high / PIXEL:.2f})",
    ]
    for alpha in (found.alpha, 2.5 * budget / steps, budget / 4):
        loss, held, clips = measured(model, data, threat, alpha, steps)
        low, high = interval(held, clips)
        cells.append(f"{loss:.3f}; {held}/{clips} ({100 * low:.0f}–{100 * high:.0f} %)")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--clips", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = load(DataConfig(train=600, val=32, test=args.clips))
    about = f"data: motion, 600 training, 32 validation, {args.clips} test clips; {args.epochs} epochs"
    print(f"<!-- made by: python benchmarks/step_size_gain.py ({about}) -->")
    print("| model | ε | steps | α* (95 %) | α = auto | α = 2.5·ε/steps | α = ε/4 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for policy in POLICIES:
        model = trained(data, policy, args.epochs)
        for eps in EPS:
            for steps in STEPS:
                print(row(policy, model, data, eps, steps), flush=True)


if __name__ == "__main__":
    main()
