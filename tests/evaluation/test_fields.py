"""Rows say by fields which attack they are about, for every search and whatever wraps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from helpers.names import name_of
from torch import nn

from vidrobust.attacks.aimed import Aimed
from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.autoattack import AutoAttack
from vidrobust.attacks.blind import Blind
from vidrobust.attacks.cw import CW
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.fmn import FMN
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.mifgsm import MIFGSM
from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.attacks.rays import RayS
from vidrobust.attacks.square import Square
from vidrobust.attacks.text import from_text
from vidrobust.attacks.wrappers import BPDA, EOT
from vidrobust.data.dataset import VideoClips
from vidrobust.evaluation.clips import evaluate, robustness_rows
from vidrobust.evaluation.defences import TRANSFORMS, Defended, FrameShuffle, Recompress, adaptive
from vidrobust.evaluation.fields import attack_budget, attack_fields, attack_text
from vidrobust.evaluation.videos import evaluate_views
from vidrobust.losses import dlr, margin
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.threats import L1, L2, Border, Flicker, Frames, Linf, Mask, Threat, Universal

LINF = Threat(Linf(), 16 / 255)
PLAIN = PGD(LINF, 4 / 255, 20)
ROW = {
    "search": "PGD", "norm": "Linf", "support": "WholeClip", "loss": "cross_entropy", "targeted": False,
    "defence": "", "blind": False,
}  # fmt: skip


def coarse(clips: torch.Tensor) -> torch.Tensor:
    return (clips * 16).round() / 16


@dataclass(frozen=True)
class OwnPlace(Border):
    """A user's own support."""


@dataclass(frozen=True)
class OwnNorm(Linf):
    """A user's own norm."""


def own_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return -logits.gather(1, labels[:, None])[:, 0]


@pytest.mark.parametrize(
    ("attack", "differs"),
    [
        (None, {"search": "none"}),
        (PLAIN, {}),
        (FGSM(LINF), {"search": "FGSM"}),
        (APGD(LINF, loss=dlr), {"search": "APGD", "loss": "dlr"}),
        (TargetedAPGD(LINF), {"search": "TargetedAPGD", "loss": "targeted_dlr"}),
        (MIFGSM(LINF), {"search": "MIFGSM"}),
        (CW(LINF), {"search": "CW", "loss": "margin"}),
        (FAB(LINF), {"search": "FAB", "loss": "targeted_margin"}),
        (Square(LINF), {"search": "Square", "loss": "margin"}),
        (RayS(LINF), {"search": "RayS", "loss": ""}),
        (AutoAttack(LINF), {"search": "AutoAttack", "loss": ""}),
        (PGD(Threat(L2(), 1.0), 0.1, 5, loss=margin), {"norm": "L2", "loss": "margin"}),
        (PGD(Threat(L1(0.1), 8.0), 0.1, 5), {"norm": "L1(share=0.1)"}),
        (PGD(Threat(Linf(), 0.1, Border(0.1)), 0.1, 5), {"support": "Border(ratio=0.1)"}),
        (PGD(Threat(Linf(), 0.1, Flicker()), 0.1, 5), {"support": "Flicker"}),
        (PGD(Threat(L1(), 8.0), 0.1, 5), {"norm": "L1"}),
        (PGD(Threat(Linf(), 0.1, Mask(torch.eye(4) > 0)), 0.1, 5), {"support": "Mask(pixels=4 of 16)"}),
        (
            PGD(Threat(Linf(), 0.1, Universal(Flicker(0.1))), 0.1, 5),
            {"support": "Universal(within=Flicker(thickness=0.1))"},
        ),
        (PGD(LINF, 0.1, 5, targeted=True), {"targeted": True}),
        (Aimed(PGD(LINF, 0.1, 5, targeted=True), 3), {"targeted": True}),
        (EOT(PLAIN), {"search": "EOT(PGD)"}),
        (FrameSaliency(PLAIN, 2), {"search": "FrameSaliency(PGD)"}),
        (EOT(FrameSaliency(PLAIN, 2)), {"search": "EOT(FrameSaliency(PGD))"}),
        (BPDA(PLAIN, coarse), {"search": "BPDA(PGD)", "defence": f"{__name__}.coarse"}),
        (BPDA(PLAIN, Recompress(20)), {"search": "BPDA(PGD)", "defence": "Recompress(quality=20)"}),
        (Blind(PLAIN), {"blind": True}),
        (Blind(EOT(CW(LINF))), {"blind": True, "search": "EOT(CW)", "loss": "margin"}),
    ],
    ids=name_of,
)
def test_fields_follow_the_attack(attack: Any, differs: dict[str, object]) -> None:
    assert attack_fields(attack) == ROW | differs


