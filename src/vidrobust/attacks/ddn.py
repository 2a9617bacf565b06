"""DDN: the smallest L2 perturbation by steps whose norm is set apart from their direction (Rony, Hafemann, Oliveira,
Ben Ayed, Sabourin and Granger, CVPR 2019, "Decoupling direction and norm for efficient gradient-based L2 adversarial
attacks and defenses").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.counts import at_least_one
from vidrobust.attacks.nearest import Nearest, NearestSearch, falling, scaled
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.threats import L2

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DDN(NearestSearch):
    """DDN (Rony et al. 2019, algorithm 1) for L2 under every support with one perturbation per clip.

    After each step the perturbation is scaled to a length, which shrinks by γ where the point is misclassified and
    grows by γ where it is not. Two things differ from the paper: the gradient is that of the margin to the class whose
    linearised boundary is nearest, which does not saturate, and lengths start at that distance, so that nothing depends
    on the number of pixels.

    Args:
        threat: the support whose smallest L2 perturbation is looked for, and the budget it is held against.
        steps: gradients, at least 1.
        targets: wrong classes whose boundary is linearised at the clip, a gradient each; the nearest one is aimed at.
        gamma: by what share the length changes per step, in (0, 1).
        alpha: the first step as a share of the length, above 0; it falls along a cosine.
        precision: as in :class:`~vidrobust.attacks.apgd.APGD`.

    Raises:
        InputError: a value is out of its range, the norm is not L2, or the threat shares one perturbation or has a
            budget per frame.

    >>> from vidrobust import Threat
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> clips = torch.rand(5, 3, 2, 4, 4) * 0.4 + 0.3
    >>> labels = model(clips).argmax(1)
    >>> threat = Threat(L2(), eps=9.0)  # larger than any distance: the nearest crossing comes back
    >>> bool(DDN(threat, steps=50)(model, clips, labels).success.all())
    True
    """

    gamma: float = 0.05
    alpha: float = 1.0
    precision: Precision = "auto"

    norms, before = (L2,), 1

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, targets=self.targets)
        if not 0 < self.gamma < 1:
            raise InputError(f"gamma, a share of the length, must lie in (0, 1), but is {self.gamma}.")
        if not self.alpha > 0:
            raise InputError(f"alpha, a share of the length, must be above 0, but is {self.alpha}.")
        self.check_threat(self.threat)

    def _walk(self, near: Nearest, free: Tensor, steps: int) -> None:
        """Take ``steps`` steps from the point ``free``, the first one of length ``alpha``."""
        start = near.box.start
        value, gradient = near.search.gradient(free)
        near.keep(free, value)
        length = torch.where(near.size.isinf(), near.linear(free, value, gradient), near.size)
        for step in range(steps):
            alpha = self.alpha * falling(step, steps)
            free = free + scaled(gradient, alpha * length / near.stretch)
            share = length / near.measured(free).clamp(min=1e-30)
            free = near.into(start + (free - start) * share.view(-1, *[1] * (free.ndim - 1)).to(free.dtype), length)
            value, gradient = near.search.gradient(free)
            near.keep(free, value)
            shorter, longer = length * (1 - self.gamma), length * (1 + self.gamma)
            length = torch.where(value <= 0, longer, shorter).clamp(max=near.largest)  # NaN is no class
