"""The fixed ensemble of attacks of a judgement, from cheap to expensive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.counts import at_least_one
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.fmn import FMN
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.rays import RayS
from vidrobust.attacks.square import Square
from vidrobust.losses import cross_entropy, dlr, margin, targeted_dlr, targeted_margin
from vidrobust.threats import L1

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vidrobust.threats import Threat

GRADIENTS = ("PGD", "APGD-CE", "APGD-DLR", "APGD-T", "FAB-T")
"""Attacks on the clips that stand that need gradients, in their order."""

BLACK_BOX = ("Square", "RayS")
"""Attacks that need none."""


@dataclass(frozen=True)
class Ensemble:
    """How hard the attacks of a judgement try.

    Attributes:
        steps: gradients of FMN, PGD, APGD and of FAB per target.
        targets: wrong classes that APGD-T and FAB-T try.
        queries: of Square per clip; RayS gets a tenth.
        noise: random perturbations drawn for each clip that stands in the end.
        samples: draws per pass, of a model that draws at random.
        diagnostic: clips that are attacked until two attacks have broken them, with the indicators and the active test.

    Raises:
        InputError: a value is below 1.
    """

    steps: int = 100
    targets: int = 9
    queries: int = 5000
    noise: int = 1000
    samples: int = 10
    diagnostic: int = 16

    def __post_init__(self) -> None:
        at_least_one(**{name: getattr(self, name) for name in self.__dataclass_fields__})

    def nearest(self, threat: Threat) -> FMN:
        """The minimum-norm search, which gives the whole curve."""
        return FMN(threat, self.steps, self.targets)

    def attacks(self, threat: Threat, classes: int, alpha: float, gradients: bool = True) -> Mapping[str, Any]:
        """The attacks on the clips that stand, by name and in their order.

        Args:
            threat: the norm, the support and the budget.
            classes: of the model; the DLR losses need some.
            alpha: PGD's step size, in the units of ε.
            gradients: has the model any?
        """
        sparse = isinstance(threat.norm, L1)
        untargeted = dlr if classes >= 3 else margin
        targeted = targeted_dlr if classes >= 4 else targeted_margin
        restarts, targets = (5, min(self.targets, 5)) if sparse else (1, self.targets)
        white = {
            "PGD": PGD(threat, alpha, self.steps, random_start=True, loss=margin),
            "APGD-CE": APGD(threat, self.steps, cross_entropy, restarts),
            "APGD-DLR": APGD(threat, self.steps, untargeted, seed=1),
            "APGD-T": TargetedAPGD(threat, self.steps, targets, targeted),
            "FAB-T": FAB(threat, self.steps, self.targets),
        }
        black = {"Square": Square(threat, self.queries), "RayS": RayS(threat, max(2, self.queries // 10))}
        return {**(white if gradients else {}), **black}

    def doubled(self, threat: Threat) -> APGD:
        """Twice the steps, twice the restarts, other random starts."""
        return APGD(threat, 2 * self.steps, margin, restarts=2, seed=100)
