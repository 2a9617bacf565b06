"""FMN: the smallest perturbation by projected gradients on a ball whose radius follows the boundary (Pintor, Roli,
Brendel and Biggio, NeurIPS 2021, "Fast minimum-norm adversarial attacks through adaptive norm constraints").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.counts import at_least_one
from vidrobust.attacks.nearest import AGAIN, Nearest, cosine, exact_steps, scaled
from vidrobust.attacks.searching import SearchState, searching
from vidrobust.attacks.traits import Traits
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.losses import margin
from vidrobust.threats import L1, L2, Linf, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.attacks.base import AttackResult
    from vidrobust.types import ClipTensor, Labels, Logits

GAMMA = 0.05
"""By what share the radius grows or shrinks a step at first (γ)."""

LAST = 0.01
"""What is left at the end of the step size and of γ, as a share of the first."""


@dataclass(frozen=True)
class FMN(Traits):
    """FMN (Pintor et al. 2021, algorithm 1) for L∞, L2 and L1 under every support with one perturbation a clip.

    Until a clip is misclassified, its radius is the linearised distance to the boundary; then it shrinks by γ where the
    point is misclassified, and grows by γ where it is not. Two things differ from the paper: the gradient is that of
    the margin to the class whose linearised boundary is nearest (the paper's is to the best wrong class of the moment),
    and steps are shares of the ball's length, so that nothing depends on the number of pixels.

    Args:
        threat: the norm and support whose smallest perturbation is looked for, and the budget it is held against.
        steps: gradients, at least 1.
        targets: wrong classes whose boundary is linearised at the clip, a gradient each; the nearest one is aimed at.
        alpha: the first step, as a share of the radius' length under L2, above 0; it falls along a cosine.
        precision: as in :class:`~vidrobust.attacks.apgd.APGD`.

    Raises:
        InputError: a value is out of its range, or the threat shares one perturbation or has a budget a frame.

    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> clips = torch.rand(5, 3, 2, 4, 4) * 0.4 + 0.3
    >>> labels = model(clips).argmax(1)
    >>> threat = Threat(Linf(), eps=1.0)  # larger than any distance: the nearest crossing comes back
    >>> result = FMN(threat, steps=50)(model, clips, labels)
    >>> distances = threat.around(clips).size(result.clips)
    >>> [(distances > eps).double().mean().item() for eps in (0, 1)]  # accuracy against ε
    [1.0, 0.0]
    """

    threat: Threat
    steps: int = 100
    targets: int = 9
    alpha: float = 1.0
    precision: Precision = "auto"

    loss = staticmethod(margin)
    norms, budgets_a_frame, one_for_all, alpha_is_share = (Linf, L2, L1), False, False, True

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, targets=self.targets)
        if not self.alpha > 0:
            raise InputError(f"alpha, a share of the radius, must be above 0, but is {self.alpha}.")
        self.check_threat(self.threat)

    @property
    def cost(self) -> int:
        return self.targets + self.steps

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was.

        Clips for which no perturbation within the budget was found come back with the largest margin seen within it.
        """
        with searching(model, self.threat, clips, labels, margin, self.precision) as run:
            self.search(run)
            return run.result()

    def search(self, run: SearchState) -> None:
        """Attack the clips of a batch that still stand."""
        near = Nearest.of(run, self.threat)
        if near is None:
            return
        near.aim(self.targets)
        exact = exact_steps(run, self.steps)
        self._walk(near, near.box.start, self.steps - exact, 1.0)
        if exact:
            self._walk(near, near.exactly(), exact, AGAIN)
        near.settle()

    def _walk(self, near: Nearest, free: Tensor, steps: int, first: float) -> None:
        """So many steps from a point on, the first one as long as this share says."""
        radius = near.size
        for step in range(steps):
            value, gradient = near.search.gradient(free)
            crossed = near.keep(free, value)
            share = first * (LAST + (1 - LAST) * cosine(step, steps))
            radius = self._radius(near, radius, near.linear(free, value, gradient), crossed, GAMMA * share)
            free = near.into(free + scaled(gradient, self.alpha * share * self._length(near, radius)), radius)
        near.keep(free, near.search.value(free))

    def _radius(self, near: Nearest, radius: Tensor, linear: Tensor, wrong: Tensor, gamma: float) -> Tensor:
        """The radius of the next step (algorithm 1, lines 5 to 13)."""
        outside = torch.where(torch.isinf(near.size), linear, radius) * (1 + gamma)
        inside = torch.minimum(radius * (1 - gamma), near.size)
        return torch.where(wrong, inside, outside).clamp(max=near.largest)

    def _length(self, near: Nearest, radius: Tensor) -> Tensor:
        """The length, under L2 and in free variables, of what a radius allows."""
        if isinstance(self.threat.norm, Linf):
            return radius * near.box.start[0].numel() ** 0.5
        return radius / near.stretch
