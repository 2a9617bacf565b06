"""Consistency checks: results of attacks hold for users only if a model's outputs do not depend on how it is called."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.evaluation.attacked_model import bisected, logits_or_errors
from vidrobust.evaluation.clips import device_of
from vidrobust.fast.inference import are_probabilities
from vidrobust.fast.view import answers
from vidrobust.losses import predicted
from vidrobust.results.numbers.rules import Measured
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.types import ClipTensor, Labels, Logits

ALIKE, NEAR = 1e-3, 1e-2
"""By what share of the largest logit answers may differ: to the same question, and to one in another batch."""

ALONE = 8
"""Clips that are asked about by themselves, at most."""

NOISE = 2 * PIXEL
"""What no model that has learnt a task minds."""

CLOSE, FAR = 8 * PIXEL, 64 * PIXEL
"""How far from a clip one is that counts as like it, and one that does not."""


@dataclass(frozen=True)
class CleanAnswers:
    """The outputs of a model for clean clips.

    Attributes:
        logits: ``B K``, NaN where it fails; None if it fails on all.
        right: ``B`` bool, which clips it gets right, with finite logits.
        failed: ``B`` bool, which it fails on.
        random: does its output differ when it is called again?
        probabilities: does it give these instead of logits?
        measured: what was counted.
    """

    logits: Logits | None
    right: Tensor
    failed: Tensor
    random: bool
    probabilities: bool
    measured: tuple[Measured, ...]


def check_consistency(
    model: nn.Module, clips: ClipTensor, labels: Labels, draws: int = 64, seed: int = 0
) -> CleanAnswers:
    """Run a model on clean clips in several ways and compare the outputs.

    Args:
        model: in evaluation mode; left as it was.
        clips, labels: ``B C T H W`` in [0, 1] and ``B``.
        draws: of a model that draws at random, over which its answer is the mean.
        seed: of the noise.
    """
    logits, failed, errors = logits_or_errors(model, clips)
    if logits is None:
        nothing = torch.zeros_like(failed)
        return CleanAnswers(
            None, nothing, failed, False, False, (Measured("unanswered", *_share(failed), "; ".join(errors)),)
        )
    usable = (~failed).nonzero().flatten()
    answered = clips[usable]
    random = _is_random(model, answered)
    if random:
        logits = logits_or_errors(model, clips, draws)[0]
        assert logits is not None
    finite = logits.isfinite().all(1)
    right = (predicted(logits) == labels.cpu()) & finite
    probabilities = bool(finite.any()) and are_probabilities(logits[finite])
    measured = [
        Measured("unanswered", *_share(failed), "; ".join(errors)),
        Measured("not finite", int((~finite & ~failed).sum()), len(usable)),
        Measured("probabilities", int(probabilities), 1),
        Measured("remembered clips", *_lost_to_noise(model, clips, labels, right, draws if random else 1, seed)),
    ]
    if not random:
        measured += [_gradient_mode(model, answered, logits[usable]), _batch(model, answered, logits[usable])]
        measured += _memory(model, answered, seed)
    return CleanAnswers(logits, right, failed, random, probabilities, tuple(measured))


def drift(model: nn.Module, clips: ClipTensor, before: Logits) -> Measured:
    """How many clips get other logits than ``before`` (``B K``): of a model that draws nothing."""
    after, _, _ = logits_or_errors(model, clips)
    return Measured("drift", *_share(_differ(after, before, ALIKE) if after is not None else torch.ones(len(clips))))


def _is_random(model: nn.Module, clips: ClipTensor) -> bool:
    """Asked again and again, each time as it comes: no seed is set in between."""
    some = clips[:ALONE]
    with undisturbed(model):
        draws = [_asked(model, some, len(some)) for _ in range(4)]
    return any(bool(_differ(draw, draws[0], ALIKE).any()) for draw in draws[1:])


def _gradient_mode(model: nn.Module, clips: ClipTensor, logits: Logits) -> Measured:
    """Does a graph, or a clip that asks for one, change the answer? That it gives none is for others to tell."""
    some, known = clips[: 2 * ALONE], logits[: 2 * ALONE]
    other = torch.zeros(len(some), dtype=torch.bool)
    with undisturbed(model), torch.enable_grad():
        for wanted in (False, True):
            found = _asked(model, some, len(known), wanted)
            other |= _differ(found, known, ALIKE) & ~found.isnan().all(1)
    return Measured("gradient mode", *_share(other))


def _batch(model: nn.Module, clips: ClipTensor, logits: Logits) -> Measured:
    """Alone, in another order, beside other clips? A clip that fails alone depends on the others, too."""
    some, known = clips[:ALONE], logits[:ALONE]
    with undisturbed(model), torch.no_grad():
        alone = torch.cat([_asked(model, clip[None], 1, classes=known.shape[1]) for clip in some])
        turned = _asked(model, some.flip(0), len(some)).flip(0)
        beside = _asked(model, torch.cat([some, 1 - some]), len(some))
    other = torch.stack([_differ(found, known, NEAR) for found in (alone, turned, beside)]).any(0)
    return Measured("batch", *_share(other))


def _memory(model: nn.Module, clips: ClipTensor, seed: int) -> list[Measured]:
    """Does a clip get another answer where one like it was asked about before? Of two copies, one is asked about both.

    Clips that the model may have been shown before, and those far from them, which it cannot.
    """
    generator = torch.Generator().manual_seed(seed)
    some = clips[:ALONE]
    far = (some + FAR * torch.randn(some.shape, generator=generator).to(some)).clamp(0, 1)
    before = torch.cat([some, far])
    near = (before + CLOSE * torch.randn(before.shape, generator=generator).to(some).sign()).clamp(0, 1)
    try:
        remembers, fresh = copy.deepcopy(model), copy.deepcopy(model)
    except Exception:  # noqa: BLE001 - what cannot be copied cannot be asked this
        return []
    with undisturbed(remembers), undisturbed(fresh), torch.no_grad():
        _asked(remembers, before, len(before))
        first, second = (_asked(each, near, len(near)) for each in (fresh, remembers))
    other = _differ(second, first, ALIKE).view(2, -1).any(0)
    return [Measured("drift", *_share(other), "clips like them had been asked about" if other.any() else "")]


def _asked(model: nn.Module, clips: ClipTensor, count: int, gradient: bool = False, classes: int = 1) -> Logits:
    """``count K`` on the CPU: the logits of the first clips, as they come; NaN for those that the model fails on."""
    where, found = device_of(model), None

    def logits(rows: Tensor) -> Logits:
        return answers(model)(clips[rows].to(where).requires_grad_(gradient)).detach().float().cpu()

    for rows, logits_again in bisected(logits, torch.arange(len(clips)), {}):
        if logits_again is not None:
            found = torch.full((len(clips), logits_again.shape[1]), torch.nan) if found is None else found
            found[rows] = logits_again
    return torch.full((count, classes), torch.nan) if found is None else found[:count]


def _lost_to_noise(
    model: nn.Module, clips: ClipTensor, labels: Labels, right: Tensor, draws: int, seed: int
) -> tuple[int, int]:
    """Right answers that are lost when every pixel moves by ±2/255 at random, and right answers."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, clips.shape, generator=generator).to(clips) * 2 - 1
    logits, _, _ = logits_or_errors(model, (clips + NOISE * signs).clamp(0, 1), draws)
    kept = torch.zeros_like(right) if logits is None else predicted(logits) == labels.cpu()
    return int((right & ~kept).sum()), int(right.sum())


def _differ(found: Logits, known: Logits, share: float) -> Tensor:
    """``B`` bool: where logits differ by more than a share of the largest; NaN and infinity equal themselves."""
    scale = known[known.isfinite()].abs().max().item() if known.isfinite().any() else 1.0
    near = (found - known).abs() <= share * max(scale, torch.finfo(torch.float32).tiny)
    same = (found == known) | (found.isnan() & known.isnan())
    return ~(near | same).all(1)


def _share(rows: Tensor) -> tuple[int, int]:
    return int(rows.sum()), len(rows)
