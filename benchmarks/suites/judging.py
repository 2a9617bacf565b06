"""What a judgement costs beside AutoAttack alone on the same clips, and whether it is weaker on any of them."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from benchmarks.measuring import Stage, interleaved
from vidrobust import AutoAttack, Linf, Threat
from vidrobust.attacks.base import RobustnessWarning
from vidrobust.data.clips import Clips
from vidrobust.data.dataset import DataConfig, load
from vidrobust.evaluation.clips import batches, clip_ranks
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.results.judgements.record import stands
from vidrobust.study.judgement import judge
from vidrobust.study.trained import Trained
from vidrobust.training.config import FitConfig
from vidrobust.training.trainer import train

BOUND = 1.5
"""Of AutoAttack's time, what a whole judgement may take."""


def measure(stage: Stage) -> None:
    """The model of a run, or a standard-trained network of the study, at one ε."""
    run, eps = stage.options["run"], stage.options["eps"]
    count = min(3, stage.options["clips"]) if stage.tiny else stage.options["clips"]
    subject = "small network of the study" if run is None else f"{stage.options['model']} of {run.name}"
    row = f"judgement, {subject}, Linf({eps:g}), {count} clips"
    if not stage.wants(row):
        return
    with stage.trying(row):
        found = _small(stage) if run is None else Trained.find(run, stage.options["model"])
        clips = found.clips(stage.options["split"], count)
        _beside(stage, row, found.model.to(stage.device).eval(), clips, eps)


def _small(stage: Stage) -> Trained:
    data = load(DataConfig(train=60 if stage.tiny else 300, val=20, test=60))
    model = build("r3d-small", len(data.classes)).to(stage.device)
    train(model, data.train, parse_policy("standard"), FitConfig(1 if stage.tiny else 8))
    return Trained(model, "standard", 0, data, None, "")


def _beside(stage: Stage, row: str, model: nn.Module, clips: Clips, eps: float) -> None:
    ensemble = Ensemble(steps=4, targets=1, queries=10) if stage.tiny else Ensemble()
    steps, targets, queries = ensemble.steps, ensemble.targets, ensemble.queries
    attack = AutoAttack(Threat(Linf(), eps / 255), steps, targets, queries)
    parts = list(batches(clips, torch.arange(len(clips)), stage.device))
    stood: dict[str, Sequence[int]] = {}

    def autoattack() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RobustnessWarning)
            found = [attack(model, shown, labels).success for _, shown, labels in parts]
        stood["AutoAttack"] = (~torch.cat(found)).tolist()

    def judgement() -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            found = judge(model, clips, threats=[f"Linf({eps:g})"], clips=0, ensemble=ensemble, out=out)
            stood["judgement"] = stands(found.record["threats"][0])

    times = interleaved({"judgement": judgement, "AutoAttack": autoattack}, stage, warm=0)
    stage.add_times(row, times, {("judgement", "AutoAttack"): BOUND})
    right = int((clip_ranks(model, clips) == 0).sum())
    missed = sum(mine and not other for mine, other in zip(stood["judgement"], stood["AutoAttack"], strict=True))
    value = {"clips": len(clips), "right": right, **{f"stand under {name}": sum(left) for name, left in stood.items()}}
    stage.add(kind="figure", row=row, what="clips", value=value | {"broken by AutoAttack alone": missed})
