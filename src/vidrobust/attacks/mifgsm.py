"""Attacks that transfer from one model to another: smoothed, shifted and averaged gradients.

A perturbation that follows the gradient of one model pixel by pixel rarely transfers to another. Momentum, blur in
space, averages over shifts in time and clips of other sizes keep what models have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from vidrobust.attacks.base import Goal
from vidrobust.attacks.counts import at_least_one, check_seed, not_negative
from vidrobust.attacks.searching import SearchState, searching
from vidrobust.attacks.step_size import Alpha, check_alpha, resolve_alpha
from vidrobust.attacks.traits import Traits
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.fast.view import View
from vidrobust.losses import cross_entropy
from vidrobust.threats import Threat

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from vidrobust.attacks.base import AttackResult
    from vidrobust.losses import Loss
    from vidrobust.types import ClipTensor, Labels, Logits


@dataclass(frozen=True)
class MIFGSM(Traits):
    """Iterative steps with momentum (MI), blur (TI), temporal translation (TT) and diverse inputs (DI), each optional.

    MI: Dong et al., CVPR 2018, algorithm 1. TI: Dong et al., CVPR 2019, section 3.3. TT: Wei et al., AAAI 2022,
    section "Temporal translation attack": the gradient is averaged over clips rolled along time, weighted linearly.
    DI: Xie et al., CVPR 2019, section 3.3: the gradient is that of clips of a smaller size on black ground.

    The last iterate comes back, broken or not: how well it breaks *this* model says little of the other.

    Args:
        threat: where the perturbed clips may lie.
        steps: at least 1; each costs ``2 · shifts + 1`` gradients.
        alpha: step size, or ``auto``.
        decay: of the momentum, at least 0; 0 switches it off.
        blur: side of the Gaussian kernel on the gradient, odd; 1 switches it off.
        shifts: frames by which clips are rolled to either side; 0 switches it off.
        loss: what is maximised.
        precision, targeted: as in :class:`~vidrobust.attacks.apgd.APGD`.
        diversity: the probability with which a step sees the clips resized, by a factor of 0.9 to 1, and placed at
            random; 0 switches it off. A step draws once, for all frames of all clips.
        seed: of these draws.

    Raises:
        InputError: a value is out of its range; later, the threat's free variables have no height and width to blur.

    >>> from vidrobust.threats import Linf
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4 * 4, 2))
    >>> clips, labels = torch.rand(5, 3, 4, 4, 4), torch.zeros(5, dtype=torch.int64)
    >>> attack = MIFGSM(Threat(Linf(), eps=8 / 255), steps=5, alpha=2 / 255, blur=3, shifts=1)
    >>> attack(model, clips, labels).backwards.tolist()
    [15, 15, 15, 15, 15]
    """

    threat: Threat
    steps: int = 10
    alpha: Alpha = "auto"
    decay: float = 1.0
    blur: int = 1
    shifts: int = 0
    loss: Loss = cross_entropy
    precision: Precision = "auto"
    targeted: bool = False
    diversity: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        at_least_one(steps=self.steps, blur=self.blur)
        if self.blur % 2 == 0:
            raise InputError(f"blur, the side of a kernel, must be odd, but is {self.blur}.")
        not_negative(decay=self.decay, shifts=self.shifts, diversity=self.diversity)
        check_seed(self.seed)
        if self.diversity > 1:
            raise InputError(f"diversity, a probability, must lie in [0, 1], but is {self.diversity}.")
        if int(self.shifts) != self.shifts:
            raise InputError(f"shifts, in frames, must be a whole number, but is {self.shifts}.")

    @property
    def cost(self) -> int:
        return self.steps * (2 * int(self.shifts) + 1)

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was."""
        with searching(model, self.threat, clips, labels, self.loss, self.precision, self.targeted) as run:
            gain = Goal(self.loss, self.targeted).gain
            alpha = resolve_alpha(self.alpha, model, self.threat, self.steps, clips, labels, gain)
            run.exploring = True
            if self.blur > 1 and (run.feasible.start.ndim != 5 or run.feasible.start.shape[3] == 1):
                raise InputError(
                    f"blur needs a perturbation with height and width, which {self.threat.support} does not have: "
                    "set blur=1."
                )
            free = run.feasible.start
            velocity = torch.zeros_like(free)
            whole, shifts = run.view, range(-self.shifts, self.shifts + 1)
            generator = torch.Generator().manual_seed(self.seed)
            for _ in range(self.steps):
                seen = self._diverse(whole, generator)
                views = [_shifted(seen, by) if by else seen for by in shifts]
                gradient = blurred(self._gradient(run, free, views), self.blur)
                size = gradient.abs().flatten(1).mean(1).clamp(min=1e-30)
                velocity = self.decay * velocity + gradient / size.view(-1, *[1] * (free.ndim - 1))
                free = run.feasible.step(free, velocity, alpha)
            run.best = free
            return run.result()

    def _diverse(self, view: View, generator: Generator) -> View:
        """The view, or with the probability ``diversity`` one of resized clips."""
        chance, *place = torch.rand(4, generator=generator).tolist()
        if chance >= self.diversity:
            return view
        return View(partial(resized, view, *place), view.layout, model=view.model)

    def _gradient(self, run: SearchState, free: Tensor, views: list[View]) -> Tensor:
        """The mean of the gradients on clips rolled along time, nearer ones with more weight."""
        total = torch.zeros_like(free)
        for shift, view in enumerate(views, -self.shifts):
            run.view, moved = view, run.moved
            total += (1 - abs(shift) / (self.shifts + 1)) * run.gradient(free)[1]
            run.moved = run.moved if shift == 0 else moved  # what moves the clip is its own gradient
        return total


