"""Smoothing: the radius of a linear model is known, and certificates are wrong no more often than they say."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
import torch
from helpers.linear_models import distance, linear
from torch import Tensor, nn

from vidrobust.errors import InputError
from vidrobust.evaluation.certificates.binomial import clopper_pearson
from vidrobust.evaluation.certificates.certified import ABSTAINED
from vidrobust.evaluation.certificates.smoothing import Draws, Smoothed, Smoothing
from vidrobust.models.purifier import Purified
from vidrobust.threats import L2


class Coin(nn.Module):
    """Answers class 0 with a known probability, whatever it is shown: by the first number of the noise."""

    def __init__(self, probability: float, sigma: float) -> None:
        super().__init__()
        self.threshold = sigma * NormalDist().inv_cdf(probability)

    def forward(self, clips: Tensor) -> Tensor:
        first = clips[:, 0, 0, 0, 0] - 0.5
        return torch.stack([self.threshold - first, first - self.threshold], 1)


def grey(count: int = 1) -> Tensor:
    return torch.full((count, 3, 1, 2, 2), 0.5)


def test_the_radius_of_a_linear_model_is_below_its_distance_and_close_to_it() -> None:
    """The smoothed class changes exactly where the linear one does (Cohen et al. 2019, section 3.1)."""
    model, clips, labels = linear(2)
    exact = distance(model, clips, labels, L2())
    sigma = float(exact.median())
    found = Smoothing(sigma, samples=4000, gain=0.0)(model, clips, labels)
    sure = found.predicted != ABSTAINED
    assert sure.sum() >= 6
    assert (found.predicted[sure] == labels[sure]).all()
    assert (found.radius <= exact).all()
    small = exact < 1.5 * sigma  # where p is not so near 1 that 4000 draws cannot tell
    assert (found.radius[small & sure] > 0.75 * exact[small & sure] - 0.1 * sigma).all() and small.sum() >= 4


def test_the_radius_is_that_of_the_counts() -> None:
    model, clip, sigma = Coin(0.9, 0.25), grey(), 0.25
    certificate = Smoothing(sigma, samples=800, select=20, looks=3, failure=0.01, gain=0.0, seed=4)
    draw = Draws(model, clip[0], sigma, 4)
    chosen = int(draw(20).argmax())
    hits, best, done = 0, 0.0, 0
    for look in (200, 400, 800):
        hits, done = hits + int(draw(look - done)[chosen]), look
        best = max(best, clopper_pearson(hits, done, 0.01 / 3))
    found = certificate(model, clip, torch.zeros(1))
    assert found.radius.item() == pytest.approx(sigma * NormalDist().inv_cdf(best), rel=1e-6)
    assert found.draws.item() == 820 and found.predicted.item() == 0


@pytest.mark.parametrize("probability", [0.6, 0.9])
def test_certificates_are_too_large_no_more_often_than_they_say(probability: float) -> None:
    """400 clips of a model whose exact radius is known, at a failure probability of 5 %: five standard errors."""
    sigma, failure = 0.25, 0.05
    exact = sigma * NormalDist().inv_cdf(probability)
    model = Coin(probability, sigma)
    clips = grey(400)
    clips[:, 1, 0, 0, 0] = torch.linspace(0, 1, 400)  # so that each has draws of its own
    found = Smoothing(sigma, samples=160, select=16, failure=failure)(model, clips, torch.zeros(400))
    assert (found.radius > exact).sum() <= 400 * failure + 5 * math.sqrt(400 * failure * (1 - failure))


def test_it_abstains_at_a_tie_and_stops_early_where_it_is_sure() -> None:
    clips = grey(8)
    clips[:, 1, 0, 0, 0] = torch.linspace(0, 1, 8)
    tied = Smoothing(0.25, samples=1600, select=16)(Coin(0.5, 0.25), clips, torch.zeros(8))
    assert (tied.predicted == ABSTAINED).sum() >= 7
    assert (tied.radius[tied.predicted == ABSTAINED] == 0).all()
    sure = Smoothing(0.25, samples=1600, select=16)(Coin(0.9999999, 0.25), grey(), torch.zeros(1))
    assert sure.draws.item() < 1616  # the rest would raise the radius by less than a tenth


def test_draws_belong_to_the_clip_and_not_to_its_batch() -> None:
    model, clips, labels = linear(3)
    whole = Smoothing(0.05, samples=100)(model, clips, labels)
    alone = [Smoothing(0.05, samples=100)(model, clip, labels[:1]) for clip in clips.split(1)]
    assert torch.equal(whole.radius, torch.cat([one.radius for one in alone]))
    assert not torch.equal(whole.radius, Smoothing(0.05, samples=100, seed=1)(model, clips, labels).radius)


def test_a_draw_without_finite_logits_counts_for_no_class() -> None:
    class Broken(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return torch.full((len(clips), 2), torch.nan)

    found = Smoothing(0.25, samples=100)(Broken(), grey(), torch.zeros(1))
    assert found.predicted.item() == ABSTAINED and found.radius.item() == 0


def test_a_denoiser_before_the_classifier_raises_the_radius() -> None:
    """Averaging each frame removes most of the noise, and leaves a clip that is grey as it is."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([torch.tensor([1.0, *[0.0] * 11]), -torch.tensor([1.0, *[0.0] * 11])]))
        model[1].bias.copy_(torch.tensor([-0.3, 0.3]))

    class Mean(nn.Module):
        channels = ()

        def forward(self, clips: Tensor) -> Tensor:
            return clips.mean((1, 2, 3, 4), keepdim=True).expand_as(clips)

    certificate = Smoothing(0.5, samples=1000)
    plain = certificate(model, grey(), torch.zeros(1)).radius.item()
    assert certificate(Purified(Mean(), model), grey(), torch.zeros(1)).radius.item() > 1.5 * plain > 0


def test_attacks_see_the_mean_probability() -> None:
    model, clips, _ = linear(3)
    torch.manual_seed(0)
    seen = Smoothed(model, 0.3, draws=5)(clips[:2])
    torch.manual_seed(0)
    many = clips[:2].repeat_interleave(5, 0)
    expected = model(many + 0.3 * torch.randn_like(many)).softmax(1).view(2, 5, -1).mean(1)
    assert torch.allclose(seen.softmax(1), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "says"),
    [({"sigma": 0.0}, "sigma"), ({"sigma": 1.0, "failure": 1.0}, "failure"), ({"sigma": 1.0, "samples": 0}, "samples")],
    ids=["sigma", "failure", "samples"],
)
def test_values_out_of_range_are_refused(given: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Smoothing(**given)  # type: ignore[arg-type]
