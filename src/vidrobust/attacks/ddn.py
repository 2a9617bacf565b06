"""DDN: the smallest L2 perturbation by steps whose norm is set apart from their direction (Rony, Hafemann, Oliveira,
Ben Ayed, Sabourin and Granger, CVPR 2019, "Decoupling direction and norm for efficient gradient-based L2 adversarial
attacks and defenses").
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
from vidrobust.threats import L2, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.attacks.base import AttackResult
    from vidrobust.types import ClipTensor, Labels, Logits

LAST = 0.01
"""What is left of the step size at the end, as a share of the first."""


@dataclass(frozen=True)
class DDN(Traits):
    """DDN (Rony et al. 2019, algorithm 1) for L2 under every support with one perturbation a clip.

    After each step the perturbation is scaled to a length, which shrinks by γ where the point is misclassified and
    grows by γ where it is not. Two things differ from the paper: the gradient is that of the margin to the class whose
    linearised boundary is nearest, which does not saturate, and lengths start at that distance, so that nothing depends
    on the number of pixels.

    Args:
        threat: the support whose smallest L2 perturbation is looked for, and the budget it is held against.
        steps: gradients, at least 1.
        targets: wrong classes whose boundary is linearised at the clip, a gradient each; the nearest one is aimed at.
        gamma: by what share the length changes a step, in (0, 1).
        alpha: the first step as a share of the length, above 0; it falls along a cosine.
        precision: as in :class:`~vidrobust.attacks.apgd.APGD`.

    Raises:
        InputError: a value is out of its range, the norm is not L2, or the threat shares one perturbation or has a
            budget a frame.

    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> clips = torch.rand(5, 3, 2, 4, 4) * 0.4 + 0.3
    >>> labels = model(clips).argmax(1)
    >>> threat = Threat(L2(), eps=9.0)  # larger than any distance: the nearest crossing comes back
    >>> bool(DDN(threat, steps=50)(model, clips, labels).success.all())
    True
    """

    threat: Threat
    steps: int = 100
    targets: int = 9
    gamma: float = 0.05
    alpha: float = 1.0
    precision: Precision = "auto"

    loss = staticmethod(margin)
    norms, budgets_a_frame, one_for_all, alpha_is_share = (L2,), False, False, True

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, targets=self.targets)
        if not 0 < self.gamma < 1:
            raise InputError(f"gamma, a share of the length, must lie in (0, 1), but is {self.gamma}.")
        if not self.alpha > 0:
            raise InputError(f"alpha, a share of the length, must be above 0, but is {self.alpha}.")
        self.check_threat(self.threat)

    @property
    def cost(self) -> int:
        return self.targets + 1 + self.steps

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
            self._walk(near, near.exactly(), exact - 1, AGAIN)  # it begins with a gradient of its own
        near.settle()

    def _walk(self, near: Nearest, free: Tensor, steps: int, first: float) -> None:
        """So many steps from a point on, the first one and γ as large as this share says."""
        start = near.box.start
        value, gradient = near.search.gradient(free)
        near.keep(free, value)
        length = torch.where(near.size.isinf(), near.linear(free, value, gradient), near.size)
        gamma = self.gamma * first
        for step in range(steps):
            alpha = first * self.alpha * (LAST + (1 - LAST) * cosine(step, steps))
            free = free + scaled(gradient, alpha * length / near.stretch)
            share = length / near.measured(free).clamp(min=1e-30)
            free = near.into(start + (free - start) * share.view(-1, *[1] * (free.ndim - 1)).to(free.dtype), length)
            value, gradient = near.search.gradient(free)
            near.keep(free, value)
            length = torch.where(value > 0, length * (1 - gamma), length * (1 + gamma)).clamp(max=near.largest)
