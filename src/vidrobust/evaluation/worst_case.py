"""The worst case of each clip under one norm and support: the smallest perturbation that any attack found.

A clip is broken at ε if some attack found a perturbation of at most ε that the model itself gets wrong. So one
number per clip is stored, the size of the smallest such perturbation, with the perturbed clip. The whole curve follows
from it, and a clip that is broken at ε is broken at every larger ε. Attacks get only clips not yet broken at their ε.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.attacks.base import AttackResult, counting
from vidrobust.attacks.step_size import calibrate
from vidrobust.attacks.wrappers import seeded_by_clips
from vidrobust.errors import InputError
from vidrobust.evaluation.attacked_model import AttackedModel, bisected
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.losses import margin

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.threats import Threat
    from vidrobust.types import ClipTensor, Labels

CALIBRATED = 4
"""Clips on which PGD's step size is calibrated, at the cost of seven runs of PGD or more on each. More clips would not
make PGD stronger: between one choice of clips and another, α differs more than between four clips and eight."""


@dataclass
class WorstCase:
    """What is known of some clips under one norm and support.

    Attributes:
        attacked: the model.
        clips, labels: ``B C T H W`` float32 in [0, 1], and ``B``.
        threats: the budgets of interest, ascending, of one norm and support.
        right: ``B`` bool, the clips that the model gets right; no other is attacked.
        distance: ``B`` float64, the size of the smallest perturbation that breaks a clip; 0 for those that are wrong as
            they are, ∞ where none is known.
        adversarial: ``B C T H W``, the clip that shows it (of others, the clip itself).
        found_by: the attack that found it, or an empty text.
        broke: by attack, the clips of the diagnostic subset that it broke at the largest budget by itself. A clip that
            two attacks have broken is not attacked again: none is the only one that breaks it.
        missing: by attack, how many clips it could not be run on, with the errors.
        alpha: PGD's step size at the largest budget, in the units of ε; 0 before it is calibrated.
        gradients, passes: what the attacks have cost.
    """

    attacked: AttackedModel
    clips: ClipTensor
    labels: Labels
    threats: Sequence[Threat]
    right: Tensor
    distance: Tensor = field(init=False)
    adversarial: ClipTensor = field(init=False)
    found_by: list[str] = field(init=False)
    broke: dict[str, list[int]] = field(default_factory=dict)
    missing: dict[str, tuple[int, str]] = field(default_factory=dict)
    alpha: float = 0.0
    gradients: int = 0
    passes: int = 0

    def __post_init__(self) -> None:
        refuse_shared(self.threats[0], self.clips)
        self.distance = torch.where(self.right, math.inf, 0.0).double()
        self.adversarial = self.clips.clone()
        self.found_by = ["" if right else "clean" for right in self.right.tolist()]

    def standing(self, eps: float) -> Tensor:
        """Indices of the clips that no perturbation of at most ``eps`` is known to break."""
        return (self.distance > eps).nonzero().flatten()

    def absorb(self, name: str, rows: Tensor, found: ClipTensor) -> Tensor:
        """Take what an attack found of the clips ``rows``; nothing counts but the model's own word.

        Returns:
            ``len(rows)`` float64: the size of what it found, ∞ where that breaks nothing.
        """
        device = self.clips.device
        found = found.to(device, torch.float32)
        wrong = self.attacked.wrong(found, self.labels[rows])
        inside = ((found >= 0) & (found <= 1)).flatten(1).all(1).cpu()
        size = torch.full((len(rows),), math.inf, dtype=torch.float64)
        broken = (wrong & inside).nonzero().flatten()
        if len(broken):
            size[broken] = self.threats[-1].around(self.clips[rows[broken]]).size(found[broken]).cpu()
        better = (size < self.distance[rows]).nonzero().flatten()
        for index in better.tolist():
            row = int(rows[index])
            if size[index] < self.distance[row]:  # a clip may be there more than once
                self.distance[row], self.adversarial[row] = size[index], found[index]
                self.found_by[row] = name
        return size

    def run(self, name: str, search: Callable[[Threat], Any], diagnostic: int = 0) -> None:
        """Attack the clips that stand, budget by budget, and those of the diagnostic subset whether they stand or not.

        Args:
            name: of the attack.
            search: makes the attack for a threat.
            diagnostic: how many of the first clips are attacked by all.
        """
        for threat in self.threats:
            eps, last = single_eps(threat), threat is self.threats[-1]
            rows = self.standing(eps)
            if last and diagnostic:
                rows = torch.cat([rows, self._broken_by_one(diagnostic)]).unique()
            sizes = self.attack(name, rows, partial(self.attacked.attack, search(threat)))
            if last and diagnostic:
                self.note(name, sizes, diagnostic)

    def note(self, name: str, sizes: dict[int, float], diagnostic: int) -> None:
        """Note which clips of the diagnostic subset an attack broke, from the sizes of what it found."""
        eps = single_eps(self.threats[-1])
        self.broke[name] = [row for row, size in sizes.items() if row < diagnostic and size <= eps]

    def _broken_by_one(self, diagnostic: int) -> Tensor:
        """The clips of the diagnostic subset that at most one attack has broken so far."""
        times = torch.zeros(len(self.labels), dtype=torch.int64)
        for rows in self.broke.values():
            times[rows] += 1
        return (self.right & (times < 2))[:diagnostic].nonzero().flatten()

    def attack(
        self, name: str, rows: Tensor, work: Callable[[ClipTensor, Labels], Any], sift: bool = False
    ) -> dict[int, float]:
        """Run an attack on clips, in parts where it fails on all at once, and absorb what it finds.

        Args:
            name: of the attack.
            rows: the clips.
            work: from clips and labels to perturbed clips, or to the result of a search, whose cost is counted.
            sift: leave out perturbed clips of which a fast copy of the model is sure, where most will break nothing.

        Returns:
            By clip, the size of what was found.
        """
        errors: dict[str, None] = {}
        sizes: dict[int, float] = {}
        lost = 0

        def once(part: Tensor) -> Tensor:
            found = work(self.clips[part], self.labels[part])
            if isinstance(found, AttackResult):
                self.gradients += int(found.backwards.sum())
                self.passes += int(found.forwards.sum())
                found = found.clips
            doubtful = torch.ones(len(part), dtype=torch.bool)
            if sift:
                doubtful = ~self.attacked.clearly_right(found, self.labels[part])
            sizes = torch.full((len(part),), math.inf, dtype=torch.float64)
            if doubtful.any():
                sizes[doubtful] = self.absorb(name, part[doubtful], found[doubtful])
            return sizes

        for part, found in bisected(once, rows, errors):
            if found is None:
                lost += len(part)
            else:
                sizes |= dict(zip(part.tolist(), found.tolist(), strict=True))
        if lost:
            before, known = self.missing.get(name, (0, ""))
            self.missing[name] = before + lost, "; ".join(errors) or known
        return sizes


def single_eps(threat: Threat) -> float:
    """The one budget of a threat whose clips all have the same."""
    assert isinstance(threat.eps, (int, float))
    return float(threat.eps)


def refuse_shared(threat: Threat, clips: ClipTensor) -> None:
    """Refuse a threat without a worst case for each clip.

    Raises:
        InputError: it shares one perturbation among all clips, or has a budget per clip or frame.
    """
    if not isinstance(threat.eps, (int, float)):
        raise InputError(f"a judgement needs one budget for all clips, but the threat has {threat.eps}.")
    if threat.around(clips[:1]).shared:
        raise InputError(
            f"{threat.support} shares one perturbation among all clips: there is no worst case for each. Take a "
            "support with a perturbation for each clip, such as WholeClip or Border."
        )


def nearest(case: WorstCase, ensemble: Ensemble, diagnostic: int = 0) -> None:
    """The minimum-norm search on all clips: from it comes the curve, and what no bound holds back."""
    threat = case.threats[-1]
    largest = threat.norm.largest(case.clips[0].numel())
    rows = case.right.nonzero().flatten()
    search = ensemble.nearest(replace(threat, eps=largest))
    case.note("FMN", case.attack("FMN", rows, partial(case.attacked.attack, search)), diagnostic)


def calibrated_alpha(case: WorstCase, threat: Threat, steps: int) -> float:
    """PGD's step size in the units of ε, calibrated on a few of the clips that stand; ε/4 where that fails."""
    rows, plain = case.standing(single_eps(threat))[:CALIBRATED], single_eps(threat) / 4
    if not len(rows) or case.attacked.random:
        return plain
    try:
        with seeded_by_clips(0, case.clips), counting():  # a check counts clips without a gradient
            found = calibrate(case.attacked.follow, threat, steps, case.clips[rows], case.labels[rows], margin)
    except Exception:  # noqa: BLE001 - the attack itself will say what is wrong
        return plain
    return found[steps].alpha
