"""Training by interval bounds: the loss of the worst logits, and what it is good for."""

from __future__ import annotations

import pytest
import torch
from helpers.judged import clips, conv, made
from helpers.training import half
from torch.nn import functional as F

from vidrobust.errors import InputError
from vidrobust.evaluation.certificates.bounds import IBP
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.notation.schedules import Clock
from vidrobust.training.distributed import World
from vidrobust.training.learner import Learner
from vidrobust.training.methods.intervals import batch_statistics, worst_logits
from vidrobust.training.methods.objectives import Batch
from vidrobust.training.methods.table import method_of


def batch(count: int = 12, clock: Clock | None = None) -> Batch:
    shown, labels = clips(3, count, 1)
    return Batch(shown, labels, tuple(range(count)), clock or Clock(0, 2), half)


def network() -> torch.nn.Module:
    return made(lambda: conv(3, norm=True)).train()


def test_worst_logits_are_those_of_intervals_worked_out_by_hand() -> None:
    model, one = network(), batch()
    with batch_statistics(model) as seen:
        model(one.clips)
    worst = worst_logits(model, one.clips, one.labels, 0.02, seen)
    convolution, norm, _, pool, _, head = model
    x = convolution(one.clips)
    reach = 0.02 * F.conv3d(torch.ones_like(one.clips), convolution.weight.abs(), padding=1)
    inside = F.conv3d(((one.clips + 0.02).clamp(0, 1) - (one.clips - 0.02).clamp(0, 1)) / 2, convolution.weight.abs(),
                      padding=1)  # fmt: skip
    assert (inside <= reach + 1e-6).all()
    middle = convolution(((one.clips + 0.02).clamp(0, 1) + (one.clips - 0.02).clamp(0, 1)) / 2)
    scale = (norm.weight / (x.var((0, 2, 3, 4), correction=0) + norm.eps).sqrt()).view(-1, 1, 1, 1)
    shift = norm.bias.view(-1, 1, 1, 1) - x.mean((0, 2, 3, 4)).view(-1, 1, 1, 1) * scale
    low, high = (pool((middle * scale + shift + sign * inside * scale.abs()).relu()).flatten(1) for sign in (-1, 1))
    for row, label in enumerate(one.labels.tolist()):
        assert worst[row, label] == 0
        for other in {0, 1, 2} - {label}:
            slope = head.weight[other] - head.weight[label]
            most = slope.clamp_min(0) @ high[row] + slope.clamp_max(0) @ low[row] + head.bias[other] - head.bias[label]
            assert worst[row, other].item() == pytest.approx(most.item(), abs=1e-5)


def test_the_share_of_the_clean_loss_falls_as_eps_rises() -> None:
    model = network()
    policy = parse_policy("IBP(ε~U(0,4),κ=0.25)")
    losses = {}
    for epoch in range(3):
        one = batch(clock=Clock(epoch, 3))
        learner = Learner(model, precision="exact")
        learner.train()
        losses[epoch] = next(method_of(policy).objectives(learner, one)).outcome().loss.item()
    one = batch()
    with batch_statistics(model) as seen:
        natural = F.cross_entropy(model(one.clips), one.labels).item()
    assert losses[0] == pytest.approx(natural, rel=1e-5)
    for epoch, share in ((1, 1 - 0.75 / 2), (2, 0.25)):
        worst = worst_logits(model, one.clips, one.labels, 2 * epoch / 255, seen)
        expected = share * natural + (1 - share) * F.cross_entropy(worst, one.labels).item()
        assert losses[epoch] == pytest.approx(expected, rel=1e-4)


def test_a_fixed_eps_is_warmed_up_batch_by_batch_at_a_share_that_stays() -> None:
    model, policy = network(), parse_policy("IBP(ε=4,κ=0.25)")
    eps = {step: policy.at(Clock(step // 5, 4, step % 5, 5), half).eps for step in range(20)}
    assert eps[0] == 0 < eps[3] < 4e-3 < eps[6] < eps[10] < eps[15] < eps[16] == eps[19] == 4
    assert policy.by_step and not parse_policy("IBP(ε~U(0,4))").by_step
    one = batch(clock=Clock(2, 4, 0, 5))
    learner = Learner(model, precision="exact")
    learner.train()
    loss = next(method_of(policy).objectives(learner, one)).outcome().loss.item()
    with batch_statistics(model) as seen:
        natural = F.cross_entropy(model(one.clips), one.labels).item()
    worst = worst_logits(model, one.clips, one.labels, eps[10] / 255, seen)
    assert loss == pytest.approx(0.25 * natural + 0.75 * F.cross_entropy(worst, one.labels).item(), rel=1e-4)


def test_what_it_trains_is_certified_where_standard_training_is_not() -> None:
    certified, steps = {}, 100
    for text in ("standard", "IBP(ε~U(0,8),κ=0.5)"):
        model = network()
        rate = torch.optim.Adam(model.parameters(), 3e-3)
        learner = Learner(model, precision="exact")
        for step in range(steps):
            shown, labels = clips(3, 24, 100 + step)
            one = Batch(shown, labels, tuple(range(24)), Clock(min(step * 3 // 2, steps - 1), steps), half)
            learner.train()
            rate.zero_grad()
            next(method_of(parse_policy(text)).objectives(learner, one)).outcome().loss.backward()
            rate.step()
        shown, labels = clips(3, 60, 7)
        found = IBP(8 / 255)(model.eval(), shown, labels)
        certified[text] = int((found.right(labels) > 0).sum())
    assert certified["IBP(ε~U(0,8),κ=0.5)"] > 40 > 10 > certified["standard"]


def test_models_and_worlds_without_bounds_are_refused() -> None:
    method = method_of(parse_policy("IBP(ε=8)"))
    with pytest.raises(InputError, match="one process"):
        method.prepare(Learner(build("r3d-small", 3), World(0, 2)))
    with pytest.raises(InputError, match="Sigmoid"):
        method.prepare(Learner(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Sigmoid())))