def test_a_transform_before_the_model_is_its_defence() -> None:
    model = Defended(nn.Identity(), FrameShuffle(window=4))
    assert attack_fields(None, model)["defence"] == "FrameShuffle(window=4)"
    assert attack_fields(adaptive(PLAIN, model), model) == ROW | {
        "search": "EOT(PGD)",
        "defence": "FrameShuffle(window=4)",
    }


@pytest.mark.parametrize("level", [0.1, 0.3, 1, 7, 8, 16, 12.5, 255])
def test_a_budget_is_told_as_it_was_asked(level: float) -> None:
    """float32 would make 16.000001 of 16."""
    for threat in (Threat(Linf(), level / 255), Threat(L2(), (level / 510, level / 255))):
        search = PGD(threat, level / 1020, 5)
        for attack in (search, EOT(search), FrameSaliency(search, 2), EOT(FrameSaliency(search, 2)), Blind(search)):
            assert attack_budget(attack) == (level, level / 4, 5)
        assert attack_budget(EOT(Square(threat))) == (level, 0.0, 1)


def test_every_kind_of_row_has_the_fields(trained: ResNet3d, small_data: VideoClips) -> None:
    few = small_data.test.subset(range(4))
    attack = PGD(Threat(L2(), 0.1), 0.1, 1)
    rows = robustness_rows(trained, few, (0, 1), (1,), lambda eps, steps: eps)
    assert [{key: row[key] for key in ROW} for row in rows] == [ROW | {"search": "none"}, ROW]
    for level in ("clip", "video"):
        rows += evaluate_views(trained, few, [attack], views=2, level=level)  # type: ignore[arg-type]
    rows += evaluate(trained, few, [attack])
    for row in rows[2:]:
        assert {key: row[key] for key in ROW} == ROW | ({"norm": "L2"} if row["eps"] else {"search": "none"})
    assert {row["sources"] for row in rows} == {len(set(few.sources))}


@pytest.mark.parametrize(
    "attack",
    [
        PLAIN,
        FGSM(LINF, random_start=True),
        PGD(Threat(L2(), 1.0, Border(0.1)), "auto", 5, keep="last", loss=margin, momentum=0.5),
        APGD(Threat(L1(0.1), 8.0, Universal(Flicker(0.1))), steps=7, loss=dlr, restarts=2),
        FMN(LINF, steps=9, alpha=0.5),
        CW(Threat(Linf(), 0.1, Frames((0, 2)))),
        EOT(FrameSaliency(PLAIN, 2, iterative=True), samples=3),
        BPDA(Square(LINF, queries=9), Recompress(20)),
        AutoAttack(LINF, steps=9),
        PGD(Threat(OwnNorm(), 0.1, OwnPlace(0.3)), 0.01, 5, loss=own_loss),
        BPDA(PLAIN, coarse),
    ],
    ids=attack_text,
)
def test_the_text_of_an_attack_reads_back(attack: Any) -> None:
    """And says nothing of where a function lies in memory, so that the same attack has the same row."""
    text = attack_text(attack)
    assert "0x" not in text and "=<" not in text
    read = from_text(text, None, TRANSFORMS)
    assert attack_text(read) == text
    assert attack_fields(read) == attack_fields(attack) and attack_budget(read) == pytest.approx(attack_budget(attack))


def test_what_cannot_be_read_back_has_no_path() -> None:
    """A class within a function, or a function without a name."""

    @dataclass(frozen=True)
    class Hidden(Border):
        pass

    attack = PGD(Threat(Linf(), 0.1, Hidden(0.3)), 0.01, 5, loss=lambda logits, labels: -logits[:, 0])
    assert (attack_fields(attack)["support"], attack_fields(attack)["loss"]) == ("Hidden(ratio=0.3)", "<lambda>")


@pytest.mark.parametrize(
    "texts", [("momentum=1", "momentum=1.0"), ("support=Border(ratio=1)", "support=Border(ratio=1.0)")]
)
def test_a_whole_number_is_spelled_alike_as_int_and_float(texts: tuple[str, str]) -> None:
    one, other = (from_text(f"PGD(ε=8,α=2,i=2,{text})", None) for text in texts)
    assert attack_text(one) == attack_text(other)
    assert attack_fields(one) == attack_fields(other)
