"""What remains to be tried on the clips that stand: noise, and twice the effort (Carlini et al. 2019, *On evaluating
adversarial robustness*, the checklist).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from vidrobust.evaluation.ensemble import BLACK_BOX, Ensemble
from vidrobust.evaluation.worst_case import WorstCase, single_eps
from vidrobust.results.numbers.rules import Measured

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.threats import Feasible
    from vidrobust.types import ClipTensor, Labels


AT_ONCE, NUMBERS = 64, 2**24
"""Clips of noise that are asked about together, at most, and pixel values of them: what a pass costs beside the model
itself is then shared by many clips, and large clips need no more memory than the attacks on them."""


def noise(case: WorstCase, draws: int, seed: int = 0) -> Measured:
    """Draw random perturbations for each clip that stands at the largest budget: half in the ball, half on its edge."""
    eps = single_eps(case.threats[-1])
    rows = case.standing(eps)
    at_once = max(1, min(AT_ONCE, NUMBERS // case.clips[0].numel()))
    generator = torch.Generator().manual_seed(seed)
    around = _same_again(case.threats[-1].around)
    for edge, count in ((False, draws - draws // 2), (True, draws // 2)):

        def drawn(clips: ClipTensor, labels: Labels, edge: bool = edge) -> ClipTensor:
            return _drawn(around(clips), eps, edge, generator)

        while count and len(left := rows[case.distance[rows] > eps]):
            together = min(count, max(1, at_once // len(left)))
            case.attack("noise", left.repeat(together), drawn, sift=True)
            count -= together
    return Measured("noise", int((case.distance[rows] <= eps).sum()), len(rows))


def _same_again(around: Callable[[ClipTensor], Feasible]) -> Callable[[ClipTensor], Feasible]:
    """A function that gives its last answer where it is asked about the same clips again."""
    last: list[tuple[ClipTensor, Feasible]] = []

    def answer(clips: ClipTensor) -> Feasible:
        if not last or not torch.equal(last[0][0], clips):
            last[:] = [(clips, around(clips))]
        return last[0][1]

    return answer


def _drawn(feasible: Feasible, eps: float, edge: bool, generator: torch.Generator) -> ClipTensor:
    if not edge:
        return feasible.clips(feasible.random(generator))
    direction = torch.randn(feasible.start.shape, generator=generator).to(feasible.start.device)
    return feasible.clips(feasible.step(feasible.start, direction, eps))


def doubling(case: WorstCase, ensemble: Ensemble) -> list[Measured]:
    """Attack what stands, and what fell to black boxes alone, with twice the steps and restarts.

    Returns:
        Clips that stood and fell now, and clips that no attack with gradients breaks even so, though a black box did.
    """
    if not case.attacked.gradients:
        return []
    threat, found = case.threats[-1], case.right.nonzero().flatten()
    eps = single_eps(threat)
    black = [row for row, name in enumerate(case.found_by) if name in BLACK_BOX and case.distance[row] <= eps]
    stood = case.standing(eps)
    rows = torch.cat([stood, torch.tensor(black, dtype=torch.int64)])
    fell = torch.zeros(len(case.labels), dtype=torch.bool)
    sizes = case.attack("doubled", rows, partial(case.attacked.attack, ensemble.doubled(threat)))
    fell[[row for row, size in sizes.items() if size <= eps]] = True
    return [
        Measured("doubling", int(fell[stood].sum()), len(found)),
        Measured("black box", int((~fell[black]).sum()) if black else 0, len(found)),
    ]


def rises(distance: Tensor, budgets: Sequence[float]) -> Measured:
    """Clips that are broken at a budget and not at a larger one: always 0, since all budgets use the same distance."""
    broken = torch.stack([distance <= eps for eps in sorted(budgets)]).long()
    return Measured("not monotone", int((broken.diff(dim=0) < 0).any(0).sum()), len(distance))
