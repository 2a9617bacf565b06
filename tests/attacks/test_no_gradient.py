"""Every search by gradients counts, and tells of, clips that survive without ever having had a usable gradient."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.linear_models import linear
from torch import Tensor, nn

from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.autoattack import AutoAttack
from vidrobust.attacks.base import AttackResult, RobustnessWarning
from vidrobust.attacks.cw import CW
from vidrobust.attacks.ddn import DDN
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.fmn import FMN
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.mifgsm import MIFGSM
from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.attacks.rays import RayS
from vidrobust.attacks.square import Square
from vidrobust.attacks.step_size import calibrate
from vidrobust.attacks.wrappers import BPDA, EOT
from vidrobust.errors import VidrobustWarning
from vidrobust.losses import dlr, margin
from vidrobust.threats import L1, L2, Border, Flicker, Frames, Linf, Threat, Universal

INNER, CLIPS, LABELS = linear(classes=4)
WIDE = Threat(Linf(), 0.1)
"""Under which every one of these clips can be broken."""

SEARCHES: dict[str, Callable[[Threat], Any]] = {
    "pgd": lambda threat: PGD(threat, 0.03, 5),
    "pgd last": lambda threat: PGD(threat, 0.03, 5, keep="last"),
    "pgd restarts": lambda threat: PGD(threat, 0.03, 5, restarts=2, momentum=0.9),
    "fgsm": FGSM,
    "apgd": lambda threat: APGD(threat, steps=5),
    "apgd dlr": lambda threat: APGD(threat, steps=5, loss=dlr),
    "apgd-t": lambda threat: TargetedAPGD(threat, steps=5, targets=3),
    "cw": lambda threat: CW(threat, alpha=0.05, steps=5),
    "mifgsm": lambda threat: MIFGSM(threat, alpha=0.03, steps=4),
    "fab": lambda threat: FAB(threat, steps=8, targets=3),
    "fmn": lambda threat: FMN(threat, steps=20, precision="exact"),
    "saliency": lambda threat: FrameSaliency(PGD(threat, 0.03, 5), frames=2),
    "iterative saliency": lambda threat: FrameSaliency(PGD(threat, 0.03, 5), frames=2, iterative=True),
    "eot": lambda threat: EOT(PGD(threat, 0.03, 5), samples=2),
    "bpda": lambda threat: BPDA(PGD(threat, 0.03, 5), lambda clips: clips),
    "autoattack": lambda threat: AutoAttack(threat, steps=6, targets=3, queries=2),
}
BLACK_BOX = {"square": lambda threat: Square(threat, queries=5), "rays": lambda threat: RayS(threat, queries=5)}


class Model(nn.Module):
    """The linear model, whose right answers stay right, with something the matter with its gradient."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = INNER, kind

    def forward(self, clips: Tensor) -> Tensor:
        logits = self.inner(clips)
        odd = (clips.flatten(1)[:, 0] > CLIPS[3].flatten()[0]).nonzero().flatten()  # about half of them
        root = (0 * clips).sqrt().flatten(1)  # 0, with a gradient of 0 · ∞
        return {
            "sound": lambda: logits,
            "saturated": lambda: logits * 1e6,
            "rounded away": lambda: logits * 200,
            "underflow": lambda: logits * 1e-42,
            "nan": lambda: logits + root.sum(1, keepdim=True),
            "nan of some": lambda: logits.index_add(
                0, odd, (0 * clips[odd]).sqrt().flatten(1).sum(1)[:, None].expand(-1, 4)
            ),
            "nan of one pixel": lambda: logits + root[:, :1],
            "constant": lambda: logits.detach() + 0 * logits,
            "quantised": lambda: self.inner((clips * 32).floor() / 32) + 0 * logits,
        }[self.kind]()


