"""Frame saliency: perturb only the frames that matter most, by any search (Inkawhich et al., arXiv 1811.11875)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Protocol

import torch

from vidrobust.attacks.base import (
    AttackResult,
    check_first_answer,
    check_inputs,
    input_gradient,
    steady,
    undisturbed,
)
from vidrobust.attacks.counts import at_least_one
from vidrobust.errors import InputError
from vidrobust.fast.view import inference_view
from vidrobust.threats import Frames, Threat, WholeClip

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import Clips, Labels, Logits


class ThreatSearch(Protocol):
    """An attack that is a frozen dataclass with a threat."""

    @property
    def threat(self) -> Threat:
        """Where the perturbed clips may lie."""
        ...

    def __call__(self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels, /) -> AttackResult:
        """Attack the clips."""
        ...


@dataclass(frozen=True)
class FrameSaliency:
    """Attack the ``frames`` most salient frames of each clip (section 4, there).

    A frame is as salient as the sum of its absolute input gradient.

    Args:
        search: an attack with a threat on the whole clip, such as :class:`~vidrobust.attacks.pgd.PGD`; its support
            is replaced by the chosen frames.
        frames: how many frames may change, at least 1.
        iterative: choose one frame at a time, on the clip perturbed so far, and stop as soon as the clip is broken
            (costs up to ``frames`` runs of the search); otherwise all are chosen at once on the clean clip.

    Raises:
        InputError: the search has no threat, or one with a support; later, the clips have fewer frames.

    >>> from vidrobust.attacks.pgd import PGD
    >>> from vidrobust.threats import Linf
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4 * 4, 2))
    >>> clips, labels = torch.rand(5, 3, 4, 4, 4), torch.zeros(5, dtype=torch.int64)
    >>> attack = FrameSaliency(PGD(Threat(Linf(), eps=8 / 255), alpha=2 / 255, steps=5, keep="last"), frames=2)
    >>> changed = (attack(model, clips, labels).clips != clips).any(-1).any(-1).any(1)
    >>> changed.sum(1).tolist()
    [2, 2, 2, 2, 2]
    """

    search: ThreatSearch
    frames: int
    iterative: bool = False

    def __post_init__(self) -> None:
        at_least_one(frames=self.frames)
        if not isinstance(getattr(self.search, "threat", None), Threat):
            raise InputError(
                f"frame saliency chooses the support of a search with a threat, which {type(self.search).__name__} has "
                "not. What wraps a search goes around: EOT(FrameSaliency(search, frames))."
            )
        if self.search.threat.support != WholeClip():
            raise InputError(
                f"frame saliency chooses the support, but the search already has {self.search.threat.support}: "
                "give it a threat on the whole clip."
            )

    @property
    def threat(self) -> Threat:
        """That of the search, for the frames not yet chosen."""
        return self.search.threat

    def __call__(self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was."""
        check_inputs(clips, labels)
        if self.frames > clips.shape[2]:
            raise InputError(f"there are {clips.shape[2]} frames, of which {self.frames} cannot be chosen.")
        if not self.iterative:
            chosen = frame_saliency(model, clips, labels).topk(self.frames, dim=1).indices
            return _spend(self._attack(model, clips, labels, chosen), 1)
        return self._one_by_one(model, clips, labels)

    def _one_by_one(self, model: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> AttackResult:
        rows = torch.arange(len(clips), device=clips.device)
        chosen = torch.empty(len(clips), 0, dtype=torch.int64, device=clips.device)
        found, point = None, clips
        for _ in range(self.frames):
            saliency = frame_saliency(model, point[rows], labels[rows]).scatter(1, chosen, -1.0)
            chosen = torch.cat([chosen, saliency.argmax(1, keepdim=True)], dim=1)
            part = _spend(self._attack(model, clips, labels, chosen, rows), 1)
            found = part if found is None else _merge(found, part, rows)
            point, left = found.clips, ~found.success[rows]
            rows, chosen = rows[left], chosen[left]
            if not len(rows):
                break
        assert found is not None
        return found

    def _attack(
        self,
        model: Callable[[Clips], Logits],
        clips: Clips,
        labels: Labels,
        chosen: Tensor,
        rows: Tensor | None = None,
    ) -> AttackResult:
        """The search on the chosen frames (``R k``) of the clips ``rows`` (all)."""
        threat, support = self.search.threat, Frames(tuple(tuple(row) for row in chosen.tolist()))
        if rows is None:
            rows = torch.arange(len(clips), device=clips.device)
        eps = threat.eps
        if isinstance(eps, tuple) and len(eps) == len(clips):
            eps = tuple(eps[row] for row in rows.tolist())
        search = replace(self.search, threat=replace(threat, eps=eps, support=support))  # type: ignore[type-var]
        return search(model, clips[rows], labels[rows])


def frame_saliency(model: Callable[[Clips], Logits], clips: Clips, labels: Labels) -> Tensor:
    """How much the loss depends on each frame: the sum of the absolute input gradient, ``B T``."""
    with undisturbed(model), torch.inference_mode(False):
        given, labels = steady(clips, labels)
        pixels = given.float()
        view = inference_view(model, pixels, "exact")
        check_first_answer(view, pixels, labels)
        _, _, gradient = input_gradient(view, pixels, labels)  # a few clips at a time
    return gradient.abs().sum((1, 3, 4))


def _spend(result: AttackResult, passes: int) -> AttackResult:
    """The result, with the gradients of the saliency counted."""
    counts = {name: getattr(result, name) + passes for name in ("forwards", "backwards", "queries")}
    return replace(result, **counts)


def _merge(found: AttackResult, part: AttackResult, rows: Tensor) -> AttackResult:
    """The results of all clips, with those of ``rows`` replaced and their costs added."""
    values = {}
    for field in fields(AttackResult):
        whole, new = getattr(found, field.name).clone(), getattr(part, field.name)
        spent = field.name in ("forwards", "backwards", "queries")
        whole[rows] = whole[rows] + new if spent else new
        values[field.name] = whole
    return AttackResult(**values)
