"""V-BAD: a black-box attack that asks by which weights to add up the patches of a tentative perturbation.

An estimated gradient of a clip needs many queries, because a clip has many pixels. V-BAD (Jiang et al., ACM Multimedia
2019) takes its directions from elsewhere, for example from an image model, cuts them into patches, and estimates with
natural evolution strategies (NES; Ilyas et al., ICML 2018) only one weight a patch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import torch

from vidrobust.attacks.counts import at_least_one, check_seed
from vidrobust.attacks.gradients import input_gradient
from vidrobust.attacks.rows import where_rows
from vidrobust.attacks.searching import SearchState, radii, unbounded
from vidrobust.attacks.square import layout
from vidrobust.attacks.stage import QuerySearch
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.fast.view import inference_view
from vidrobust.losses import cross_entropy, margin, predicted
from vidrobust.threats import Threat

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from vidrobust.threats import Feasible
    from vidrobust.types import ClipTensor, Logits

Directions: TypeAlias = "Callable[[ClipTensor], ClipTensor]"
"""From clips ``B C T H W`` to directions of that shape, of which only the signs count."""

Partition: TypeAlias = Literal["uniform", "random"]

PATIENCE = 5
"""Iterations without a greater loss after which the step size is halved."""

SMALLEST = 1 / 16
"""The smallest step size, as a share of the first."""


@dataclass(frozen=True)
class VBAD(QuerySearch):
    """V-BAD (Jiang et al., ACM Multimedia 2019, algorithm 1), on the margin loss.

    In each iteration ``samples`` queries, in pairs of opposite signs, estimate how the loss depends on the weight of
    each patch of the tentative perturbation; one more query sees the step along the weighted patches.

    Args:
        threat: where the perturbed clips may lie.
        queries: forward passes of the attacked model a clip may cost, at least 2.
        tentative: the directions (section 3.3): ``static`` (1 everywhere), ``random`` (signs, drawn in each iteration)
            or a function such as :class:`Transferred`.
        patches: into how many parts each frame is cut along each side.
        partition: ``uniform`` cuts squares, ``random`` draws which pixels belong together.
        samples: queries of an estimate, even.
        noise: the standard deviation of the weights that are tried, as a share of ε. Samples may leave the budget;
            what is misclassified there does not count.
        alpha: the first step as a share of ε; halved where the loss no longer rises.
        seed, precision, targeted: as in :class:`~vidrobust.attacks.square.Square`.

    Raises:
        InputError: a value is out of its range; later, the directions do not have the shape of the clips.

    >>> from vidrobust.threats import Linf
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> clips, labels = torch.rand(5, 3, 2, 4, 4), torch.zeros(5, dtype=torch.int64)
    >>> attack = VBAD(Threat(Linf(), eps=8 / 255), queries=50, patches=2, samples=8)
    >>> result = attack(model, clips, labels)
    >>> bool((result.queries <= 50).all()), int(result.backwards.sum())
    (True, 0)
    """

    threat: Threat
    queries: int = 5000
    tentative: Literal["static", "random"] | Directions = "random"
    patches: int = 8
    partition: Partition = "uniform"
    samples: int = 48
    noise: float = 0.1
    alpha: float = 0.25
    seed: int = 0
    precision: Precision = "auto"
    targeted: bool = False

    loss = staticmethod(margin)
    alpha_is_share = True

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(patches=self.patches, samples=self.samples)
        check_seed(self.seed)
        if self.samples % 2:
            raise InputError(f"samples come in pairs of opposite signs: they must be even, but are {self.samples}.")
        for name in ("noise", "alpha"):
            if not 0 < getattr(self, name) <= 2:
                raise InputError(f"{name}, a share of ε, must lie in (0, 2], but is {getattr(self, name)!r}.")
        if self.tentative not in ("static", "random") and not callable(self.tentative):
            raise InputError(
                f'tentative must be "static", "random" or a function of clips, such as Transferred(model), but is '
                f"{self.tentative!r}."
            )
        if self.partition not in get_args(Partition):
            raise InputError(f'partition must be "uniform" or "random", but is {self.partition!r}.')

    def search(self, run: SearchState) -> None:
        """Attack the clips of a search that still stand."""
        probe, generators = run.elsewhere(unbounded(self.threat), margin), run.generators(self.seed)
        radius = radii(self.threat, run.subject)
        step, least, unchanged = self.alpha * radius, SMALLEST * self.alpha * radius, torch.zeros_like(run.labels)
        patch = cells(run, generators, self.patches, self.partition)
        run.limit = budget = run.forwards + self.queries
        free = run.feasible.start
        top = run.value(free)
        while not run.over:
            tentative = self._tentative(run, generators, free)
            probe.limit = budget - run.forwards
            weights = self._weights(run, probe, generators, free, tentative, patch)
            run.limit = budget - probe.forwards
            if run.over:
                break
            free = run.feasible.step(free, weighted(tentative, weights, patch), step)
            loss = run.value(free)
            unchanged = torch.where(loss > top, 0, unchanged + 1)
            top = torch.maximum(loss, top)
            slower = unchanged >= PATIENCE
            step = where_rows(slower, torch.maximum(step / 2, least), step)
            unchanged = torch.where(slower, 0, unchanged)
        run.pay(probe)
        run.limit = None

    def _tentative(self, run: SearchState, generators: list[Generator], free: Tensor) -> Tensor:
        """The signs of the tentative perturbation, like the free variables; 0 for clips that stand no longer."""
        if self.tentative == "static":
            return torch.ones_like(free)
        if self.tentative == "random":
            return run.normal(generators).sign()
        rows, feasible = run.standing()
        found = torch.zeros_like(free)
        found[rows] = in_free_variables(self.tentative, feasible, free[rows])  # type: ignore[arg-type]
        return (found.mean(0, keepdim=True).expand_as(found) if run.feasible.shared else found).sign()

    def _weights(
        self,
        run: SearchState,
        probe: SearchState,
        generators: list[Generator],
        free: Tensor,
        tentative: Tensor,
        patch: Tensor,
    ) -> Tensor:
        """The gradient of the loss in the weights of the patches, ``B M``, but for a factor a clip (section 3.4)."""
        length = self.threat.norm.size(tentative.flatten(1)).clamp(min=1).to(free.dtype)
        reach = self.noise * radii(self.threat, run.subject)
        reach = reach / length.view(-1, *[1] * (free.ndim - 1))
        total = free.new_zeros(len(free), int(patch.max()) + 1)
        for _ in range(self.samples // 2):
            weights = run.normal(generators, total.shape[1])
            move = reach * weighted(tentative, weights, patch)
            rise = torch.zeros_like(total[:, 0])
            for sign in (1, -1):
                if probe.over:
                    return total
                rise = rise + sign * probe.value(probe.feasible.project(free + sign * move))
            total += weights * rise.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)[:, None]
        return total


def cells(run: SearchState, generators: list[Generator], patches: int, partition: Partition) -> Tensor:
    """The number of the patch that each pixel of each frame belongs to, ``B T·H·W`` int64, from 0."""
    _, _, frames, height, width = layout(run.feasible.start)
    tall, wide = min(patches, height), min(patches, width)
    place = torch.arange(frames)[:, None, None] * tall + (torch.arange(height) * tall // height)[:, None]
    grid = (place * wide + torch.arange(width) * wide // width).flatten().to(run.labels.device)
    if partition == "uniform":
        return grid.expand(len(run.labels), -1)
    return grid[run.uniform(generators, len(grid)).argsort(1)]


def weighted(tentative: Tensor, weights: Tensor, patch: Tensor) -> Tensor:
    """The directions (free variables) times the weight of the patch that each pixel belongs to."""
    shape = layout(tentative)
    return (tentative.view(shape) * weights.gather(1, patch).view(shape[0], 1, *shape[2:])).view_as(tentative)


def in_free_variables(directions: Directions, feasible: Feasible, free: Tensor) -> Tensor:
    """Directions at free points, as those of the free variables, such as the colours of a flicker.

    Raises:
        InputError: the directions do not have the shape of the clips.
    """
    free = free.detach().requires_grad_(True)
    with torch.enable_grad():
        point = feasible.clips(free)
    found = directions(point.detach())
    if not torch.is_tensor(found) or found.shape != point.shape:
        given = tuple(found.shape) if torch.is_tensor(found) else type(found).__name__
        raise InputError(f"tentative must give directions of the shape {tuple(point.shape)}, but gives {given}.")
    return torch.autograd.grad(point, free, found.to(point))[0].nan_to_num()


@dataclass(frozen=True)
class Transferred:
    """Tentative perturbations from another model: the input gradient away from the class that it predicts itself.

    Its classes need not be those of the attacked model, so that an image model can serve. (The paper follows the
    features of an image model instead; the weights are estimated alike.)

    Args:
        model: from clips ``B C T H W`` to logits, or of images.
        images: is it a model of images ``N C H W``, which is shown each frame?

    >>> image_model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 10))
    >>> Transferred(image_model, images=True)(torch.rand(5, 3, 2, 4, 4)).shape
    torch.Size([5, 3, 2, 4, 4])
    """

    model: Callable[[Tensor], Logits]
    images: bool = False

    def __call__(self, clips: ClipTensor) -> ClipTensor:
        """Directions at ``clips`` (``B C T H W``), of their shape; the model is left as it was."""
        shown = clips.transpose(1, 2).flatten(0, 1).contiguous() if self.images else clips
        with undisturbed(self.model), torch.inference_mode(False), torch.no_grad():
            view = inference_view(self.model, shown, "exact")
            gradient = input_gradient(view, shown, predicted(view(shown)).clamp(min=0), cross_entropy).gradient
        return gradient.unflatten(0, (len(clips), -1)).transpose(1, 2) if self.images else gradient
