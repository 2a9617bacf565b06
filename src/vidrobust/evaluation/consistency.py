"""Does a model answer alike however it is asked? What an attack finds holds for users only if it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.evaluation.clips import device_of
from vidrobust.evaluation.judged import answered
from vidrobust.fast.inference import are_probabilities
from vidrobust.fast.view import answers
from vidrobust.losses import predicted
from vidrobust.results.numbers.verdict import Measured
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.types import Clips, Labels, Logits

ALIKE, NEAR = 1e-3, 1e-2
"""By what share of the largest logit answers may differ: to the same question, and to one in another batch."""

ALONE = 8
"""Clips that are asked about by themselves, at most."""

NOISE = 2 * PIXEL
"""What no model that has learnt a task minds."""


@dataclass(frozen=True)
class Look:
    """What a model says of clean clips.

    Attributes:
        logits: ``B K``, NaN where it fails; None if it fails on all.
        right: ``B`` bool, which clips it gets right, with finite logits.
        failed: ``B`` bool, which it fails on.
        random: does it answer otherwise when it is asked again?
        probabilities: does it give these instead of logits?
        measured: what was counted.
    """

    logits: Logits | None
    right: Tensor
    failed: Tensor
    random: bool
    probabilities: bool
    measured: tuple[Measured, ...]


def look(model: nn.Module, clips: Clips, labels: Labels, draws: int = 64, seed: int = 0) -> Look:
    """Ask a model about clean clips in several ways.

    Args:
        model: in evaluation mode; left as it was.
        clips, labels: ``B C T H W`` in [0, 1] and ``B``.
        draws: of a model that draws at random, over which its answer is the mean.
        seed: of the noise.
    """
    logits, failed, errors = answered(model, clips)
    if logits is None:
        nothing = torch.zeros_like(failed)
        return Look(None, nothing, failed, False, False, (Measured("unanswered", *_share(failed), "; ".join(errors)),))
    usable = (~failed).nonzero().flatten()
    shown = clips[usable]
    random = _is_random(model, shown)
    if random:
        logits = answered(model, clips, draws)[0]
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
        measured += [_gradient_mode(model, shown, logits[usable]), _batch(model, shown, logits[usable])]
    return Look(logits, right, failed, random, probabilities, tuple(measured))


def drift(model: nn.Module, clips: Clips, before: Logits) -> Measured:
    """How many clips get other logits than ``before`` (``B K``): of a model that draws nothing."""
    after, _, _ = answered(model, clips)
    return Measured("drift", *_share(_differ(after, before, ALIKE) if after is not None else torch.ones(len(clips))))


def _is_random(model: nn.Module, clips: Clips) -> bool:
    """Asked again and again, each time as it comes: no seed is set in between."""
    few = clips[:ALONE].to(device_of(model))
    with undisturbed(model), torch.no_grad():
        draws = [answers(model)(few).float().cpu() for _ in range(4)]
    return any(bool(_differ(draw, draws[0], ALIKE).any()) for draw in draws[1:])


def _gradient_mode(model: nn.Module, clips: Clips, logits: Logits) -> Measured:
    """Does a graph, or a clip that asks for one, change the answer?"""
    few = clips[: 2 * ALONE].to(device_of(model))
    with undisturbed(model), torch.enable_grad():
        shown = [few.clone(), few.clone().requires_grad_(True)]
        other = torch.zeros(len(few), dtype=torch.bool)
        for asked in shown:
            other |= _differ(answers(model)(asked).detach().float().cpu(), logits[: len(few)], ALIKE)
    return Measured("gradient mode", *_share(other))


def _batch(model: nn.Module, clips: Clips, logits: Logits) -> Measured:
    """Alone, in another order, beside other clips?"""
    few, known = clips[:ALONE].to(device_of(model)), logits[:ALONE]
    with undisturbed(model), torch.no_grad():
        call = answers(model)
        alone = torch.cat([call(clip[None]).float().cpu() for clip in few])
        turned = call(few.flip(0)).float().cpu().flip(0)
        beside = call(torch.cat([few, 1 - few])).float().cpu()[: len(few)]
    other = torch.stack([_differ(found, known, NEAR) for found in (alone, turned, beside)]).any(0)
    return Measured("batch", *_share(other))


def _lost_to_noise(
    model: nn.Module, clips: Clips, labels: Labels, right: Tensor, draws: int, seed: int
) -> tuple[int, int]:
    """Right answers that are lost when every pixel moves by ±2/255 at random, and right answers."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, clips.shape, generator=generator).to(clips) * 2 - 1
    logits, _, _ = answered(model, (clips + NOISE * signs).clamp(0, 1), draws)
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
