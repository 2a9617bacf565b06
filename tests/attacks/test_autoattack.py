"""AutoAttack on clips: a cascade, its flags, and going on after a kill."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.linear_models import convolutional, distance, linear
from torch import Tensor, nn

from vidrobust.attacks.apgd import TargetedAPGD
from vidrobust.attacks.autoattack import AutoAttack, EnsembleState, RobustnessWarning
from vidrobust.attacks.square import Square
from vidrobust.attacks.wrappers import EOT
from vidrobust.errors import InputError, RunError
from vidrobust.losses import targeted_dlr, targeted_margin
from vidrobust.threats import L1, L2, Linf, Norm, Threat


def short(threat: Threat, **settings: object) -> AutoAttack:
    return AutoAttack(threat, **({"steps": 8, "targets": 3, "queries": 30} | settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("norm", [Linf(), L2(), L1()], ids=str)
def test_it_breaks_what_can_be_broken_and_nothing_else(norm: Norm, classes: int) -> None:
    model, clips, labels = linear(classes)
    size = distance(model, clips, labels, norm)
    factor = torch.where(torch.arange(len(clips)) % 2 == 0, 1.03, 0.97)
    found = short(Threat(norm, size.double() * factor), steps=20)(model, clips, labels)
    assert found.success.tolist() == (factor > 1).tolist()
    assert found.standing["clean"] == len(clips) and found.standing["Square"] == int((factor < 1).sum())
    assert found.flags == ()


@pytest.mark.parametrize(("classes", "loss"), [(2, targeted_margin), (3, targeted_margin), (4, targeted_dlr)])
def test_few_classes_get_the_margin(classes: int, loss: object) -> None:
    stage = short(Threat(Linf(), 0.1)).stages(classes)["APGD-T"]
    assert isinstance(stage, TargetedAPGD) and stage.loss is loss


def test_the_result_does_not_depend_on_the_batch() -> None:
    model = convolutional()
    clips = torch.rand(9, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        labels = model(clips).argmax(1)
    attack = short(Threat(Linf(), 8 / 255), precision="exact")
    whole = attack(model, clips, labels)
    parts = [attack(model, *part) for part in zip(clips.split(2), labels.split(2), strict=True)]
    assert 0 < whole.success.sum() < len(clips)
    assert torch.equal(torch.cat([part.success for part in parts]), whole.success)
    torch.testing.assert_close(torch.cat([part.clips for part in parts]), whole.clips, rtol=0, atol=1e-5)


def test_misclassified_clips_cost_next_to_nothing() -> None:
    model, clips, labels = linear(3)
    wrong = labels.clone()
    wrong[:3] = (labels[:3] + 1) % 3
    found = short(Threat(L2(), 1e-4))(model, clips, wrong)
    assert found.success[:3].all() and not found.success[3:].any()
    assert (found.forwards[:3] < 10).all() and (found.forwards[3:] > 30).all()


class StopError(Exception):
    """Stands for a kill."""


def test_it_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, clips, labels = linear(5)
    threat = Threat(Linf(), distance(model, clips, labels, Linf()) * torch.linspace(0.9, 1.1, len(clips)))
    whole = short(threat)(model, clips, labels)
    attack, search = short(threat, state=tmp_path), Square.search

    def killed(self: Square, run: object) -> None:
        raise StopError

    monkeypatch.setattr(Square, "search", killed)
    with pytest.raises(StopError):
        attack(model, clips, labels)
    monkeypatch.setattr(Square, "search", search)
    monkeypatch.setattr(TargetedAPGD, "search", killed)  # what is finished is not run again
    resumed = attack(model, clips, labels)
    for name in ("clips", "success", "forwards", "backwards", "queries"):
        assert torch.equal(getattr(resumed, name), getattr(whole, name)), name
    assert resumed.standing == whole.standing
    assert len(list(tmp_path.iterdir())) == 1


def test_another_model_or_threat_never_meets_the_state(tmp_path: Path) -> None:
    model, clips, labels = linear(5)
    short(Threat(Linf(), 0.01), state=tmp_path)(model, clips, labels)
    short(Threat(Linf(), 0.02), state=tmp_path)(model, clips, labels)
    with torch.no_grad():
        model[1].bias += 1e-3
    short(Threat(Linf(), 0.01), state=tmp_path)(model, clips, labels)
    short(Threat(Linf(), 0.01), state=tmp_path)(lambda clips: model(clips), clips, labels)
    short(Threat(Linf(), 0.01), state=tmp_path)(model, clips[:4], labels[:4])
    assert len(list(tmp_path.iterdir())) == 5


def test_the_same_weights_in_another_model_never_meet_the_state(tmp_path: Path) -> None:
    model, clips, labels = linear(5)
    attack = short(Threat(Linf(), 0.01), state=tmp_path)
    attack(model, clips, labels)
    with pytest.raises(InputError, match="probabilities"):
        attack(nn.Sequential(*model, nn.Softmax(1)), clips, labels)  # a state dict of the same names and values


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    model, clips, labels = linear(5)
    attack = short(Threat(Linf(), 0.01), state=tmp_path)
    attack(model, clips, labels)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(RunError, match=f"{file.name} is damaged"):
        attack(model, clips, labels)


def test_a_randomised_model_is_flagged() -> None:
    model, clips, labels = linear(3)

    def noisy(clips: Tensor) -> Tensor:
        return model(clips + 0.1 * torch.randn_like(clips))

    attack = short(Threat(Linf(), 1e-3), steps=2, queries=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noise breaks a clip now and then, by which Square may seem to beat gradients
        alone, averaged = attack(noisy, clips, labels), EOT(attack, samples=2)(noisy, clips, labels)
    assert "EOT" in alone.flags[0]
    assert not any("randomised" in flag for flag in averaged.flags)  # type: ignore[attr-defined]


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_randomised_model_draws_the_same_after_a_kill(
    stages: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clips, labels = linear(3)

    def noisy(clips: Tensor) -> Tensor:
        return model(clips + 0.02 * torch.randn_like(clips))

    def attacked(folder: Path) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search = short(Threat(Linf(), 2e-3), steps=2, queries=20, state=folder)
            return EOT(search, samples=2)(noisy, clips, labels).clips

    whole, save, saved = attacked(tmp_path / "whole"), EnsembleState.save, []

    def killed(self: EnsembleState, file: Path | None, run: Any) -> None:
        save(self, file, run)
        saved.append(file)
        if len(saved) == stages:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EnsembleState, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            attacked(tmp_path / "killed")
    assert torch.equal(attacked(tmp_path / "killed"), whole)


def test_zero_gradients_and_a_better_black_box_are_flagged() -> None:
    model, clips, labels = linear(3)

    def coarse(clips: Tensor) -> Tensor:
        return model((clips * 32).round() / 32)

    with torch.no_grad():
        labels = coarse(clips).argmax(1)
    attack = AutoAttack(Threat(Linf(), 0.1), steps=1, targets=1, queries=60)
    with pytest.warns(RobustnessWarning) as caught:
        found = attack(coarse, clips, labels)
    assert len(caught) == len(found.flags) == 2
    assert f"gradient of {len(clips)} of {len(clips)} clips" in found.flags[0]
    assert "Square broke" in found.flags[1]


def test_probabilities_are_refused() -> None:
    model, clips, labels = linear(3)
    with pytest.raises(InputError, match="probabilities"):
        AutoAttack(Threat(Linf(), 0.01))(nn.Sequential(model, nn.Softmax(1)), clips, labels)
