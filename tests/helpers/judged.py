"""Small classifiers for judgements: honest ones, and clips with sources on which they are judged."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.evaluation.judging import (
    STAGES,
    check_drift,
    clean_answers,
    confusion,
    missing_attacks,
    run_stage,
    start_case,
)
from vidrobust.evaluation.worst_case import WorstCase
from vidrobust.results.numbers.verdict import (
    Verdict,
    add_up,
    better_class_order,
    chance_accuracy,
    missing_sources,
    verdict,
)
from vidrobust.threats import Linf, Threat

SHAPE = (3, 2, 8, 8)

QUICK = Ensemble(steps=12, targets=2, queries=40, noise=16, samples=4, diagnostic=8)
"""Enough for models of a few weights."""


def clips(classes: int, count: int, seed: int, spread: float = 0.12) -> tuple[Tensor, Tensor]:
    """Clips of classes that are patterns of large contrast in noise."""
    draw = torch.Generator().manual_seed(classes)
    patterns = torch.rand(classes, *SHAPE, generator=draw) * 0.4 + 0.3
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    found = patterns[labels] + spread * torch.randn(count, *SHAPE, generator=draw)
    return found.clamp(0, 1), labels


def trained(model: nn.Module, classes: int, eps: float = 0.0, steps: int = 60, spread: float = 0.12) -> nn.Module:
    """A model trained on such clips, with ε adversarially by FGSM from random starts."""
    rate = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(steps):
        shown, labels = clips(classes, 32, 1000 + step, spread)
        if eps:
            draw = torch.Generator().manual_seed(step)
            start = (shown + eps * (2 * torch.rand(shown.shape, generator=draw) - 1)).requires_grad_(True)
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(start), labels), start)
            moved = start.detach() + 1.25 * eps * gradient.sign()
            shown = torch.minimum(torch.maximum(moved, shown - eps), shown + eps).clamp(0, 1)
        loss = nn.functional.cross_entropy(model(shown), labels)
        rate.zero_grad()
        loss.backward()
        rate.step()
    return model.eval().requires_grad_(False)


def made(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A model with weights of a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def linear(classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(SHAPE).numel(), classes))


def robust_model() -> nn.Module:
    """A convolutional network of four classes that withstands most attacks on such clips up to 16/255."""
    return trained(made(lambda: conv(4)), 4, 16 / 255)


def sourced_clips(count: int) -> tuple[Tensor, Tensor, list[str]]:
    """Clips of four classes, their labels and their videos, two clips each."""
    return *clips(4, count, 7), [f"video {number // 2}" for number in range(count)]


def conv(classes: int, width: int = 6, norm: bool = False) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(3, width, 3, padding=1),
        nn.BatchNorm3d(width) if norm else nn.Identity(),
        nn.ReLU(),
        nn.AvgPool3d((1, 2, 2)),
        nn.Flatten(),
        nn.Linear(width * 32, classes),
    )


def judged(
    model: nn.Module, shown: Tensor, labels: Tensor, eps: float, ensemble: Ensemble = QUICK
) -> tuple[Verdict, WorstCase]:
    """A judgement of clips that all have a source of their own, without files."""
    threats = [Threat(Linf(), eps / 255)]
    first = clean_answers(model, shown, labels, ensemble)
    measured = list(first.measured)
    case, search = start_case(model, shown, labels, threats, first, ensemble)
    if first.logits is not None:
        classes = first.logits.shape[1]
        table = confusion(first.logits, labels)
        measured += [better_class_order(table.tolist()), chance_accuracy(int(first.right.sum()), len(labels), classes)]
        for name in STAGES if first.right.any() else ():
            search += run_stage(case, name, ensemble, classes, ensemble.diagnostic)
    search += missing_attacks(case)
    measured += [*check_drift(model, shown, first), missing_sources(len(labels))]
    return verdict(add_up(measured), {f"Linf({eps:g})": (len(case.standing(eps / 255)), add_up(search))}), case
