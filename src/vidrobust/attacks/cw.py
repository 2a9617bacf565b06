"""Gradient ascent on the margin: the loss of Carlini & Wagner under a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidrobust.attacks.base import Goal
from vidrobust.attacks.counts import at_least_one, check_seed
from vidrobust.attacks.searching import searching
from vidrobust.attacks.step_size import Alpha, check_alpha, resolve_alpha
from vidrobust.attacks.traits import Traits
from vidrobust.fast.precision import Precision
from vidrobust.losses import margin
from vidrobust.threats import Threat

if TYPE_CHECKING:
    from vidrobust.attacks.base import AttackResult
    from vidrobust.types import ClipTensor, Labels, Logits


@dataclass(frozen=True)
class CW(Traits):
    """Steepest ascent on the margin between the best wrong and the true logit.

    The loss is f6 of Carlini & Wagner (IEEE S&P 2017, section V-A), kept within the threat as by Madry et al. (ICLR
    2018, section 5.1) instead of weighed against the perturbation's size. The margin does not saturate where
    cross-entropy does, on confident models. The step size falls linearly to 0, so that the end does not oscillate.

    Args:
        threat: where the perturbed clips may lie.
        alpha: the first step size, or ``auto`` (see :func:`~vidrobust.attacks.step_size.resolve_alpha`).
        steps: gradients, at least 1.
        random_start: start anywhere in the ball instead of at the clip.
        seed: of the random start.
        precision, targeted: as in :class:`~vidrobust.attacks.apgd.APGD`.

    Raises:
        InputError: a value is out of its range.

    >>> import torch
    >>> from vidrobust.threats import Linf
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> clips, labels = torch.rand(5, 3, 2, 4, 4), torch.zeros(5, dtype=torch.int64)
    >>> result = CW(Threat(Linf(), eps=8 / 255), alpha=4 / 255, steps=10)(model, clips, labels)
    >>> bool((result.success == (result.loss > 0)).all())
    True
    """

    threat: Threat
    alpha: Alpha = "auto"
    steps: int = 50
    random_start: bool = False
    seed: int = 0
    precision: Precision = "auto"
    targeted: bool = False

    loss = staticmethod(margin)

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        at_least_one(steps=self.steps)
        check_seed(self.seed)

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was."""
        with searching(model, self.threat, clips, labels, margin, self.precision, self.targeted) as run:
            gain = Goal(margin, self.targeted).gain
            alpha = resolve_alpha(self.alpha, model, self.threat, self.steps, clips, labels, gain)
            free = run.random(run.generators(self.seed)) if self.random_start else run.feasible.start
            for step in range(self.steps):
                if run.over:
                    break
                _, gradient = run.gradient(free)
                free = run.feasible.step(free, gradient, alpha * (1 - step / self.steps))
            if not run.over:
                run.value(free)
            return run.result()
