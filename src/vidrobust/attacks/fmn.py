"""FMN: the smallest perturbation by projected gradients on a ball whose radius follows the boundary (Pintor, Roli,
Brendel and Biggio, NeurIPS 2021, "Fast minimum-norm adversarial attacks through adaptive norm constraints").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.counts import at_least_one
from vidrobust.attacks.nearest import Nearest, NearestSearch, falling, scaled
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.threats import L1, L2, Linf

if TYPE_CHECKING:
    from torch import Tensor

GAMMA = 0.05
"""By what share the radius grows or shrinks per step at first (γ)."""


@dataclass(frozen=True)
class FMN(NearestSearch):
    """FMN (Pintor et al. 2021, algorithm 1) for L∞, L2 and L1 under every support with one perturbation per clip.

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
        InputError: a value is out of its range, or the threat shares one perturbation or has a budget per frame.

    >>> from vidrobust import Threat
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> clips = torch.rand(5, 3, 2, 4, 4) * 0.4 + 0.3
    >>> labels = model(clips).argmax(1)
    >>> threat = Threat(Linf(), eps=1.0)  # larger than any distance: the nearest crossing comes back
    >>> result = FMN(threat, steps=50)(model, clips, labels)
    >>> distances = threat.around(clips).size(result.clips)
    >>> [(distances > eps).double().mean().item() for eps in (0, 1)]  # accuracy against ε
    [1.0, 0.0]
    """

    alpha: float = 1.0
    precision: Precision = "auto"

    norms = (Linf, L2, L1)

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, targets=self.targets)
        if not self.alpha > 0:
            raise InputError(f"alpha, a share of the radius, must be above 0, but is {self.alpha}.")
        self.check_threat(self.threat)

    def _walk(self, near: Nearest, free: Tensor, steps: int) -> None:
        """Take ``steps`` steps from the point ``free``, the first one of length ``alpha``."""
        radius = near.size
        for step in range(steps):
            value, gradient = near.search.gradient(free)
            crossed = near.keep(free, value)
            share = falling(step, steps)
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
