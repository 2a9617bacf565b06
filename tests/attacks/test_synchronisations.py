"""How often the host waits for the device in an attack."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from helpers.linear_models import convolutional
from helpers.synchronisations import Synchronisations

from vidrobust.attacks.apgd import APGD
from vidrobust.attacks.cw import CW
from vidrobust.attacks.mifgsm import MIFGSM
from vidrobust.attacks.pgd import PGD
from vidrobust.threats import L1, L2, Flicker, Linf, Threat, Universal, WholeClip, norms


def counted(make: Callable[[int], Any]) -> float:
    """Synchronisations of one more step: those of attacks of many steps less those of few."""
    model = convolutional()
    clips = torch.rand(4, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = model(clips).argmax(1)
    counts = []
    for steps in (3, 13):
        attack = make(steps)
        attack(model, clips, labels)
        with Synchronisations() as seen:
            attack(model, clips, labels)
        counts.append(len(seen))
    return (counts[1] - counts[0]) / 10


@pytest.mark.parametrize("support", [WholeClip(), Flicker(), Universal()], ids=str)
def test_pgd_to_its_last_iterate_never_waits(support: Any) -> None:
    assert counted(lambda steps: PGD(Threat(Linf(), 1e-9, support), 1e-9, steps, keep="last")) == 0


@pytest.mark.parametrize("norm", [L2(), L1()], ids=str)
def test_nor_do_other_norms_on_a_gpu(norm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert counted(lambda steps: PGD(Threat(norm, 1e-5), 1e-5, steps, keep="last")) > 0
    monkeypatch.setattr(norms, "may_wait", lambda tensor: False)  # as on a GPU
    assert counted(lambda steps: PGD(Threat(norm, 1e-5), 1e-5, steps, keep="last")) == 0


def test_pgd_with_early_exit_waits_once_a_step() -> None:
    assert counted(lambda steps: PGD(Threat(Linf(), 1e-9), 1e-9, steps)) <= 1


@pytest.mark.parametrize("search", [APGD, partial(CW, alpha=1e-9), partial(MIFGSM, alpha=1e-9)])
def test_other_searches_wait_once_a_step(search: Any) -> None:
    assert counted(lambda steps: search(Threat(Linf(), 1e-9), steps=steps)) <= 1
