"""The active test: would the attacks find an adversarial clip if there were one?

Source: Zimmermann, Brendel, Tramèr and Carlini, NeurIPS 2022, "Increasing confidence in adversarial robustness
evaluations". For each clip, the last layer is replaced by one of two classes that puts the clip and many points within
the budget on one side, and one point at the budget's edge just beyond the other. An adversarial clip then exists within
the budget by construction; an evaluation that misses it for more than 5 % of the clips is too weak to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vidrobust.attacks.apgd import APGD
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.attacks.wrappers import EOT, seeded_by_clips
from vidrobust.errors import InputError
from vidrobust.evaluation.attacked_model import AttackedModel
from vidrobust.evaluation.worst_case import WorstCase, single_eps
from vidrobust.fast.memory import as_fits, in_parts
from vidrobust.losses import margin
from vidrobust.results.numbers.rules import Measured

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.threats import Threat
    from vidrobust.types import ClipTensor, Logits

INNER, EDGE = 64, 8
"""Points within the budget that stay on the clip's side, and points at its edge of which the best is put beyond."""

BEYOND = 0.5
"""How far from the point at the edge the plane lies, as a share of the way to the nearest inner point."""

STARTS = 5
"""Random starts: about as many as the ensemble has. In few dimensions (a flicker has three per frame) the planted point
may be one of few corners, which one start alone misses."""

RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Planted:
    """A model whose last layer says how far a clip's features lie beyond a plane.

    Args:
        call: from clips to logits, by way of ``layer``.
        layer: its last linear layer, whose input are the features.
        normal, offset: of the plane.
    """

    call: Callable[[ClipTensor], Logits]
    layer: nn.Module
    normal: Tensor
    offset: float

    def __call__(self, clips: ClipTensor) -> Logits:
        beyond = features(self.call, self.layer, clips) @ self.normal - self.offset
        return torch.stack([torch.zeros_like(beyond), beyond], 1)


def active(case: WorstCase, steps: int, count: int) -> list[Measured]:
    """Run the test on the first ``count`` clips that the model classifies correctly, at the largest budget.

    Returns:
        How many planted clips the attacks missed, of those that could be planted, or why the test cannot be made.
    """
    rows = case.right.nonzero().flatten()[:count]
    if not len(rows):
        return []
    if not case.attacked.gradients:
        return [Measured("no active test", 1, 1, "the model has no gradient")]
    layer = last_layer(case.attacked.model, case.clips[rows[:2]])
    if layer is None:
        return [Measured("no active test", 1, 1, "the last linear layer was not found")]
    missed, planted_count = 0, 0
    for row in rows.tolist():
        clip, threat = case.clips[row : row + 1], case.threats[-1]
        planted = plant(case.attacked, layer, threat, clip, seed=row)
        if planted is not None:
            planted_count, missed = planted_count + 1, missed + (not found(planted, case.attacked, threat, clip, steps))
    if not planted_count:
        return [Measured("no active test", 1, 1, "no clip has features that a plane could part")]
    return [Measured("active test", missed, planted_count)]


def last_layer(model: nn.Module, clips: ClipTensor) -> nn.Module | None:
    """The innermost linear layer that is called last with as many outputs as there are classes, one row per clip."""
    return in_parts(partial(_last_layer, model), (clips,), 1)[0]


def _last_layer(model: nn.Module, clips: ClipTensor) -> nn.Module | None:
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []

    def see(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if inputs and torch.is_tensor(inputs[0]) and torch.is_tensor(output):
            calls.append((module, inputs[0], output))

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    handles = [part.register_forward_hook(see) for part in model.modules() if isinstance(part, kinds)]
    try:
        with undisturbed(model), torch.no_grad():
            logits = model(clips)
    finally:
        for handle in handles:
            handle.remove()
    fits = [
        module
        for module, inputs, output in calls
        if output.flatten(1).shape == logits.shape and len(inputs) == len(clips)
    ]
    return fits[-1] if fits else None


class _ReachedError(Exception):
    """Ends a forward pass where the features are known."""


def features(call: Callable[[ClipTensor], Logits], layer: nn.Module, clips: ClipTensor) -> Tensor:
    """``B D`` float32: what the last layer is shown of clips."""
    return as_fits(partial(_shown, call, layer), clips)


def _shown(call: Callable[[ClipTensor], Logits], layer: nn.Module, clips: ClipTensor) -> Tensor:
    seen: list[Tensor] = []

    def see(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0].float().flatten(1))
        raise _ReachedError

    handle = layer.register_forward_pre_hook(see)
    try:
        call(clips)
    except _ReachedError:
        return seen[0]
    finally:
        handle.remove()
    raise InputError("the last layer was not reached.")


def plant(attacked: AttackedModel, layer: nn.Module, threat: Threat, clip: ClipTensor, seed: int) -> Planted | None:
    """A model that has an adversarial clip within the budget; None where no plane parts the points."""
    generator = torch.Generator().manual_seed(seed)
    inner, edge = threat.around(clip.expand(INNER, -1, -1, -1, -1)), threat.around(clip.expand(EDGE, -1, -1, -1, -1))
    noise = torch.randn(edge.start.shape, generator=generator).to(clip.device)
    with undisturbed(attacked.model), seeded_by_clips(seed, clip), torch.no_grad():
        within = torch.cat([clip, inner.clips(inner.random(generator))])
        beyond = edge.clips(edge.step(edge.start, noise, single_eps(threat)))
        sides = [features(attacked.follow, layer, points).double() for points in (within, beyond)]
    best: tuple[float, Tensor, float] | None = None
    for point in sides[1]:
        normal = _parting(sides[0], point)
        most, at = (sides[0] @ normal).max().item(), (point @ normal).item()
        gap = at - most
        if gap > 0 and (best is None or gap > best[0]):
            best = gap, normal / gap, (at - BEYOND * gap) / gap
    if best is None or not torch.isfinite(best[1]).all():
        return None
    return Planted(attacked.follow, layer, best[1].float(), best[2])


def _parting(points: Tensor, other: Tensor) -> Tensor:
    """The direction in which one point lies furthest from many, in units of their spread (Fisher), with a ridge."""
    centre = points.mean(0)
    spread, way = points - centre, other - centre
    ridge = RIDGE * spread.square().sum() / len(points) + 1e-12
    inner = spread @ spread.T / len(points) + ridge * torch.eye(len(points), dtype=points.dtype, device=points.device)
    return (way - spread.T @ torch.linalg.solve(inner, spread @ way) / len(points)) / ridge


def found(planted: Planted, attacked: AttackedModel, threat: Threat, clip: ClipTensor, steps: int) -> bool:
    """Do the attacks find an adversarial clip?"""
    label = torch.zeros(1, dtype=torch.int64, device=clip.device)
    searches: list[Any] = [
        APGD(threat, steps, margin, restarts=STARTS, precision="exact"),
        PGD(threat, single_eps(threat) / 4, steps, random_start=True, loss=margin, precision="exact"),
    ]
    for search in searches:
        attack = EOT(search, attacked.samples) if attacked.random else search
        with undisturbed(attacked.model):
            try:
                if bool(attack(planted, clip, label).success.any()):
                    return True
            except (InputError, RuntimeError):
                continue
    return False
