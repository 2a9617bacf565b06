"""Frame saliency: perturb only the frames that matter most, by any search (Inkawhich et al., arXiv 1811.11875)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Protocol

import torch

from vidrobust.attacks.base import AttackResult, counting, warn_of_no_gradient
from vidrobust.attacks.counts import at_least_one
from vidrobust.attacks.gradients import input_gradient
from vidrobust.attacks.inputs import check_first_answer, check_inputs, steady
from vidrobust.attacks.traits import Wrapper, attack_cost
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.fast.view import inference_view
from vidrobust.losses import margin
from vidrobust.threats import Frames, Threat, WholeClip

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor, Labels, Logits


class ThreatSearch(Protocol):
    """An attack that is a frozen dataclass with a threat."""

    @property
    def threat(self) -> Threat:
        """Where the perturbed clips may lie."""
        ...

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels, /) -> AttackResult:
        """Attack the clips."""
        ...


@dataclass(frozen=True)
class FrameSaliency(Wrapper):
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

    @property
    def needs_gradients(self) -> bool:
        return True

    @property
    def cost(self) -> int:
        return (self.frames if self.iterative else 1) * (1 + attack_cost(self.search))

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was."""
        check_inputs(clips, labels)
        if self.frames > clips.shape[2]:
            raise InputError(f"there are {clips.shape[2]} frames, of which {self.frames} cannot be chosen.")
        with counting():
            found = (self._one_by_one if self.iterative else self._at_once)(model, clips, labels)
        warn_of_no_gradient(int(found.no_gradient.sum()), len(clips), getattr(self.search, "loss", None))
        return found

    def _at_once(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        seen = frame_saliency(model, clips, labels)
        return seen.charge(self._attack(model, clips, labels, seen.frames.topk(self.frames, dim=1).indices))

    def _one_by_one(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        rows = torch.arange(len(clips), device=clips.device)
        chosen = torch.empty(len(clips), 0, dtype=torch.int64, device=clips.device)
        found, point = None, clips
        for _ in range(self.frames):
            seen = frame_saliency(model, point[rows], labels[rows])
            salient = seen.frames.scatter(1, chosen, -1.0).argmax(1, keepdim=True)
            chosen = torch.cat([chosen, salient], dim=1)
            part = seen.charge(self._attack(model, clips, labels, chosen, rows))
            found = part if found is None else _merge(found, part, rows)
            point, left = found.clips, ~found.success[rows]
            rows, chosen = rows[left], chosen[left]
            if not len(rows):
                break
        assert found is not None
        return found

    def _attack(
        self,
        model: Callable[[ClipTensor], Logits],
        clips: ClipTensor,
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


@dataclass(frozen=True)
class Saliency:
    """How much the loss depends on each frame.

    Attributes:
        frames: ``B T``, the sum of the absolute input gradient.
        unusable: ``B`` bool, of which clips there is no gradient, so that the frames are as good as chosen at random.
        passes: ``B`` int64, gradients spent on each clip.
    """

    frames: Tensor
    unusable: Tensor
    passes: Tensor

    def charge(self, result: AttackResult) -> AttackResult:
        """The result of an attack on the frames that this led to, with the gradients spent here."""
        counts = {name: getattr(result, name) + self.passes for name in ("forwards", "backwards", "queries")}
        return replace(result, **counts, no_gradient=result.no_gradient | (self.unusable & ~result.success))


def frame_saliency(model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> Saliency:
    """The saliency of each frame under cross-entropy, and under the margin of clips where that has no gradient."""
    with undisturbed(model), torch.inference_mode(False):
        given, labels = steady(clips, labels)
        pixels = given.float()
        view = inference_view(model, pixels, "exact")
        check_first_answer(view, pixels, labels)
        _, logits, gradient, usable = input_gradient(view, pixels, labels)  # a few clips at a time
        frames, passes = gradient.abs().sum((1, 3, 4)), torch.ones_like(labels)
        rows = (~usable).nonzero().flatten()
        if len(rows) and logits.shape[1] > 1:
            _, _, gradient, usable[rows] = input_gradient(view, pixels[rows], labels[rows], margin)
            frames[rows] = gradient.abs().sum((1, 3, 4))
            passes[rows] += 1
    return Saliency(frames, ~usable, passes)


def _merge(found: AttackResult, part: AttackResult, rows: Tensor) -> AttackResult:
    """The results of all clips, with those of ``rows`` replaced and their costs added."""
    values = {}
    for field in fields(AttackResult):
        whole, new = getattr(found, field.name).clone(), getattr(part, field.name)
        spent = field.name in ("forwards", "backwards", "queries")
        whole[rows] = whole[rows] + new if spent else new
        values[field.name] = whole
    return AttackResult(**values)
