"""Attacks find the same whatever ``torch.set_default_dtype`` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from helpers.linear_models import convolutional

from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.autoattack import AutoAttack
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
from vidrobust.attacks.wrappers import EOT
from vidrobust.threats import (
    L1,
    L2,
    Area,
    Border,
    Flicker,
    Frames,
    Linf,
    Multiplicative,
    OneFrame,
    Patch,
    Support,
    Threat,
    Universal,
)

MODEL = convolutional()
CLIPS = torch.rand(3, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    LABELS = MODEL(CLIPS).argmax(1)
SEARCHES: dict[str, Callable[[Threat], Any]] = {
    "pgd": lambda threat: PGD(threat, 0.01, 3, random_start=True, momentum=0.5),
    "fgsm": lambda threat: FGSM(threat, random_start=True),
    "auto": lambda threat: PGD(threat, "auto", 2),
    "apgd": lambda threat: APGD(threat, steps=12),
    "apgd-t": lambda threat: TargetedAPGD(threat, steps=3, targets=2),
    "cw": lambda threat: CW(threat, alpha=0.02, steps=3, random_start=True),
    "mifgsm": lambda threat: MIFGSM(threat, alpha=0.01, steps=2, shifts=1, blur=3),
    "square": lambda threat: Square(threat, queries=8),
    "fab": lambda threat: FAB(threat, steps=3, targets=2, restarts=2),
    "rays": lambda threat: RayS(threat, queries=8),
    "fmn": lambda threat: FMN(threat, steps=4),
    "saliency": lambda threat: FrameSaliency(PGD(threat, 0.01, 2), 1, iterative=True),
    "eot": lambda threat: EOT(PGD(threat, 0.01, 2), 2),
    "autoattack": lambda threat: AutoAttack(threat, steps=3, targets=2, queries=6),
}
SUPPORTS: list[Support] = [
    Area(0.3, place="random"), Patch(1, 2, 4, 4), Border(0.3), Frames((0, 2)), Flicker(roughness=0.1), OneFrame(),
    Multiplicative(1.2), Universal(),
]  # fmt: skip


@contextmanager
def default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("norm", [Linf(), L2(), L1()], ids=str)
@pytest.mark.parametrize("name", SEARCHES)
def test_every_search(name: str, norm: Any, dtype: torch.dtype) -> None:
    threat = Threat(norm, 0.05 if isinstance(norm, Linf) else 1.0)
    same(SEARCHES[name](threat), dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("support", SUPPORTS, ids=lambda support: type(support).__name__)
@pytest.mark.parametrize("norm", [Linf(), L2()], ids=str)
def test_every_support(support: Support, norm: Any, dtype: torch.dtype) -> None:
    same(PGD(Threat(norm, 0.05, support), 0.02, 3, random_start=True), dtype)


def same(attack: Any, dtype: torch.dtype) -> None:
    wanted = attack(MODEL, CLIPS, LABELS)
    with default(dtype):
        found = attack(MODEL, CLIPS, LABELS)
        fresh = attack(convolutional(), CLIPS, LABELS) if dtype == torch.float64 else found  # with a copy made here
    for got in (found, fresh):
        assert got.clips.dtype == torch.float32 and got.loss.dtype == torch.float32
    assert torch.equal(found.clips, wanted.clips)
    assert torch.equal(found.success, wanted.success) and torch.equal(found.queries, wanted.queries)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_ddn_and_calibration(dtype: torch.dtype) -> None:
    same(DDN(Threat(L2(), 1.0), steps=4), dtype)
    wanted = calibrate(convolutional(), Threat(Linf(), 0.05), 3, CLIPS, LABELS)
    with default(dtype):
        assert calibrate(MODEL, Threat(Linf(), 0.05), 3, CLIPS, LABELS)[3].alpha == pytest.approx(wanted[3].alpha)
