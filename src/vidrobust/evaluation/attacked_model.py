"""A model under judgement: its predictions for clips, and the model that attacks differentiate in its place.

The model itself decides on every clip, in float32 and as users call it: in evaluation mode, without gradients. An
output that is not finite counts as wrong. The output of a model that draws random numbers is the mean over many draws.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vidrobust.attacks.base import RobustnessWarning
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.attacks.wrappers import EOT, Averaged, seeded_by_clips
from vidrobust.evaluation.clips import device_of
from vidrobust.fast.precision import full_float32
from vidrobust.fast.view import answers, inference_view
from vidrobust.losses import margin, predicted

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.attacks.base import AttackResult
    from vidrobust.types import ClipTensor, Labels, Logits

ORDINARY = (1e-2, 1e3)
"""By how much the largest logit of a clip may exceed their mean without losses saturating or drowning in rounding."""

DRAWS = 4
"""So many times the draws of a gradient make the last word on a model that draws at random."""

CLEAR = 0.1
"""By what share of the range of its logits a fast copy must prefer the right class, so that the model is not asked. The
logits change by about a tenth of that in bfloat16."""


class RescaledLogits(nn.Module):
    """A model with logits of an ordinary size; which class wins is as before.

    Args:
        model: from clips to logits, or to probabilities.
        factor: what its logits are multiplied by.
        log: does it give probabilities, whose logarithms are logits?
    """

    def __init__(self, model: nn.Module, factor: float = 1.0, log: bool = False) -> None:
        super().__init__()
        self.model, self.factor, self.log = model, factor, log

    def forward(self, clips: ClipTensor) -> Logits:
        """Logits ``B K``."""
        found = self.model(clips).float()
        if self.log:
            found = found.clamp(min=torch.finfo(torch.float32).tiny).log()
        return found * self.factor


@dataclass(frozen=True)
class AttackedModel:
    """A model under judgement.

    Attributes:
        model: decides on every clip.
        follow: what attacks call and differentiate: the model, or a stand-in that gives the same classes.
        samples: draws per pass of a model that draws at random; 1 for one that does not.
        gradients: has ``follow`` any?
        layer: the name of the layer whose input gradient is used, empty for the model's own gradient.
    """

    model: nn.Module
    follow: Callable[[ClipTensor], Logits]
    samples: int = 1
    gradients: bool = True
    layer: str = ""

    @property
    def random(self) -> bool:
        """Does the model draw at random?"""
        return self.samples > 1

    def attack(self, search: Any, clips: ClipTensor, labels: Labels) -> AttackResult:
        """What a search finds, by the mean over draws where the model draws at random."""
        search = EOT(search, self.samples) if self.random else search
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RobustnessWarning)  # NaN is counted by the last word
            return search(self.follow, clips, labels)

    @property
    def mean(self) -> Callable[[ClipTensor], Logits]:
        """What attacks follow, as one function of clips."""
        return Averaged(answers(self.follow), self.samples) if self.random else answers(self.follow)

    def wrong(self, clips: ClipTensor, labels: Labels) -> Tensor:
        """``B`` bool: which clips the model itself misclassifies."""
        logits = mean_logits(self.model, clips, self.samples * DRAWS if self.random else 1)
        return (predicted(logits) != labels.cpu()) | ~logits.isfinite().all(1)

    @torch.no_grad()
    def clearly_right(self, clips: ClipTensor, labels: Labels) -> Tensor:
        """``B`` bool: which clips a fast copy of the model classifies so clearly that the model need not be asked.

        Of a model that draws at random, none.
        """
        if self.random:
            return torch.zeros(len(clips), dtype=torch.bool)
        with undisturbed(self.model):
            logits = inference_view(self.model, clips)(clips).float()
        return (margin(logits, labels) < -CLEAR * (logits.amax(1) - logits.amin(1))).cpu()


@torch.no_grad()
def mean_logits(model: nn.Module, clips: ClipTensor, draws: int = 1, batch: int = 64) -> Logits:
    """``B K`` on the CPU: the logits as users get them, the mean over ``draws``."""
    found, device = [], device_of(model)
    with (
        undisturbed(model),
        seeded_by_clips(0, clips),
        torch.autocast(device.type, enabled=False),
        full_float32(device),
    ):
        for part in clips.to(device).split(batch):
            found.append(sum(answers(model)(part).float() for _ in range(draws)).cpu() / draws)  # type: ignore[union-attr]
    return torch.cat(found)


def logits_or_errors(model: nn.Module, clips: ClipTensor, draws: int = 1) -> tuple[Logits | None, Tensor, list[str]]:
    """What a model says of clips, some of which it may fail on.

    Returns:
        The logits ``B K``, NaN for clips that it fails on (None if it fails on all), ``B`` bool which these are, and
        the errors in words.
    """
    failed, errors, logits = torch.zeros(len(clips), dtype=torch.bool), dict[str, None](), None
    for rows, found in bisected(lambda rows: mean_logits(model, clips[rows], draws), torch.arange(len(clips)), errors):
        if found is None:
            failed[rows] = True
            continue
        logits = torch.full((len(clips), found.shape[1]), torch.nan) if logits is None else logits
        logits[rows] = found
    return logits, failed, list(errors)


def bisected(work: Callable[[Tensor], Any], rows: Tensor, errors: dict[str, None]) -> list[tuple[Tensor, Any]]:
    """Do work on rows; where it fails, on either half of them, down to single rows, which are left out.

    Args:
        work: from rows to what was found of them.
        rows: indices.
        errors: what went wrong is added to it.

    Returns:
        The rows with what was found of them, or with None.
    """
    if not len(rows):
        return []
    try:
        return [(rows, work(rows))]
    except Exception as error:  # noqa: BLE001 - any error of a model is a result to report
        if len(rows) == 1:
            lines = str(error).strip().splitlines()
            errors[f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]] = None
            return [(rows, None)]
        middle = len(rows) // 2
        return bisected(work, rows[:middle], errors) + bisected(work, rows[middle:], errors)


def size_of_logits(logits: Logits) -> float:
    """By how much the largest logit exceeds their mean, of the median clip."""
    finite = logits[logits.isfinite().all(1)].double()
    return (finite.amax(1) - finite.mean(1)).median().item() if len(finite) else 1.0


def with_ordinary_logits(model: nn.Module, logits: Logits, probabilities: bool) -> nn.Module:
    """The model, or a stand-in with logits of an ordinary size, as those of the clean clips tell."""
    if probabilities:
        return RescaledLogits(model, log=True).eval()
    size = size_of_logits(logits)
    if size <= 0 or ORDINARY[0] <= size <= ORDINARY[1]:
        return model
    return RescaledLogits(model, min(10 / size, 1e36)).eval()
