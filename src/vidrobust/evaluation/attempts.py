"""An attack on a batch, and a second one on the clips for which the gradient of cross-entropy vanished."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch

from vidrobust.attacks.base import AttackResult, counting
from vidrobust.attacks.wrappers import seeded_by_clips
from vidrobust.evaluation.fields import layers
from vidrobust.losses import cross_entropy, margin
from vidrobust.threats import Universal

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from vidrobust.runs.rows import Row
    from vidrobust.types import ClipTensor, Labels, Logits


class Attack(Protocol):
    """Anything called with a model, clips and labels that says which clips it broke."""

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels, /) -> AttackResult:
        """Attack the clips."""
        ...


@dataclass(frozen=True)
class Attempt:
    """What an attack found, after its second try.

    Attributes:
        clips: ``B C T H W``, the perturbed clips.
        broken: ``B`` bool.
        no_gradient: ``B`` bool, not broken, and without a usable gradient under either loss.
        retried: ``B`` bool, attacked again under the margin loss.
        spent: gradients, or where there are none queries, of all clips together.
        queries: ``B`` int64, the answers of the model that were used; of a clip that broke, until it did.
    """

    clips: ClipTensor
    broken: Tensor
    no_gradient: Tensor
    retried: Tensor
    spent: int
    queries: Tensor


def attempt(attack: Attack, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> Attempt:
    """Attack a batch; what cross-entropy had no gradient for is attacked again under the margin loss.

    The gradient of cross-entropy vanishes where a model is very confident, which is not robustness; that of the margin
    does not.

    Args:
        attack: any.
        model: from clips to logits; left as it was.
        clips, labels: ``B C T H W`` in [0, 1] and ``B``, on the model's device.
    """
    with counting(), seeded_by_clips(0, clips):  # for a model that draws
        result = attack(model, clips, labels)
        found = Attempt(
            result.clips,
            result.success,
            result.no_gradient,
            torch.zeros_like(result.success),
            passes(result),
            result.queries,
        )
        second, rows = with_margin(attack), result.no_gradient
        if second is None or not rows.any() or (shares_one(attack) and not rows.all()):
            return found
        again = second(model, clips[rows], labels[rows])
    moved, broken, lacking = result.clips.clone(), result.success.clone(), result.no_gradient.clone()
    moved[rows], broken[rows], lacking[rows] = again.clips, again.success, again.no_gradient
    queries = result.queries.clone()
    queries[rows] += again.queries
    return Attempt(moved, broken, lacking, rows, found.spent + passes(again), queries)


def passes(result: AttackResult) -> int:
    """What an attack has cost all clips together: gradients, or queries of one that needs none."""
    return int(result.backwards.sum()) or int(result.queries.sum())


def with_margin(attack: Any) -> Any | None:
    """The attack with the margin in place of cross-entropy; None if it has another loss, or a class to reach.

    >>> from vidrobust import EOT, PGD, Linf, Threat
    >>> with_margin(EOT(PGD(Threat(Linf(), 8 / 255), 2 / 255, 20))).search.loss.__name__
    'margin'
    """
    *around, search = layers(attack)
    fields = {field.name for field in dataclasses.fields(search)} if dataclasses.is_dataclass(search) else set()
    if any(getattr(layer, "targeted", False) for layer in (*around, search)):
        return None
    if "loss" not in fields or search.loss is not cross_entropy:
        return None
    changed: Any = replace(search, loss=margin)  # type: ignore[type-var]
    for layer in reversed(around):
        changed = replace(layer, search=changed)
    return changed


def shares_one(attack: Any) -> bool:
    """Whether the attack searches for one perturbation of all clips, so that it cannot be repeated on some of them."""
    *_, search = layers(attack)
    return isinstance(getattr(getattr(search, "threat", None), "support", None), Universal)


@dataclass(frozen=True)
class Survivors:
    """What an attack left of the clips, or videos, of a split.

    Attributes:
        survived: ``N`` bool, rightly classified still.
        no_gradient: ``N`` bool, survived and were never attacked: no usable gradient at any step.
        retried: ``N`` bool, attacked again under the margin loss, since cross-entropy had no gradient.
        queries: ``N`` int64, the answers of the model that were used; 0 of clips that were not attacked.
    """

    survived: Tensor
    no_gradient: Tensor
    retried: Tensor
    queries: Tensor

    @classmethod
    def start(cls, count: int) -> Survivors:
        """Of which nothing is known yet."""
        survived, no_gradient, retried = torch.zeros(3, count, dtype=torch.bool)
        return cls(survived, no_gradient, retried, torch.zeros(count, dtype=torch.int64))

    def note(self, part: Tensor, survived: Tensor, tried: Attempt) -> None:
        """Take over a batch: ``part`` are its indices, ``survived`` is ``B`` bool."""
        self.survived[part] = survived.cpu()
        self.no_gradient[part] = survived.cpu() & _any_view(tried.no_gradient, len(part))
        self.retried[part] = _any_view(tried.retried, len(part))
        self.queries[part] = tried.queries.cpu().view(len(part), -1).sum(1)

    @property
    def row(self) -> Row:
        """The counts, as fields of a row: ``retried`` only where there was something to try again."""
        row: Row = {"no_gradient": int(self.no_gradient.sum())}
        if self.retried.any():
            broken = int((self.retried & ~self.survived).sum())
            row["retried"] = {"loss": "margin", "clips": int(self.retried.sum()), "broken": broken}
        return row


def _any_view(flags: Tensor, count: int) -> Tensor:
    """Of a video with several clips: is it so of any?"""
    return flags.cpu().view(count, -1).any(1)
