"""The declared methods, their classes and a method of one's own; all go on after a stop as if there had been none."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import half, trained_by, weights

import vidrobust as vr
from vidrobust.data.clips import Clips
from vidrobust.data.dataset import VideoClips
from vidrobust.errors import InputError, NotationError, RunError, StoppedError
from vidrobust.models.building import build
from vidrobust.notation import parse, parse_policy
from vidrobust.notation.families import FAMILIES
from vidrobust.threats import Threat
from vidrobust.training import crafting, trainer
from vidrobust.training.config import FitConfig
from vidrobust.training.methods.table import METHOD_CLASSES, fitted, method_of, name_of
from vidrobust.training.trainer import train

POLICIES = [
    "standard(smooth=0.1)+SWA(start=0.4)",
    "AT(ε=8,α=4,i=1,mix=0.5)+EMA(τ=0.9)",
    "AT(ε=255,α=128,i=1,norm=L2,support=Border(ratio=0.2))",
    "AAT(ε_max=12,α=ε/2,i=1)",
    "CAL(ε~U(0,12),α=α*,i=1,by=step)",
    "TRADES(ε=8,α=4,i=1)+AWP",
    "MART(ε=8,α=4,i=1)",
    "Friendly(ε=8,α=4,i=2)",
    "Free(ε=8,m=2)",
    "FGSM-RS(ε=8)",
    "N-FGSM(ε=8)",
    "MAX(AT(ε=8,α=4,i=1),AT(ε=255,α=128,i=1,norm=L2))",
    "AVG(AT(ε=8,α=4,i=1),FGSM-RS(ε=8))",
    "MultiBN(AT(ε=8,α=4,i=1),AT(ε=64,α=32,i=1,support=Border(ratio=0.1)))",
    "APE(ε=8,α=4,i=1,width=4)",
    "GAT(ε=8,α=4,i=1,width=4)",
    "IBP(ε=1,κ=0.3)",
    "Noise(σ=30)",
    "Denoise(σ=30,width=4)",
]


def test_each_declared_method_has_a_class_and_each_class_a_policy_here() -> None:
    assert METHOD_CLASSES.keys() == FAMILIES.keys()
    assert {METHOD_CLASSES[parse_policy(text).family] for text in POLICIES} == set(METHOD_CLASSES.values())


@pytest.mark.parametrize("name", FAMILIES)
def test_the_example_of_a_family_is_one_of_its_policies(name: str) -> None:
    policy = parse_policy(FAMILIES[name].example)
    assert policy.family == name
    assert parse_policy(str(policy)) == parse(str(policy)) == policy
    method = method_of(policy)
    assert type(method) is METHOD_CLASSES[name] and name_of(method) == str(policy)


@pytest.mark.parametrize("text", POLICIES)
def test_stopped_within_an_epoch_each_method_ends_with_the_same_weights(text: str, few: Clips, tmp_path: Path) -> None:
    config, asked = FitConfig(epochs=2, batch=8), 0

    def third() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    undisturbed, rows = trained_by(text, few, config)
    before = weights(fitted(build("r3d-small", 10), parse_policy(text)))
    assert not torch.equal(weights(undisturbed), before)
    with pytest.raises(StoppedError, match="after step"):
        trained_by(text, few, config, checkpoints=tmp_path, stopping=third)
    resumed, again = trained_by(text, few, config, checkpoints=tmp_path)
    assert torch.equal(weights(resumed), weights(undisturbed))
    assert again == rows


@pytest.mark.parametrize("text", ["AT(ε=8,α=2,i=2)+EMA(τ=0.9)", "AAT(ε_max=8,α=2,i=2)"])
def test_a_kill_while_the_model_is_looked_at_costs_no_epoch(
    text: str, few: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "LONG", -1.0)  # every look is a long one, also the first
    config = FitConfig(epochs=2, batch=8)
    steps: list[int] = []
    undisturbed, rows = trained_by(text, few, config, stopping=lambda: bool(steps.append(1)))
    of_both = len(steps)

    def killed(model: torch.nn.Module, row: Any, earlier: Any) -> list[Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained_by(text, few, config, checkpoints=tmp_path, after_epoch=killed)
    resumed, again = trained_by(text, few, config, checkpoints=tmp_path, stopping=lambda: bool(steps.append(1)))
    assert torch.equal(weights(resumed), weights(undisturbed))
    assert again == rows
    assert len(steps) - of_both == of_both / 2  # those of the second epoch alone


@pytest.mark.parametrize("text", POLICIES[1:4])
def test_micro_batches_change_only_batch_norm(text: str, few: Clips) -> None:
    """Without BatchNorm the accumulated gradient is that of the whole batch."""
    policy = parse_policy(text)
    ends = []
    for accumulate in (1, 2):
        model = fitted(build("r3d-small", 10), policy)
        for name, part in list(model.named_modules()):
            if isinstance(part, torch.nn.BatchNorm3d):
                owner, _, leaf = name.rpartition(".")
                setattr(model.get_submodule(owner), leaf, torch.nn.Identity())
        config = FitConfig(epochs=1, batch=16, optimiser="sgd", lr=1e-3, accumulate=accumulate, precision="float32")
        rows = train(model, few, policy, config, alpha_star=half)
        ends.append((rows[0]["loss"], weights(model)))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-4)
    assert torch.allclose(ends[0][1], ends[1][1], atol=1e-4)


def test_what_a_method_needs_is_asked_for(few: Clips) -> None:
    for text, says in (("GAT(ε=8,α=4,i=1)", "purified"), ("MultiBN(AT(ε=8,α=4,i=1),AT(ε=4,α=4,i=1))", "branched")):
        with pytest.raises(InputError, match=says):
            train(build("r3d-small", 10), few, parse_policy(text), FitConfig(epochs=1, batch=8))


def test_a_model_made_for_another_policy_is_refused() -> None:
    narrow = fitted(build("r3d-small", 10), parse_policy("GAT(ε=8,α=4,i=1,width=4)"))
    assert fitted(narrow, parse_policy("GAT(ε=8,α=4,i=1)")) is narrow
    with pytest.raises(InputError, match=r"channels \(4, 8, 16\), not width=8"):
        fitted(narrow, parse_policy("GAT(ε=8,α=4,i=1,width=8)"))
    two = "MultiBN(AT(ε=8,α=4,i=1),AT(ε=4,α=4,i=1))"
    branches = fitted(build("r3d-small", 10), parse_policy(two))
    assert fitted(branches, parse_policy(two)) is branches
    with pytest.raises(InputError, match="3 BatchNorm branches, and this policy needs 4"):
        fitted(branches, parse_policy(two[:-1] + ",AT(ε=2,α=2,i=1))"))


def test_a_run_that_starts_elsewhere_is_another_run(few: Clips, tmp_path: Path) -> None:
    policy, config = parse_policy("standard"), FitConfig(epochs=1, batch=16)
    train(build("r3d-small", 10, seed=0), few, policy, config, checkpoints=tmp_path)
    with pytest.raises(RunError, match="another training"):
        train(build("r3d-small", 10, seed=1), few, policy, config, checkpoints=tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "APE(ε=8,α=4,i=1)+EMA",
        "AT(ε=128,α=auto,i=1,norm=L2)",
        "CAL(ε~paced(0,12),α=ε,i=1,by=step)",
        "AVG(AT(ε=8,α=4,i=1,mix=0.5),AT(ε=8,α=8,i=1))",
        "standard+SWA(start=1)",
    ],
)
def test_what_would_silently_do_nothing_or_something_else_is_refused(text: str) -> None:
    with pytest.raises(NotationError):
        parse_policy(text)


def test_the_threat_of_a_policy_is_parsed_once(few: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    true = crafting.threat_from_text

    def spy(eps: float, norm: str, support: str) -> Threat:
        parsed.append(support)
        return true(eps, norm, support)

    monkeypatch.setattr(crafting, "threat_from_text", spy)
    trained_by("MAX(AT(ε=8,α=4,i=1,support=Border(ratio=0.2)),N-FGSM(ε=8))", few, FitConfig(epochs=2, batch=8))
    assert sorted(parsed) == ["Border(ratio=0.2)", "WholeClip"]


@pytest.fixture
def pairing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The method of docs/training.md, imported from a file of a user's own."""
    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    (code,) = re.findall(r"```python\n(from dataclasses.*?)```", page, re.DOTALL)
    (tmp_path / "my_methods.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("my_methods").LogitPairing


def test_a_method_of_ones_own_trains_like_the_others(pairing: Any, small_data: VideoClips, tmp_path: Path) -> None:
    policy = parse_policy("AT(ε=8,α=8,i=1)+AWP+EMA(τ=0.5)")
    ends = {}
    for weight in (0.0, 1.0):
        how = {"epochs": 1, "batch": 64, "out": tmp_path / str(weight)}
        run = vr.fit(build("r3d-small", 10), small_data, pairing(policy, weight=weight), **how)
        assert {row["model"] for row in run.rows if "model" in row} == {str(pairing(policy, weight=weight))}
        ends[weight] = weights(run.model)
    assert not torch.equal(ends[0.0], ends[1.0])
    plain = vr.fit(build("r3d-small", 10), small_data, policy, epochs=1, batch=64)
    assert plain.rows[-1]["model"] == str(policy)
    with pytest.raises(RunError, match="another"):
        vr.fit(
            build("r3d-small", 10), small_data, pairing(policy, weight=2.0), epochs=1, batch=64, out=tmp_path / "1.0"
        )
