"""What minimum-norm searches share: the nearest misclassified point of each clip, and balls of a radius of their own.

Such a search looks for the smallest perturbation whatever the budget of its threat; the budget decides in the end. One
run therefore gives the whole curve of accuracy against ε: attack under the largest budget of interest, then count the
clips whose perturbation is larger than ε (``threat.around(clips).size(result.clips)`` where ``result.success``).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch

from vidrobust.attacks.apgd import likeliest_wrong, where_rows
from vidrobust.attacks.searching import SearchState, unbounded
from vidrobust.attacks.stage import StageSearch
from vidrobust.errors import InputError
from vidrobust.fast.view import inference_view
from vidrobust.losses import margin, targeted_margin
from vidrobust.threats import L1, Linf, Threat
from vidrobust.threats.tied import Tied

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from vidrobust.fast.view import View
    from vidrobust.threats import Norm
    from vidrobust.types import Labels, Logits

SURE = (1e-4, 3e-2)
"""By how much a crossing must exceed the boundary, as a share of the clip's own margin: so that the model itself
confirms what its fast copy found, in float32 or in bfloat16."""

LEAST = 10
"""Steps at least that look for the boundary of the model itself, after those on a copy in bfloat16."""

HALVINGS = 8
"""Of the way from a clip to a point that its copy takes for a crossing, to find where the model itself crosses."""

LAST = 0.01
"""What is left of a step size at the end, as a share of the first."""


@dataclass(frozen=True)
class MinimumNorm(StageSearch):
    """The base of searches for the smallest perturbation.

    Clips for which no perturbation within the budget was found come back with the largest margin seen within it.

    Attributes:
        threat: the norm and support whose smallest perturbation is looked for, and the budget it is held against.
        steps: gradients.
        targets: wrong classes to try, the likeliest first.
        loss: what is raised until a clip is misclassified.
    """

    threat: Threat
    steps: int = 100
    targets: int = 9

    loss: ClassVar[Callable[..., Tensor]] = staticmethod(margin)
    budgets_a_frame, one_for_all = False, False


class NearestSearch(MinimumNorm):
    """The base of searches that follow the decision boundary by gradients of the margin.

    Attributes:
        before: gradients that a walk takes before its first step.
    """

    alpha_is_share = True
    before: ClassVar[int] = 0

    @property
    def cost(self) -> int:
        return self.targets + self.before + self.steps

    def search(self, run: SearchState) -> None:
        """Attack the clips of a batch that still stand."""
        near = Nearest.of(run, self.threat)
        if near is None:
            return
        near.aim(self.targets)
        exact = exact_steps(run, self.steps)
        self._walk(near, near.box.start, self.steps - exact)
        if exact:
            self._walk(near, near.exactly(), exact - self.before)
        near.settle()

    @abstractmethod
    def _walk(self, near: Nearest, free: Tensor, steps: int) -> None:
        """Take ``steps`` steps from the point ``free``; each point that crosses is given to ``near.keep``."""


class Nearest:
    """The nearest crossing found so far of each clip of a batch under attack.

    Args:
        run: the batch.
        threat: its norm and support; its budgets matter at the end alone.

    Attributes:
        box: the support with no budget but the pixels' range.
        search: where the gradients of the margin are asked for; nothing leaves that is misclassified.
        points: the nearest misclassified free point of each clip, or where it started; one per level of :data:`SURE`.
        sizes: ``B`` float64 each, how far they are on the clip; ∞ where none is known.
        largest: the largest size there is.
        stretch: how many times larger a perturbation is on the clip than in free variables.

    Raises:
        InputError: the threat shares one perturbation among all clips, or has a budget per frame.
    """

    def __init__(self, run: SearchState, threat: Threat) -> None:
        if run.feasible.shared or (isinstance(threat.eps, tuple) and isinstance(threat.eps[0], tuple)):
            raise InputError(
                "a search for the smallest perturbation of each clip needs one budget per clip, but the threat has one "
                "per frame or shares one perturbation among all clips. Take PGD or APGD."
            )
        self.run, self.threat = run, threat
        self.pixels = run.subject.pixels
        self.box = unbounded(threat).around(self.pixels)
        self.search = run.elsewhere(unbounded(threat), margin)
        start, none = self.box.start, torch.full((len(self.pixels),), math.inf, dtype=torch.float64)
        self.points, self.sizes = [start for _ in SURE], [none.to(start.device) for _ in SURE]
        self.own: Tensor | None = None
        self.largest = threat.norm.largest(self.pixels[0].numel())
        self.stretch = 1.0
        if isinstance(self.box, Tied):
            self.stretch = threat.norm.repeated(self.pixels[0].numel() // self.box.start[0].numel())

    @classmethod
    def of(cls, run: SearchState, threat: Threat) -> Nearest | None:
        """For the clips that the model gets right; None where there are none."""
        near = cls(run, threat)
        run.value(run.feasible.start)
        return None if run.over else near

    def aim(self, targets: int) -> None:
        """From here on follow the gradient towards the class whose boundary, linearised at the clip, is nearest.

        The margins that come back are still those to the best wrong class, so that any crossing counts.

        Args:
            targets: how many wrong classes to try, the likeliest first; each costs a gradient.
        """
        view, self.search.view = self.search.view, exact_view(self.run)  # in bfloat16, another class may seem nearer
        start, classes = self.box.start, likeliest_wrong(self.search, targets)
        nearest, least = classes[0], torch.full_like(self.sizes[0], math.inf)
        for target in classes if len(classes) > 1 else []:
            self.search.aim(targeted_margin, target)
            distance = self.linear(start, *self.search.gradient(start))
            nearest, least = torch.where(distance < least, target, nearest), torch.minimum(distance, least)
        self.search.aim(margin_to_target, nearest)
        self.search.view = view

    def measured(self, free: Tensor) -> Tensor:
        """``B`` float64: the size of the perturbation on the clip."""
        return self.run.feasible.size(self.box.clips(free))

    def linear(self, free: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        """``B`` float64: how far from the clip the boundary would be, were the margin linear from here on."""
        slope = dual(gradient, self.threat.norm).clamp(min=1e-30)
        return (self.measured(free) + self.stretch * (-value.double()).clamp(min=0) / slope).clamp(max=self.largest)

    @property
    def size(self) -> Tensor:
        """``B`` float64: the distance of the nearest crossing known; ∞ where there is none."""
        return self.sizes[0]

    def keep(self, free: Tensor, value: Tensor) -> Tensor:
        """Remember points of margins ``value`` (``B``) that cross nearer than what is known; returns which ones cross.

        The first call is for the clips themselves, whose margins say what counts as sure.
        """
        value = value.nan_to_num(nan=math.inf)  # not a number is no class, and counts as misclassified
        self.own = value.abs() if self.own is None else self.own
        size = self.measured(free)
        for level, share in enumerate(SURE):
            closer = (value > share * self.own) & (size < self.sizes[level])
            self.points[level] = where_rows(closer, free, self.points[level])
            self.sizes[level] = torch.where(closer, size, self.sizes[level])
        return value > SURE[0] * self.own

    def exactly(self) -> Tensor:
        """From here on ask the model itself; returns the free points that its copy found to cross, or to come near.

        In bfloat16 a copy knows a boundary only roughly: a search that ended there would miss it, or stop short of it.
        """
        run, points = self.run, self.points
        run.view = self.search.view = exact_view(run)
        self.sizes = [torch.full_like(size, math.inf) for size in self.sizes]
        for point in points:
            self.keep(point, self.search.value(point))
        low, high = self.box.start, self.points[0]
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            crossed = self.keep(middle, self.search.value(middle))
            low, high = where_rows(crossed, low, middle), where_rows(crossed, middle, high)
        return where_rows(self.size.isinf(), points[-1], self.points[0])

    def into(self, free: Tensor, radius: Tensor) -> Tensor:
        """The nearest points within ``radius`` (``B``) of the clips, under the threat's norm and support."""
        eps = radius.double().clamp(0.0, self.largest)
        return replace(self.threat, eps=eps.tolist()).around(self.pixels).project(free)

    def settle(self) -> None:
        """Let the model judge the nearest crossings that lie within the budget."""
        run = self.run
        run.pay(self.search)
        for point, size in zip(self.points, self.sizes, strict=True):
            inside = (size <= self.threat.budgets(self.pixels)[:, 0]) & ~run.broken
            run.offer(inside.nonzero().flatten(), run.feasible.project(point)[inside])
        if not run.over:
            run.value(run.feasible.project(self.points[0]))


