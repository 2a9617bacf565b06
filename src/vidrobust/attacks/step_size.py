"""α*: the step size calibrated for one model, one threat and one number of iterations.

The method is that of the slides: run the attack on a few clips for each step size of a geometric grid, widen the grid
until the greatest mean loss lies inside it, and take the vertex of a parabola in log α
(:func:`~vidrobust.notation.alpha_star.best_step`). One trajectory serves all iteration counts up to its length. Results
are cached per model as long as its weights do not change.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import torch
from torch import nn

from vidrobust.attacks.base import Goal, warn_of_no_gradient
from vidrobust.attacks.searching import SearchState, searching
from vidrobust.attacks.side_by_side import Copies, together
from vidrobust.errors import InputError
from vidrobust.fast.state import model_state
from vidrobust.losses import cross_entropy
from vidrobust.notation.alpha_star import StepSizeEstimate, best_step
from vidrobust.threats import Threat

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.losses import Loss
    from vidrobust.types import ClipTensor, Labels, Logits

RATIO = 1.6
"""Of neighbouring step sizes on the grid."""

FIRST, LOWEST, HIGHEST = range(-6, 1), -13, 3
"""Powers of the ratio, times ε: the first grid (ε/16…ε), and how far it may grow (ε/450…4ε)."""

CLIPS = 32
"""Clips a calibration looks at, at most."""

Alpha: TypeAlias = "float | Literal['auto']"
"""A step size in the units of the pixels, or ``auto``: calibrated by :func:`resolve_alpha`."""

AnyRun = TypeVar("AnyRun")
AnyAttack = TypeVar("AnyAttack", bound=Any)


def explore(
    measure: Callable[[Sequence[int]], Sequence[AnyRun]],
    mean_loss: Callable[[AnyRun, int], float],
    steps: Sequence[int],
) -> dict[int, AnyRun]:
    """Measure a grid of step sizes, widened until the best of each iteration count lies inside it or a limit is met.

    Args:
        measure: from powers p to a run with the step size ``ε · RATIO ** p`` for each, long enough for all counts.
        mean_loss: of a run after a number of iterations.
        steps: the iteration counts.

    Returns:
        The runs by power, ascending.

    >>> peak = -8  # below the first grid
    >>> runs = explore(lambda powers: powers, lambda power, count: -abs(power - peak), [10])
    >>> list(runs)
    [-9, -8, -7, -6, -5, -4, -3, -2, -1, 0]
    """
    found = dict(zip(FIRST, measure(FIRST), strict=True))
    while True:
        tops = {max(found, key=lambda power: mean_loss(found[power], count)) for count in steps}
        low, high = min(found), max(found)
        if low in tops and low > LOWEST:
            (found[low - 1],) = measure([low - 1])
        elif high in tops and high < HIGHEST:
            (found[high + 1],) = measure([high + 1])
        else:
            return dict(sorted(found.items()))


def calibrate(
    model: Callable[[ClipTensor], Logits],
    threat: Threat,
    steps: int | Sequence[int],
    clips: ClipTensor,
    labels: Labels,
    loss: Loss = cross_entropy,
) -> dict[int, StepSizeEstimate]:
    """α* for each number of iterations, by a sweep on the first clips given, and remembered for ``alpha="auto"``.

    Costs 7 to 17 runs of the longest count. Give clips that are not evaluated afterwards.

    Args:
        model: any callable from clips to logits; only an ``nn.Module`` is remembered.
        threat: where the perturbed clips may lie.
        steps: one or more iteration counts.
        clips, labels: ``B C T H W`` in [0, 1] and ``B``; the first 32 are used.
        loss: what is maximised.

    Returns:
        By iteration count, in the units of ε.

    Raises:
        InputError: ε is 0, there is no step size to look for.
    """
    counts = [steps] if isinstance(steps, int) else list(steps)
    eps = _scale(threat)
    with searching(model, threat, clips, labels, loss, "auto") as run:
        run.exploring = True
        run.broken[CLIPS:] = True  # left alone: the threat may be one for each of all these clips

        def measure(powers: Sequence[int]) -> list[Tensor]:
            return loss_trajectories(run, [eps * RATIO**power for power in powers], max(counts))

        found = explore(measure, lambda losses, count: losses[count].mean().item(), counts)
        lacking = run.unmoved[:CLIPS]
        warn_of_no_gradient(int(lacking.sum()), len(lacking), loss, "α* rests on clips that cannot be attacked: ")
    alphas = [eps * RATIO**power for power in found]
    best = {count: best_step(alphas, [losses[count].tolist() for losses in found.values()]) for count in counts}
    if isinstance(model, nn.Module):
        for count, estimate in best.items():
            _remember(model, _key(threat, count, loss), estimate)
    return best


def resolve_alpha(
    alpha: Alpha,
    model: Callable[[ClipTensor], Logits],
    threat: Threat,
    steps: int,
    clips: ClipTensor,
    labels: Labels,
    loss: Loss = cross_entropy,
    patience: int = 0,
) -> float:
    """The number that a search steps by: ``alpha`` itself, or for ``auto`` the calibrated α*.

    The first call for a model, threat, loss and iteration count calibrates on the clips given, unless
    :func:`calibrate` has done so on others; later calls look it up until the model's weights change.

    Args:
        alpha: a number above 0, or ``auto``.
        model, threat, steps, clips, labels, loss: as in :func:`calibrate`.
        patience: for how many calls a value may outlive a change of weights: in training they change at every step,
            and α* moves slowly.

    Returns:
        α in the units of ε.

    Raises:
        InputError: ``alpha`` is neither above 0 nor ``auto``.
    """
    if alpha != "auto":
        return check_alpha(alpha)
    key = _key(threat, steps, loss)
    known = _recall(model, key, patience) if isinstance(model, nn.Module) else None
    return (known or calibrate(model, threat, steps, clips, labels, loss)[steps]).alpha


def resolved(
    attack: AnyAttack, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels, patience: int = 0
) -> AnyAttack:
    """The attack (a frozen dataclass with a threat, ``alpha`` and ``steps``) with a number in place of ``auto``.

    Args:
        attack: such as :class:`~vidrobust.attacks.pgd.PGD`.
        model, clips, labels, patience: as in :func:`resolve_alpha`.
    """
    if attack.alpha != "auto":
        return attack
    loss = Goal(getattr(attack, "loss", cross_entropy), getattr(attack, "targeted", False)).gain
    alpha = resolve_alpha("auto", model, attack.threat, attack.steps, clips, labels, loss, patience)
    return replace(attack, alpha=alpha)


def check_alpha(alpha: Any) -> Any:
    """Refuse a value that is not a step size; otherwise return it.

    >>> check_alpha("auto"), check_alpha(0.01)
    ('auto', 0.01)
    """
    if alpha != "auto" and not (isinstance(alpha, (int, float)) and 0 < alpha < math.inf):
        raise InputError(f'alpha, the step size, must be above 0 and finite, or "auto", but is {alpha!r}.')
    return alpha


def loss_trajectories(run: SearchState, alphas: Sequence[float], steps: int) -> list[Tensor]:
    """For each step size, the loss of the standing clips after each step of steepest ascent, ``steps + 1`` × ``R``."""
    found: list[Tensor] = []
    while waiting := alphas[len(found) :]:
        copies = Copies(run, min(len(waiting), together(run)))
        size = torch.tensor(waiting[: copies.count], dtype=torch.float32).repeat_interleave(len(copies.rows))
        each = size.to(run.best.device).view(-1, *[1] * (run.best.ndim - 1))
        found += loss_trajectory(copies, each, steps).tensor_split(copies.count, 1)
        copies.charge(run)
    return found


def loss_trajectory(run: SearchState, alpha: float | Tensor, steps: int) -> Tensor:
    """The loss of every clip after each step of steepest ascent, ``steps + 1`` × ``B``."""
    free, losses = run.feasible.start, []
    for _ in range(steps):
        loss, gradient = run.gradient(free)
        losses.append(loss)
        free = run.feasible.step(free, gradient, alpha)
    return torch.stack([*losses, run.value(free)])


# --------------------------------------------------------------------------------------------------- what is remembered


@dataclass
class Memory:
    """The step sizes found for a model, and the weights that they were found for."""

    state: tuple[float, ...]
    found: dict[tuple[object, ...], StepSizeEstimate]
    used: int = 0
    """Calls since the weights changed."""


_memories: weakref.WeakKeyDictionary[nn.Module, Memory] = weakref.WeakKeyDictionary()


def _remember(model: nn.Module, key: tuple[object, ...], estimate: StepSizeEstimate) -> None:
    state = model_state(model)
    memory = _memories.get(model)
    if memory is None or memory.state != state:
        memory = _memories[model] = Memory(state, {})
    memory.found[key] = estimate


def _recall(model: nn.Module, key: tuple[object, ...], patience: int) -> StepSizeEstimate | None:
    memory = _memories.get(model)
    if memory is None or key not in memory.found:
        return None
    if memory.state != model_state(model):
        memory.used += 1
        if memory.used > patience:
            return None
    return memory.found[key]


def _key(threat: Threat, steps: int, loss: Loss) -> tuple[object, ...]:
    return repr(threat.norm), repr(threat.support), _scale(threat), steps, loss


def _scale(threat: Threat) -> float:
    """The mean budget, by which step sizes are measured."""
    eps = torch.tensor(threat.eps, dtype=torch.float64).mean().item()
    if eps == 0:
        raise InputError('with eps=0 there is no step size to look for: give alpha as a number instead of "auto".')
    return eps
