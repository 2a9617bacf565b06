"""Attacks on classes by votes: what certificates by ablation are compared with.

The attack changes the elements, frames or columns, whose votes could take most from the class if all of them became
wrong (what the certificate supposes), with any content (ε = 1). It follows the mean probability of the votes; the votes
themselves say whether it succeeds.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.attacks.wrappers import seeded_by_clips
from vidrobust.evaluation.certificates.ablation import worst_lead
from vidrobust.evaluation.certificates.certified import ABSTAINED
from vidrobust.evaluation.clips import batches, device_of, robustness_row
from vidrobust.evaluation.fields import attack_budget, attack_fields, attack_text
from vidrobust.fast.view import answers
from vidrobust.losses import margin
from vidrobust.threats import Linf, Mask, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.data.clips import Clips
    from vidrobust.evaluation.certificates.ablation import Ablation
    from vidrobust.runs.rows import Row
    from vidrobust.types import ClipTensor, Logits

COUNTS = (1, 2, 4)
"""Changed elements."""

STEPS = 10
"""Of the attack, of a quarter of the range each."""

MOST_PLACES = 2000
"""Sets of elements that are compared, of as many as there are."""


class Voted(nn.Module):
    """The class by votes as attacks see it: the logarithm of the mean probabilities of some votes, drawn at each pass.

    Args:
        classifier: from clips to logits.
        ablation: whose votes.
        votes: a pass.
    """

    def __init__(self, classifier: nn.Module, ablation: Ablation, votes: int = 16) -> None:
        super().__init__()
        self.classifier, self.ablation, self.votes = classifier, ablation, votes

    def forward(self, clips: ClipTensor) -> Logits:
        """Logits ``B K``."""
        shown = []
        for clip in clips:
            parts = self.ablation.parts(clip.detach())
            drawn = torch.randperm(len(parts))[: self.votes].numpy()
            shown.append(self.ablation.masked(clip, parts[drawn]))
        found = self.classifier(torch.cat(shown)).float().log_softmax(1)
        return found.unflatten(0, (len(clips), -1)).logsumexp(1)


def weakest(ablation: Ablation, parts: np.ndarray, votes: np.ndarray, classes: int, count: int) -> tuple[int, ...]:
    """The ``count`` elements whose votes, all of them wrong, would leave the class the least ahead."""
    places = islice(ablation.choices(count, parts.shape[1]), MOST_PLACES)
    return min(places, key=lambda place: worst_lead(np.asarray(parts[:, list(place)].any(1)), votes, classes))


def attacked_votes(model: nn.Module, clips: Clips, ablation: Ablation, right: Tensor) -> list[Row]:
    """``robustness`` rows of the class by votes, whose ε counts changed elements (norm L0).

    Args:
        model: left as it was.
        clips: the clips.
        ablation: the certificate whose votes are attacked.
        right: ``N`` bool: clips whose votes give the right class.
    """
    search = PGD(Threat(Linf(), 1.0), 0.25, STEPS, keep="best", loss=margin)
    fields = {**attack_fields(search), "norm": ablation.norm, "support": ablation.support}
    rows, standing = [{**robustness_row(right, clips, model), "attack": "none"}], right
    for number, count in enumerate(COUNTS):
        if count > clips.centre([0]).shape[1 + ablation.axis]:
            break
        standing = _standing(model, clips, ablation, search, standing, count)
        setting = {
            "eps": float(count),
            "alpha": attack_budget(search)[1],
            "steps": STEPS,
            "cascade": [float(one) for one in COUNTS[:number]],
        }
        text = f"{attack_text(search)} of {count} {ablation.unit}"
        rows.append({**robustness_row(standing, clips, model), **setting, **fields, "attack": text})
    return [{**row, "defence": attack_text(ablation)} for row in rows]


def _standing(model: nn.Module, clips: Clips, ablation: Ablation, search: PGD, standing: Tensor, count: int) -> Tensor:
    """Which of the clips that stand still do when ``count`` elements are changed."""
    found, voted = standing.clone(), Voted(model, ablation).eval()
    for part, x, y in batches(clips, standing.nonzero().flatten(), device_of(model)):
        for some in torch.arange(len(part)).split(8):
            mask = torch.stack([_weakest_mask(model, ablation, clip, count) for clip in x[some]])
            aimed = PGD(Threat(Linf(), 1.0, Mask(mask)), search.alpha, search.steps, keep="best", loss=margin)
            with seeded_by_clips(0, x[some]):
                moved = aimed(voted, x[some], y[some]).clips
            predicted = ablation(model, moved, y[some]).predicted
            found[part[some]] = (predicted == y[some].cpu()) | (predicted == ABSTAINED)
    return found


def _weakest_mask(model: nn.Module, ablation: Ablation, clip: Tensor, count: int) -> Tensor:
    """Where the weakest elements of a clip lie: bool, 1 along all dimensions of ``C T H W`` but theirs."""
    parts = ablation.parts(clip)
    with undisturbed(model), torch.no_grad():
        votes, classes = ablation.votes(answers(model), clip, parts)
    chosen = torch.zeros(parts.shape[1], dtype=torch.bool, device=clip.device)
    chosen[list(weakest(ablation, parts, votes, classes, count))] = True
    return chosen.view([-1 if axis == ablation.axis else 1 for axis in range(4)])
