"""How a judgement is divided into jobs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.judged import QUICK
from safetensors.torch import save_file

from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.evaluation.judging import ATTACKS, LANES
from vidrobust.study.jobs import job_key
from vidrobust.study.judgement_plan import CHUNK, JudgementPlan, affordable, group_threats, longest_row
from vidrobust.study.judging import JudgementSubject, recall


def plan(clips: int, **effort: Any) -> JudgementPlan:
    subject = JudgementSubject(weights="w", clips_of="c", split="test", count=clips)
    manifest = {"clips": [{}] * clips}
    return JudgementPlan(subject, "model", "data", manifest, group_threats(["Linf(8)"]), Ensemble(**effort))


@pytest.mark.parametrize("clips", [3, 25, 60, 110])
def test_parts_are_of_about_one_size_and_share_the_diagnostic_subset(clips: int) -> None:
    found = plan(clips, diagnostic=16)
    parts = found.parts()
    assert sorted(row for part in parts for row in part) == list(range(clips))
    assert max(map(len, parts)) <= CHUNK
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    shares = [line[0].diagnostic for line in found.stages(found.regions[0])]
    assert sum(shares) == min(16, clips)
    assert max(shares) - min(shares) <= 1


def test_attacks_of_the_two_lanes_do_not_wait_for_each_other_and_what_follows_waits_for_all() -> None:
    assert sorted(name for lane in LANES for name in lane) == sorted(set(ATTACKS) - {"FMN"})
    found = plan(5)
    line = {stage.name: stage for stage in found.stages(found.regions[0])[0]}
    keys = {job_key(stage): name for name, stage in line.items()}
    waits_for = {name: [keys[key] for key in stage.earlier[1:]] for name, stage in line.items()}
    for lane in LANES:
        for place, name in enumerate(lane):
            assert waits_for[name] == ["FMN", *lane[:place]]
    assert waits_for["noise"] == [*ATTACKS]
    assert waits_for["doubled"] == waits_for["signs"] == [*ATTACKS]


def test_of_two_stages_the_nearer_perturbation_is_taken_up_in_either_order(tmp_path: Path) -> None:
    sizes = {"a": [0.3, 0.2], "b": [0.1, 0.4]}
    for name, size in sizes.items():
        found = {"index": torch.tensor([0, 2]), "distance": torch.tensor(size, dtype=torch.float64)}
        found["adversarial"] = torch.full((2, 1), ord(name), dtype=torch.float32)
        (tmp_path / name).mkdir()
        save_file(found, tmp_path / name / "found.safetensors", {"found_by": json.dumps([name, name])})
    for order in ("ab", "ba"):
        distance, shown, by = torch.full((3,), math.inf, dtype=torch.float64), torch.zeros(3, 1), [""] * 3
        for name in order:
            recall(tmp_path / name, distance, shown, by)
        assert distance.tolist() == [0.1, math.inf, 0.2]
        assert by == ["b", "", "a"]
        assert shown.flatten().tolist() == [ord("b"), 0, ord("a")]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_what_minutes_buy_takes_no_worker_longer(workers: int) -> None:
    threats = group_threats(["Linf(8)"])
    one = affordable(1, 0.01, 1, QUICK, threats)
    assert longest_row(one, 1) <= one
    found = affordable(1, 0.01, workers, QUICK, threats)
    assert longest_row(found, workers) <= one
    assert found >= one
