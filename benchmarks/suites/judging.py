"""What a judgement costs beside AutoAttack alone on the same clips, and whether it is weaker on any of them."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from benchmarks.measuring import Stage, seconds
from vidrobust import AutoAttack, Linf, Threat
from vidrobust.attacks.base import RobustnessWarning
from vidrobust.data.clips import Clips
from vidrobust.data.dataset import DataConfig, load
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.results.judgements.record import stands
from vidrobust.study.judgement import judge
from vidrobust.training.config import FitConfig
from vidrobust.training.trainer import train


def measure(stage: Stage) -> None:
    """A standard-trained network of the study, at one ε."""
    eps, count = 1.0, 3 if stage.tiny else 24
    row = f"judgement, small network of the study, Linf({eps:g}), {count} clips"
    if not stage.wants(row):
        return
    with stage.trying(row):
        data = load(DataConfig(train=60 if stage.tiny else 300, val=20, test=60))
        model = build("r3d-small", len(data.classes)).to(stage.device)
        train(model, data.train, parse_policy("standard"), FitConfig(1 if stage.tiny else 8))
        _beside(stage, row, model.eval(), data.test.spread(count), eps)


def _beside(stage: Stage, row: str, model: nn.Module, clips: Clips, eps: float) -> None:
    ensemble = Ensemble(steps=4, targets=1, queries=10) if stage.tiny else Ensemble()
    steps, targets, queries = ensemble.steps, ensemble.targets, ensemble.queries
    attack = AutoAttack(Threat(Linf(), eps / 255), steps, targets, queries)
    every = range(len(clips))
    centre, labels = clips.centre(every).to(stage.device), clips.labels.to(stage.device)
    stood: dict[str, Sequence[int]] = {}

    def autoattack() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RobustnessWarning)
            result = attack(model, centre, labels)
        stood["AutoAttack"] = (~result.success).tolist()

    def judgement() -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            found = judge(model, clips, threats=[f"Linf({eps:g})"], clips=0, ensemble=ensemble, out=out)
            stood["judgement"] = stands(found.record["threats"][0])

    times = {"judgement": [seconds(judgement, stage.device)], "AutoAttack": [seconds(autoattack, stage.device)]}
    stage.add_times(row, times, {("judgement", "AutoAttack"): None})
    with torch.no_grad():
        right = int((model(centre).argmax(1) == labels).sum())
    missed = sum(mine and not other for mine, other in zip(stood["judgement"], stood["AutoAttack"], strict=True))
    value = {"clips": len(clips), "right": right, **{f"stand under {name}": sum(left) for name, left in stood.items()}}
    stage.add(kind="figure", row=row, what="clips", value=value | {"broken by AutoAttack alone": missed})
