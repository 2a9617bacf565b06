"""Every search with settings that are quick: a new one has a line in each list, and the tests of all take it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.autoattack import AutoAttack
from vidrobust.attacks.cw import CW
from vidrobust.attacks.ddn import DDN
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.fmn import FMN
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.key_regions import KeyRegions
from vidrobust.attacks.mifgsm import MIFGSM
from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.attacks.rays import RayS
from vidrobust.attacks.square import Square
from vidrobust.attacks.vbad import VBAD
from vidrobust.attacks.wrappers import BPDA, EOT
from vidrobust.threats import Threat

ATTACKS: dict[str, Callable[[Threat], Any]] = {
    "PGD": lambda threat: PGD(threat, 1e-5, 3, restarts=2),
    "FGSM": FGSM,
    "APGD": lambda threat: APGD(threat, steps=3, restarts=2),
    "TargetedAPGD": lambda threat: TargetedAPGD(threat, steps=3, targets=2),
    "CW": lambda threat: CW(threat, alpha=1e-5, steps=3),
    "MIFGSM": lambda threat: MIFGSM(threat, alpha=1e-5, steps=3, shifts=1),
    "FAB": lambda threat: FAB(threat, steps=3, targets=2, restarts=2),
    "FMN": lambda threat: FMN(threat, steps=3, targets=2),
    "DDN": lambda threat: DDN(threat, steps=3, targets=2),
    "Square": lambda threat: Square(threat, queries=6),
    "RayS": lambda threat: RayS(threat, queries=6),
    "VBAD": lambda threat: VBAD(threat, queries=6, samples=2),
    "AutoAttack": lambda threat: AutoAttack(threat, steps=3, targets=2, queries=6),
    "FrameSaliency": lambda threat: FrameSaliency(PGD(threat, 1e-5, 3), frames=2, iterative=True),
    "KeyRegions": lambda threat: KeyRegions(Square(threat, queries=12), frames=1, grid=2),
    "EOT": lambda threat: EOT(PGD(threat, 1e-5, 3), samples=3),
    "BPDA": lambda threat: BPDA(Square(threat, queries=6), lambda clips: clips),
}
"""What costs and takes what it says (``test_traits``): all but ``Blind``."""

SEARCHES: dict[str, Callable[[Threat], Any]] = {
    "pgd": lambda threat: PGD(threat, alpha=0.01, steps=4, restarts=2),
    "apgd": lambda threat: APGD(threat, steps=6),
    "apgd-t": lambda threat: TargetedAPGD(threat, steps=4, targets=2),
    "cw": lambda threat: CW(threat, alpha=0.02, steps=4),
    "mifgsm": lambda threat: MIFGSM(threat, alpha=0.01, steps=3, shifts=1),
    "square": lambda threat: Square(threat, queries=12),
    "fab": lambda threat: FAB(threat, steps=3, targets=2),
    "fmn": lambda threat: FMN(threat, steps=4, targets=2),
    "rays": lambda threat: RayS(threat, queries=20),
    "vbad": lambda threat: VBAD(threat, queries=14, samples=4, patches=2),
}
"""What is held against every norm and support (``test_search_threat_pairs``)."""
