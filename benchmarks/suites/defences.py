"""What an attack through a defence sees of its gradient: all of it, an approximation, or nothing.

Each defence stands before models of the zoo. The same PGD follows the full gradient through it (of JPEG, that of a
smooth rounding), or takes the identity's in its place (BPDA), or does not know of it (blind: on the classifier alone).
Robust accuracy is that of the defended model in percent, with a 95 % interval clustered by source.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measuring import Stage
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.wrappers import BPDA
from vidrobust.evaluation.clips import clip_ranks
from vidrobust.evaluation.defences import Defended
from vidrobust.evaluation.jpeg import JPEG
from vidrobust.models.diffusion import DiffusionPurifier
from vidrobust.models.purifier import Purified, Purifier
from vidrobust.results.numbers.statistics import accuracy_estimate
from vidrobust.study.trained import Trained
from vidrobust.threats import Linf, Threat
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from vidrobust.data.clips import Clips

MODELS = ("motion-standard", "motion-at")
THREAT, ALPHA = Threat(Linf(), 8 * PIXEL), 2 * PIXEL
CLIPS, TRAINING_CLIPS, UPDATES, BATCH, STEPS = 48, 256, 240, 16, 10
CHANNELS, SIGNAL, CLEANING = (16, 32, 64), 0.98, 10
"""Widths of the purifiers; the share of the signal that noise leaves, and the steps that take the noise away."""

Denoiser = Callable[[Tensor, float], Tensor]


def measure(stage: Stage) -> None:
    """Each defence of each model under the three attacks."""
    count, updates = (4, 2) if stage.tiny else (CLIPS, UPDATES)
    for name in MODELS:
        found = Trained.find(Path(f"zoo:{name}"))
        clips, seen = found.clips("test", count), found.clips("train", 8 if stage.tiny else TRAINING_CLIPS)
        for title, make in DEFENCES.items():
            row = f"{name}: {title}"
            if stage.wants(row):
                with stage.trying(row):
                    value = {"clips": count, **_line(found.model, clips, make(found.model, seen, updates))}
                    stage.add(kind="figure", row=row, what="table", value=value)


def _jpeg(model: nn.Module, seen: Clips, updates: int) -> tuple[nn.Module, Any]:
    return Defended(model, JPEG(50, smooth=True)), JPEG(50)


def _gan(model: nn.Module, seen: Clips, updates: int) -> tuple[nn.Module, Any]:
    """APE's purifier, trained to restore attacked clips; the critic's share is left out, for it adds nothing here."""
    clips = seen.centre(torch.arange(len(seen)))
    attacked = PGD(THREAT, ALPHA, 5, keep="last")(model, clips, seen.labels).clips
    torch.manual_seed(0)
    purifier = Purifier(CHANNELS)
    _train(purifier, updates, lambda rows: F.mse_loss(purifier(attacked[rows]), clips[rows]), len(clips))
    return Purified(purifier, model), purifier


def _diffusion(model: nn.Module, seen: Clips, updates: int) -> tuple[nn.Module, Any]:
    """Ten steps of a denoiser that was trained on clips with noise of every size that it meets."""
    clips = 2 * seen.centre(torch.arange(len(seen))) - 1
    torch.manual_seed(0)
    network = Purifier(CHANNELS)

    def noise_of(noisy: Tensor, share: float | Tensor) -> Tensor:
        clean = 2 * network((noisy / share**0.5 + 1) / 2) - 1
        return (noisy - share**0.5 * clean) / (1 - share) ** 0.5

    def loss(rows: Tensor) -> Tensor:
        share = SIGNAL + (1 - SIGNAL) * torch.rand(len(rows), 1, 1, 1, 1) * 0.999
        noisy = share**0.5 * clips[rows] + (1 - share) ** 0.5 * torch.randn(clips[rows].shape)
        return F.mse_loss(2 * network((noisy / share**0.5 + 1) / 2) - 1, clips[rows])

    _train(network, updates, loss, len(clips))
    purifier = DiffusionPurifier(noise_of, SIGNAL, CLEANING)
    purifier.add_module("network", network)
    return Purified(purifier.eval(), model), purifier


def _train(network: nn.Module, updates: int, loss: Callable[[Tensor], Tensor], count: int) -> None:
    adam = torch.optim.Adam(network.train().parameters(), 2e-3)
    for _ in range(updates):
        value = loss(torch.randperm(count)[:BATCH])
        adam.zero_grad()
        value.backward()
        adam.step()
    network.eval().requires_grad_(False)


DEFENCES = {
    "JPEG, quality 50": _jpeg,
    "denoising GAN (APE's purifier)": _gan,
    f"diffusion, {CLEANING} steps": _diffusion,
}


def _line(model: nn.Module, clips: Clips, defended: tuple[nn.Module, Any]) -> dict[str, str]:
    """Accuracy without attack and under the three attacks."""
    whole, transform = defended
    whole.eval()
    found, labels = clips.centre(torch.arange(len(clips))), clips.labels
    right = clip_ranks(whole, clips) == 0
    attack = PGD(THREAT, ALPHA, STEPS, keep="last")
    through = {
        "full gradient": attack(whole, found, labels).clips,
        "BPDA": BPDA(attack, transform)(model, found, labels).clips,
        "blind": attack(model, found, labels).clips,
    }
    with torch.no_grad():
        held = {name: right & (whole(at).argmax(1) == labels) for name, at in through.items()}
    return {name: _share(each, clips) for name, each in {"no attack": right, **held}.items()}


def _share(right: Tensor, clips: Clips) -> str:
    of = accuracy_estimate(right.numpy(), clips.sources)
    return f"{100 * of.value:.0f} [{100 * of.low:.0f}, {100 * of.high:.0f}]"
