"""Attacks that do not know of a purifier or transform before the classifier, which overestimate robustness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import nn

from vidrobust.attacks.base import AttackResult, Goal, exact_outcome
from vidrobust.attacks.counts import at_least_one
from vidrobust.attacks.traits import Wrapper
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.attacks.wrappers import Averaged, seeded_by_clips
from vidrobust.errors import InputError
from vidrobust.fast.view import answers

if TYPE_CHECKING:
    from vidrobust.attacks.wrappers import Search
    from vidrobust.types import ClipTensor, Labels, Logits


def classifier_behind(model: Callable[[ClipTensor], Logits]) -> nn.Module | None:
    """The classifier behind a purifier or an input transform, or None where nothing stands before it."""
    found = getattr(model, "classifier", None)
    shielded = hasattr(model, "purifier") or hasattr(model, "transform")
    return found if shielded and isinstance(found, nn.Module) else None


@dataclass(frozen=True)
class Blind(Wrapper):
    """Attack the classifier alone, then judge the whole model on the clips found.

    Published accuracies of purifiers are often of this kind. They hold for an attacker who does not know of the
    purifier, and not for one who does (Athalye, Carlini and Wagner, ICML 2018): report both.

    Args:
        search: the attack.
        samples: draws of a random transform, over which the whole model answers with the mean.

    Raises:
        InputError: when called with a model that has nothing before its classifier.

    >>> import torch
    >>> from vidrobust.attacks.pgd import PGD
    >>> from vidrobust.models.purifier import purified
    >>> from vidrobust.models.building import build
    >>> from vidrobust.threats import Linf, Threat
    >>> model = purified(build("r3d-small", 3), (4, 8, 16)).eval()
    >>> clips, labels = torch.rand(2, 3, 8, 16, 16), torch.tensor([0, 1])
    >>> Blind(PGD(Threat(Linf(), 8 / 255), 2 / 255, 3))(model, clips, labels).clips.shape
    torch.Size([2, 3, 8, 16, 16])
    """

    search: Search
    samples: int = 1

    def __post_init__(self) -> None:
        at_least_one(samples=self.samples)

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was."""
        behind = classifier_behind(model)
        if behind is None:
            raise InputError("a blind attack needs a model with a purifier or a transform before its classifier.")
        found = self.search(behind, clips, labels)
        whole = Averaged(answers(model), self.samples) if self.samples > 1 else model
        with undisturbed(model), seeded_by_clips(0, clips):
            loss, predicted = exact_outcome(whole, found.clips.float(), labels)
        reached = Goal(targeted=getattr(self.search, "targeted", False)).reached(predicted, labels)
        return replace(found, success=reached, loss=loss, predicted=predicted)
