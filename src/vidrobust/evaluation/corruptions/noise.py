"""Noise of the sensor: every value of every frame is drawn anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrobust.evaluation.corruptions.kinds import ClipDraws

if TYPE_CHECKING:
    from vidrobust.types import ClipTensor


def gaussian(clips: ClipTensor, sigma: float, draws: ClipDraws) -> ClipTensor:
    """Added noise of standard deviation ``sigma``."""
    return clips + sigma * draws.normal(*clips.shape[1:])


def shot(clips: ClipTensor, photons: float, draws: ClipDraws) -> ClipTensor:
    """Poisson noise of a sensor that counts ``photons`` at full brightness."""
    return draws.poisson(clips * photons) / photons


def impulse(clips: ClipTensor, amount: float, draws: ClipDraws) -> ClipTensor:
    """Salt and pepper: a share ``amount`` of the values is 0 or 1, one as often as the other."""
    replaced = draws.uniform(*clips.shape[1:]) < amount
    return clips.where(~replaced, (draws.uniform(*clips.shape[1:]) < 0.5).to(clips))


def speckle(clips: ClipTensor, sigma: float, draws: ClipDraws) -> ClipTensor:
    """Noise in proportion to the brightness, of relative standard deviation ``sigma``."""
    return clips * (1 + sigma * draws.normal(*clips.shape[1:]))
