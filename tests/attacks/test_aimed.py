"""Targeted searches reach the class they are given, with no more than it takes, and say so only if they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.linear_models import NORMS, convolutional, distance, linear
from torch import Tensor, nn

from vidrobust.attacks.apgd import APGD
from vidrobust.attacks.base import AttackResult
from vidrobust.attacks.blind import Blind
from vidrobust.attacks.cw import CW
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.mifgsm import MIFGSM
from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.attacks.rays import RayS
from vidrobust.attacks.square import Square
from vidrobust.attacks.text import from_text
from vidrobust.attacks.wrappers import EOT
from vidrobust.errors import InputError, NotationError
from vidrobust.evaluation.clips import evaluate
from vidrobust.losses import cross_entropy, dlr, margin
from vidrobust.threats import L1, Flicker, Linf, Norm, Support, Threat, Universal, WholeClip

GRADIENTS: dict[str, Callable[[Threat, float], Any]] = {
    "fgsm": lambda threat, alpha: FGSM(threat, targeted=True),
    "pgd": lambda threat, alpha: PGD(threat, alpha, 100, targeted=True),
    "momentum": lambda threat, alpha: PGD(threat, alpha, 100, targeted=True, momentum=0.5),
    "apgd-ce": lambda threat, alpha: APGD(threat, 100, cross_entropy, targeted=True),
    "apgd-margin": lambda threat, alpha: APGD(threat, 100, margin, targeted=True),
    "cw": lambda threat, alpha: CW(threat, alpha, 100, targeted=True),
    "mifgsm": lambda threat, alpha: MIFGSM(threat, 100, alpha, targeted=True),
}


def two_classes(norm: Norm) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A model, clips, the classes to reach and how far they are."""
    model, clips, labels = linear(2)
    return model, clips, 1 - labels, distance(model, clips, labels, norm)


AROUND_CORNERS = [name for name in GRADIENTS if name not in ("fgsm", "momentum", "mifgsm")]
"""Those that follow an L1 ball's corners: neither one step nor steps along old gradients do."""


@pytest.mark.parametrize(
    ("name", "norm"),
    [(name, norm) for norm in NORMS for name in (AROUND_CORNERS if isinstance(norm, L1) else GRADIENTS)],
    ids=str,
)
def test_the_target_is_reached_within_one_percent_of_the_least_budget(name: str, norm: Norm) -> None:
    model, clips, targets, sizes = two_classes(norm)
    for factor, reached in ((1.01, True), (0.99, False)):
        threat = Threat(norm, (sizes.double() * factor).tolist())
        found = GRADIENTS[name](threat, sizes.mean().item() / 4)(model, clips, targets)
        assert (found.success == reached).all() and ((found.predicted == targets) == found.success).all()
        assert_held(threat, clips, found)


def assert_held(threat: Threat, clips: Tensor, found: AttackResult) -> None:
    assert ((found.clips >= 0) & (found.clips <= 1)).all()
    assert (threat.around(clips).size(found.clips) <= torch.tensor(threat.eps, dtype=torch.float64)).all()


SEARCHES: dict[str, Callable[[Threat], Any]] = {
    "fgsm": lambda threat: FGSM(threat, targeted=True),
    "pgd": lambda threat: PGD(threat, 0.02, 8, targeted=True),
    "apgd": lambda threat: APGD(threat, 20, targeted=True),
    "apgd-dlr": lambda threat: APGD(threat, 20, dlr, targeted=True),
    "cw": lambda threat: CW(threat, 0.02, 8, targeted=True),
    "cw-auto": lambda threat: CW(threat, "auto", 5, targeted=True),
    "mifgsm": lambda threat: MIFGSM(threat, 5, 0.02, shifts=1, targeted=True),
    "square": lambda threat: Square(threat, 40, targeted=True),
}


@pytest.mark.parametrize("support", [WholeClip(), Flicker(), Universal()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("name", SEARCHES)
def test_the_loss_of_the_target_falls_and_success_is_the_target(name: str, support: Support) -> None:
    model = convolutional()
    clips = torch.rand(6, 3, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    logits = model(clips).detach()
    targets = logits.argsort(1)[:, -2] if not isinstance(support, Universal) else torch.full((6,), 3)
    threat = Threat(Linf(), 0.1, support)
    search = SEARCHES[name](threat)
    found = search(model, clips, targets)
    assert_held(threat, clips, found)
    loss = {"apgd-dlr": dlr, "cw": margin, "cw-auto": margin, "square": margin}.get(name, cross_entropy)
    assert found.loss.mean() < loss(logits, targets).mean()
    torch.testing.assert_close(found.loss, loss(model(found.clips), targets).detach(), rtol=1e-4, atol=1e-5)
    assert torch.equal(found.success, found.predicted == targets)
    assert found.success.float().mean() >= (logits.argmax(1) == targets).float().mean()


@pytest.mark.parametrize("name", ["pgd", "apgd", "cw", "square"])
def test_clips_that_are_there_leave_at_once_and_unchanged_ones_do_not_count(name: str) -> None:
    model = convolutional()
    clips = torch.rand(4, 3, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    found = SEARCHES[name](Threat(Linf(), 0.0 if name != "cw-auto" else 0.1))(model, clips, model(clips).argmax(1))
    assert found.success.all() and (found.queries <= 2).all()
    wrong = (model(clips).argmax(1) + 1) % 5
    assert not SEARCHES[name](Threat(Linf(), 0.0))(model, clips, wrong).success.any()


def test_wrappers_hand_the_goal_on() -> None:
    model = convolutional()
    clips = torch.rand(4, 3, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    targets = model(clips).argsort(1)[:, -2]
    search = PGD(Threat(Linf(), 0.3), 0.05, 10, targeted=True)

    class Defended(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier, self.transform = model, nn.Identity()

        def forward(self, clips: Tensor) -> Tensor:
            return self.classifier(self.transform(clips))

    for attack, attacked in ((EOT(search, 2), model), (FrameSaliency(search, 3), model), (Blind(search), Defended())):
        found = attack(attacked, clips, targets)
        assert torch.equal(found.success, found.predicted == targets) and found.success.any()


def test_text_knows_true_and_false() -> None:
    for name in ("FGSM", "PGD", "APGD", "CW", "MIFGSM", "Square"):
        more = ",α=2,i=5" if name == "PGD" else ""
        assert from_text(f"{name}(ε=8{more},targeted=true)", None).targeted is True
        assert from_text(f"{name}(ε=8{more},targeted=false)", None).targeted is False
    for name in ("FAB", "RayS", "AutoAttack", "TargetedAPGD"):
        with pytest.raises(NotationError, match="no field 'targeted'"):
            from_text(f"{name}(ε=8,targeted=true)", None)


@pytest.mark.parametrize("wrap", [lambda search: search, lambda search: EOT(search, 2)])
def test_robust_accuracy_refuses_them(wrap: Any, small_data: Any) -> None:
    search = PGD(Threat(Linf(), 0.1), 0.05, 2, targeted=True)
    with pytest.raises(InputError, match="targeted"):
        evaluate(convolutional(classes=len(small_data.classes)), small_data.test, [wrap(search)])


def test_those_that_look_for_the_nearest_boundary_have_none() -> None:
    for kind in (FAB, RayS):
        with pytest.raises(TypeError, match="targeted"):
            kind(Threat(Linf(), 0.1), targeted=True)
