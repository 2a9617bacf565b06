"""Randomised smoothing: a certificate under L2 for any model, of its answers to clips with Gaussian noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from vidrobust.attacks.counts import at_least_one, check_seed
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.evaluation.certificates.binomial import sequential
from vidrobust.evaluation.certificates.certified import ABSTAINED, Certified
from vidrobust.evaluation.manifest import pixel_hash
from vidrobust.fast.view import answers
from vidrobust.threats import L2, WholeClip

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from vidrobust.types import ClipTensor, Labels, Logits

BATCH = 64
"""Draws that the model answers at once."""


@dataclass(frozen=True)
class Smoothing:
    """CERTIFY of Cohen, Rosenfeld and Kolter, *Certified adversarial robustness via randomized smoothing*, ICML 2019.

    What is certified is the **smoothed** classifier, the class that the model gives most often to the clip with
    Gaussian noise of standard deviation σ on every pixel (which may then leave [0, 1]): its answer is the same for
    every perturbation of L2 norm up to ``σ Φ⁻¹(p)``, p being a lower bound of how often (theorem 1 there). For each
    clip that statement fails with probability ``failure`` at most, over the draws; where p is not above 1/2 it
    abstains. Sampling stops early where the remaining draws could not raise the radius by more than ``gain``, and where
    they could not end the abstention (:func:`~vidrobust.evaluation.certificates.binomial.sequential`).

    A clip's draws depend on its pixels and ``seed`` alone. Denoised smoothing (Salman et al., NeurIPS 2020) is the same
    of a classifier behind a purifier (``vidrobust train --method "Denoise(σ=64)"``).

    Args:
        sigma: σ in pixels of [0, 1]; as text in units of 1/255, such as ``Smoothing(σ=64)``.
        samples: draws for the bound, at most; the error of the bound, not its truth, depends on it.
        select: draws to choose the class by, besides.
        failure: in (0, 1); α there.
        looks: how often the draws are looked at; the last time at ``samples``.
        gain: a share of the radius.
        seed: of the draws.

    Raises:
        InputError: a value is out of its range.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 2 * 4 * 4, 2))
    >>> Smoothing(0.25, samples=400)(model, torch.rand(2, 3, 2, 4, 4), torch.zeros(2)).radius.shape
    torch.Size([2])
    """

    norm: ClassVar[L2] = L2()
    support: ClassVar[WholeClip] = WholeClip()
    sigma: float
    samples: int = 2000
    select: int = 64
    failure: float = 0.001
    looks: int = 4
    gain: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        at_least_one(samples=self.samples, select=self.select, looks=self.looks)
        check_seed(self.seed)
        if not 0 < self.sigma < torch.inf:
            raise InputError(f"sigma must be above 0, but is {self.sigma:g}.")
        if not 0 < self.failure < 1 or self.gain < 0:
            raise InputError(
                f"failure must lie between 0 and 1 and gain be at least 0, not {self.failure:g} and {self.gain:g}."
            )

    def __call__(self, model: nn.Module, clips: ClipTensor, labels: Labels) -> Certified:
        """Certify clips ``B C T H W`` in [0, 1]; ``labels`` are not used."""
        with undisturbed(model), torch.no_grad():
            found = [self._certified(answers(model), clip) for clip in clips]
        predicted, radius, draws = zip(*found, strict=True) if found else ((), (), ())
        return Certified(torch.tensor(predicted).long(), torch.tensor(radius).double(), torch.tensor(draws).long())

    def radius(self, probability: float) -> float:
        """Just below ``σ Φ⁻¹(p)``, which itself is not certified, in pixels; 0 where p is not above 1/2."""
        from scipy.special import ndtri  # scipy.stats takes a second to import

        return max(0.0, math.nextafter(self.sigma * float(ndtri(probability)), 0.0))

    def _certified(self, model: Callable[[ClipTensor], Logits], clip: Tensor) -> tuple[int, float, int]:
        """Class, radius and draws of one clip ``C T H W``."""
        draw = Draws(model, clip, self.sigma, self.seed)
        chosen = int(draw(self.select).argmax())

        def enough(now: float, then: float) -> bool:
            return then <= 0.5 or self.radius(then) <= (1 + self.gain) * self.radius(now)

        bound = sequential(lambda n: int(draw(n)[chosen]), self.samples, self.failure, self.looks, enough)
        radius = self.radius(bound.value)
        return chosen if bound.value > 0.5 else ABSTAINED, radius, self.select + bound.draws


class Draws:
    """How often a model gives each class to one clip with noise: new draws at each call.

    Args:
        model: from clips to logits.
        clip: ``C T H W``.
        sigma: of the noise.
        seed: with the clip's pixels the seed of the draws.
    """

    def __init__(self, model: Callable[[ClipTensor], Logits], clip: Tensor, sigma: float, seed: int) -> None:
        self.model, self.clip, self.sigma = model, clip, sigma
        self.generator = torch.Generator().manual_seed(int(pixel_hash(clip)[:12], 16) ^ seed)

    def __call__(self, count: int) -> Tensor:
        """``K`` counts of ``count`` draws; a draw without finite logits counts for no class."""
        found = torch.zeros(0, dtype=torch.int64)
        for start in range(0, count, BATCH):
            size = (min(BATCH, count - start), *self.clip.shape)
            noise = torch.randn(size, generator=self.generator).to(self.clip.device)
            logits = self.model(self.clip + self.sigma * noise).float()
            sound = logits.isfinite().all(1)
            votes = torch.bincount(logits.argmax(1)[sound], minlength=logits.shape[1]).cpu()
            found = votes if not len(found) else found + votes
        return found


class Smoothed(nn.Module):
    """The smoothed classifier as attacks see it: the logarithm of the mean probabilities of some draws of noise.

    Its draws come from the global random state, so that every pass has its own (SmoothAdv, Salman et al., NeurIPS 2019,
    section 2). What it answers is an estimate: an attack that it says to have succeeded is checked by :class:`Draws`.

    Args:
        classifier: from clips to logits.
        sigma: of the noise, in pixels.
        draws: a pass.
    """

    def __init__(self, classifier: nn.Module, sigma: float, draws: int = 16) -> None:
        super().__init__()
        self.classifier, self.sigma, self.draws = classifier, sigma, draws

    def forward(self, clips: ClipTensor) -> Logits:
        """Logits ``B K``."""
        many = clips.repeat_interleave(self.draws, 0)
        answered = self.classifier(many + self.sigma * torch.randn_like(many)).float()
        return answered.log_softmax(1).unflatten(0, (len(clips), self.draws)).logsumexp(1)
