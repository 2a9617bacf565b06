"""On a trained model, attacks break far more clips than noise of the same budget in the same place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from vidrobust.attacks.apgd import APGD
from vidrobust.attacks.autoattack import AutoAttack
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.searching import SearchState, searching
from vidrobust.attacks.square import Square
from vidrobust.data.dataset import VideoClips
from vidrobust.losses import cross_entropy
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.threats import Area, Border, Flicker, Frames, Linf, Support, Threat, WholeClip

STRONG = {"alpha": 0.02, "steps": 12}


@dataclass(frozen=True)
class Noise:
    """A random point of what is allowed, drawn as often as asked."""

    threat: Threat
    draws: int = 1

    def __call__(self, model: ResNet3d, clips: Tensor, labels: Tensor) -> Tensor:
        """Which clips some draw breaks."""
        run: SearchState
        with searching(model, self.threat, clips, labels, cross_entropy, "auto") as run:
            generators = run.generators(0)
            for _ in range(self.draws):
                run.value(run.random(generators))
            return run.result().success


@pytest.fixture(scope="module")
def right(trained: ResNet3d, small_data: VideoClips) -> tuple[Tensor, Tensor]:
    """Clips that the model gets right."""
    clips = small_data.train.centre(torch.arange(0, len(small_data.train), 2))
    labels = small_data.train.labels[::2]
    with torch.no_grad():
        kept = trained(clips).argmax(1) == labels
    return clips[kept][:40], labels[kept][:40]


CASES: list[tuple[str, Support, float, Any]] = [
    ("square", WholeClip(), 0.04, lambda threat: Square(threat, queries=150)),
    ("square on a border", Border(0.4), 0.3, lambda threat: Square(threat, queries=150)),
    ("flicker", Flicker(), 0.2, lambda threat: PGD(threat, **STRONG)),
    ("border", Border(0.4), 0.15, lambda threat: PGD(threat, **STRONG)),
    ("masked", Area(0.3), 0.15, lambda threat: PGD(threat, **STRONG)),
    ("saliency", Frames((0, 1)), 0.15, lambda threat: FrameSaliency(PGD(Threat(Linf(), 0.15), **STRONG), frames=2)),
]


@pytest.mark.parametrize(("support", "eps", "make"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_attacks_break_far_more_than_noise(
    support: Support, eps: float, make: Any, trained: ResNet3d, right: tuple[Tensor, Tensor]
) -> None:
    clips, labels = right
    assert len(clips) >= 25
    threat = Threat(Linf(), eps, support)
    found = make(threat)(trained, clips, labels)
    noise = Noise(threat)(trained, clips, labels)
    print(f"{make}: attack {int(found.success.sum())}, noise {int(noise.sum())} of {len(clips)}")  # noqa: T201
    assert int(found.success.sum()) >= int(noise.sum()) + len(clips) // 4
    assert ((found.clips - clips).abs() <= eps).all()


def test_autoattack_is_at_least_as_strong_as_its_parts(trained: ResNet3d, right: tuple[Tensor, Tensor]) -> None:
    clips, labels = (part[:12] for part in right)
    threat = Threat(Linf(), 2 / 255)
    whole = AutoAttack(threat, steps=10, targets=3, queries=50)(trained, clips, labels)
    part = APGD(threat, steps=10)(trained, clips, labels)
    assert (whole.success >= part.success).all()
    counts = list(whole.standing.values())
    assert counts == sorted(counts, reverse=True)