def exact_view(run: SearchState) -> View:
    """The model itself, where its copy is in bfloat16; otherwise what the search asks anyway."""
    return inference_view(run.subject.model, run.subject.pixels, "exact") if run.view.lossy else run.view


def exact_steps(run: SearchState, steps: int) -> int:
    """How many of the steps of a search ask the model itself: the last ones, where its copy is in bfloat16."""
    return min(steps, max(LEAST, steps // 3)) if run.view.lossy else 0


def margin_to_target(logits: Logits, labels: Labels, targets: Labels) -> Tensor:
    """``B``: the margin to the best wrong class, with the gradient of that to a target."""
    aimed = targeted_margin(logits, labels, targets)
    return margin(logits, labels).detach() + (aimed - aimed.detach())


def dual(gradient: Tensor, norm: Norm) -> Tensor:
    """``B`` float64: gradients in the dual norm, which is how fast a loss can rise with the size of a perturbation."""
    rows = gradient.flatten(1).double()
    if isinstance(norm, Linf):
        return rows.abs().sum(1)
    if isinstance(norm, L1):
        return rows.abs().amax(1)
    return rows.norm(dim=1)


def scaled(gradient: Tensor, length: Tensor) -> Tensor:
    """Gradients scaled to the given lengths under L2, ``B``; those of zero stay so."""
    own = gradient.flatten(1).double().norm(dim=1)
    share = torch.where(own > 0, length / own.clamp(min=1e-300), 0.0)
    return gradient * share.view(-1, *[1] * (gradient.ndim - 1)).to(gradient.dtype)


def falling(step: int, steps: int) -> float:
    """From 1 at the first step to :data:`LAST` at the last, along half a cosine.

    >>> [round(falling(step, 3), 3) for step in range(3)]
    [1.0, 0.505, 0.01]
    """
    return LAST + (1 - LAST) * ((1 + math.cos(math.pi * step / max(1, steps - 1))) / 2)