def _shifted(view: View, by: int) -> View:
    return View(partial(rolled, view, by), view.layout, model=view.model)


def rolled(view: Callable[[ClipTensor], Logits], by: int, clips: ClipTensor) -> Logits:
    """The logits of clips that begin ``by`` frames later, around the end."""
    return view(clips.roll(by, 2))


SMALLEST = 0.9
"""The smallest size to which diverse inputs are resized, as a share of the clip's."""


def resized(view: Callable[[ClipTensor], Logits], size: float, top: float, left: float, clips: ClipTensor) -> Logits:
    """The logits of clips that are smaller by a factor of 0.9 to 1, somewhere on black ground.

    Args:
        view: the model.
        size, top, left: in [0, 1), how far from the smallest size, and from the upper left corner.
        clips: ``B C T H W``.
    """
    height, width = clips.shape[3:]
    tall, wide = (max(1, round(side * (SMALLEST + (1 - SMALLEST) * size))) for side in (height, width))
    frames = F.interpolate(clips.flatten(1, 2), (tall, wide), mode="bilinear", align_corners=False)
    above, before = int(top * (height - tall + 1)), int(left * (width - wide + 1))
    placed = F.pad(frames, (before, width - wide - before, above, height - tall - above))
    return view(placed.view_as(clips))


def blurred(gradient: Tensor, side: int) -> Tensor:
    """``gradient`` (``B C T H W``) convolved with a Gaussian of ``side`` pixels in height and width, each frame alone.

    >>> blurred(torch.eye(3)[None, None, None], 1).equal(torch.eye(3)[None, None, None])
    True
    """
    if side == 1:
        return gradient
    place = torch.linspace(-3, 3, side, dtype=gradient.dtype, device=gradient.device)
    kernel = torch.exp(-place.square() / 2)
    kernel = kernel / kernel.sum()
    frames = gradient.flatten(0, 2)[:, None]
    frames = F.conv2d(frames, kernel.view(1, 1, -1, 1), padding=(side // 2, 0))
    return F.conv2d(frames, kernel.view(1, 1, 1, -1), padding=(0, side // 2)).view_as(gradient)