def attacked(attack: Any, model: nn.Module) -> tuple[AttackResult, list[str]]:
    """The result, and what was said of missing gradients."""
    with torch.no_grad():
        labels = model(CLIPS).argmax(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = attack(model, CLIPS, labels)
    told = [str(one.message) for one in caught if issubclass(one.category, RobustnessWarning)]
    return found, [text for text in told if "zero or not finite at every step" in text]


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize(
    "kind",
    ["saturated", "rounded away", "underflow", "nan", "nan of some", "nan of one pixel", "constant", "quantised"],
)
def test_what_survives_was_attacked_or_is_told_of(name: str, kind: str) -> None:
    found, told = attacked(SEARCHES[name](WIDE), Model(kind))
    sound, _ = attacked(SEARCHES[name](WIDE), Model("sound"))
    assert (found.success | found.no_gradient | ~sound.success).all()  # what the sound model loses, it loses or tells
    assert not (found.success & found.no_gradient).any()
    assert found.no_gradient.shape == LABELS.shape and found.no_gradient.dtype == torch.bool
    count = int(found.no_gradient.sum())
    assert [f"gradient of {count} of {len(CLIPS)} clips" in text for text in told] == [True] * bool(count)
    if kind in ("constant", "nan"):
        assert found.no_gradient.any()
        assert torch.equal(found.no_gradient, ~found.success)
    assert found.clips.isfinite().all() and ((found.clips - CLIPS).abs() <= 0.1).all()


@pytest.mark.parametrize("name", [*SEARCHES, *BLACK_BOX])
@pytest.mark.parametrize("eps", [0.0, 1e-4])
def test_a_sound_model_that_withstands_is_not_suspected(name: str, eps: float) -> None:
    """Nor is one that no attack may change."""
    found, told = attacked((SEARCHES | BLACK_BOX)[name](Threat(Linf(), eps)), Model("sound"))
    assert not found.success.any() and not found.no_gradient.any() and not told


@pytest.mark.parametrize("name", BLACK_BOX)
@pytest.mark.parametrize("kind", ["saturated", "nan", "constant"])
def test_black_boxes_need_no_gradient(name: str, kind: str) -> None:
    found, told = attacked(BLACK_BOX[name](WIDE), Model(kind))
    assert not found.no_gradient.any() and not told


@pytest.mark.parametrize("attack", [PGD(WIDE, 0.03, 5), APGD(WIDE, steps=5)])
def test_the_loss_that_helps_is_named_and_helps(attack: Any) -> None:
    found, told = attacked(attack, Model("saturated"))
    assert found.success.sum() <= 1 and "loss=margin or loss=dlr" in told[0]
    for loss in (margin, dlr):
        assert attacked(replace(attack, loss=loss), Model("saturated"))[0].success.all()
    assert issubclass(RobustnessWarning, VidrobustWarning)


@pytest.mark.parametrize("search", ["pgd", "pgd last", "apgd", "cw", "mifgsm"])
@pytest.mark.parametrize("norm", [Linf(), L2(), L1()], ids=str)
@pytest.mark.parametrize("support", [Border(0.2), Frames((1,)), Flicker(), Universal()], ids=str)
def test_a_gradient_outside_the_support_is_none(search: str, norm: Any, support: Any) -> None:
    """The model looks at the inner pixels of the first frame alone."""

    class Looks(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            inside = torch.zeros_like(clips)
            inside[:, :, 0, 2:4, 2:4] = 1
            return INNER(clips * inside)

    found, told = attacked(SEARCHES[search](Threat(norm, 0.01, support)), Looks())
    reached = isinstance(support, (Flicker, Universal))
    assert found.no_gradient.all() != reached and bool(told) != reached


def test_one_step_with_a_gradient_is_enough() -> None:
    """A clip that stands on a plateau, and is moved from a random start, was attacked."""

    class Plateau(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            away = clips - 0.6
            return INNER(0.6 + away.sign() * (away.abs() - 0.001).clamp(min=0))

    grey = torch.full_like(CLIPS, 0.6)
    labels = Plateau()(grey).argmax(1)
    with pytest.warns(RobustnessWarning, match="zero"):
        still = PGD(Threat(Linf(), 0.004), 0.001, 5)(Plateau(), grey, labels)
    assert still.no_gradient.all()
    moved = PGD(Threat(Linf(), 0.004), 0.001, 5, random_start=True)(Plateau(), grey, labels)
    assert not moved.no_gradient.any()


def test_trajectories_and_calibrations_say_so_too() -> None:
    model, attack = Model("saturated"), PGD(WIDE, 0.03, 3)
    with pytest.warns(RobustnessWarning, match="8 of 8 clips was zero"):
        iterates = list(attack.trajectory(model, CLIPS, LABELS))
    assert iterates[-1].no_gradient.all()
    with pytest.warns(RobustnessWarning, match="α.* rests on"):
        calibrate(model, WIDE, 3, CLIPS, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not list(attack.trajectory(Model("sound"), CLIPS, LABELS))[-1].no_gradient.any()


def test_ddn_says_so() -> None:
    found, told = attacked(DDN(Threat(L2(), 1.0), steps=5), Model("constant"))
    assert found.no_gradient.all() and told


def test_clips_that_are_wrong_as_they_are_do_not_count() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = PGD(WIDE, 0.03, 5)(Model("constant"), CLIPS, (LABELS + 1) % 4)
    assert found.success.all() and not found.no_gradient.any()


def test_a_turned_view_of_a_clip_does_not_count_as_the_clip() -> None:
    """The transfer attack averages gradients of clips rolled in time; the model looks at the first frame alone."""

    class First(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return INNER(clips * (torch.arange(clips.shape[2]) == 0)[:, None, None])

    attack = MIFGSM(Threat(Linf(), 0.01, Frames((1,))), alpha=0.01, steps=3, shifts=1)
    found, told = attacked(attack, First())
    assert torch.equal(found.no_gradient, ~found.success) and bool(told) == bool(found.no_gradient.any())


def test_a_minority_without_gradients_is_counted_clip_by_clip() -> None:
    found, told = attacked(PGD(Threat(Linf(), 1e-4), 1e-4, 2), Model("nan of some"))
    odd = CLIPS.flatten(1)[:, 0] > CLIPS[3].flatten()[0]
    assert 0 < odd.sum() < len(CLIPS)
    assert torch.equal(found.no_gradient, odd) and f"{int(odd.sum())} of {len(CLIPS)} clips" in told[0]
