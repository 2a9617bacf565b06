"""Linear classifiers have a known worst perturbation, and every gradient search must find it within 1 %."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.losses import cross_entropy, margin
from vidrobust.threats import L1, L2, Flicker, Frames, Linf, Norm, Threat, Universal

SHAPE = (3, 2, 4, 4)


def problem(spread: float) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A linear model of two classes, grey clips (``spread`` > 0.5: many pixels at the box), labels 0, and its slope."""
    generator = torch.Generator().manual_seed(5)
    head = nn.Linear(96, 2)
    with torch.no_grad():
        head.weight.copy_(0.02 * torch.randn(2, 96, generator=generator))
        head.bias.copy_(torch.tensor([5.0, 0.0]))  # nothing is ever broken, so nothing stops early
    clips = (0.5 + spread * (2 * torch.rand(4, *SHAPE, generator=generator) - 1)).clamp(0, 1)
    slope = (head.weight[1] - head.weight[0]).detach().view(SHAPE)
    return nn.Sequential(nn.Flatten(), head).eval(), clips, torch.zeros(4, dtype=torch.int64), slope


def optimum(norm: Norm, eps: float, clip: Tensor, slope: Tensor) -> float:
    """The largest ⟨slope, δ⟩ of a δ in the ball and the box."""
    slope, clip = slope.flatten().double(), clip.flatten().double()
    room = torch.where(slope > 0, 1 - clip, clip)
    gain = slope.abs()
    if isinstance(norm, Linf):
        return float((gain * room.clamp(max=eps)).sum())
    if isinstance(norm, L1):  # the steepest pixels first
        order = gain.argsort(descending=True)
        filled = torch.minimum(room[order].cumsum(0), torch.tensor(eps))
        return float((gain[order] * filled.diff(prepend=torch.zeros(1))).sum())
    low, high = 0.0, 1e6  # δ = min(s·|slope|, room) with the s that uses the budget
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if torch.minimum(middle * gain, room).norm() < eps else (low, middle)
    return float((gain * torch.minimum(low * gain, room)).sum())


NORMS = [(Linf(), 0.1), (Linf(), 0.6), (L2(), 0.5), (L2(), 3.0), (L1(), 0.3), (L1(), 4.0), (L1(share=0.2), 8.0)]


@pytest.mark.parametrize(("norm", "eps"), NORMS, ids=str)
@pytest.mark.parametrize("spread", [0.1, 1.0])
@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": 0.5}, {"random_start": True}, {"loss": margin}],
    ids=["plain", "momentum", "random start", "margin"],
)
def test_pgd_reaches_the_optimum(norm: Norm, eps: float, spread: float, options: dict[str, object]) -> None:
    model, clips, labels, slope = problem(spread)
    attack = PGD(Threat(norm, eps), alpha=eps / 10, steps=100, precision="exact", **options)  # type: ignore[arg-type]
    found = attack(model, clips, labels).clips
    for clip, moved in zip(clips, found, strict=True):
        best = optimum(norm, eps, clip, slope)
        assert best * 0.99 <= float(((moved.double() - clip) * slope).sum()) <= best * (1 + 1e-5)


@pytest.mark.parametrize(("norm", "eps"), [(Linf(), 0.1), (L2(), 0.3)], ids=str)
def test_fgsm_is_optimal_where_the_box_is_far(norm: Norm, eps: float) -> None:
    model, clips, labels, slope = problem(0.1)
    found = FGSM(Threat(norm, eps), precision="exact")(model, clips, labels).clips
    for clip, moved in zip(clips, found, strict=True):
        assert float(((moved - clip) * slope).sum()) >= 0.99 * optimum(norm, eps, clip, slope)


@pytest.mark.parametrize(("norm", "eps"), NORMS, ids=str)
def test_budgets_per_clip_reach_their_own_optimum(norm: Norm, eps: float) -> None:
    model, clips, labels, slope = problem(0.3)
    budgets = [eps, eps / 2, eps / 4, eps / 8]
    found = PGD(Threat(norm, budgets), alpha=eps / 40, steps=200, precision="exact")(model, clips, labels).clips
    for budget, clip, moved in zip(budgets, clips, found, strict=True):
        best = optimum(norm, budget, clip, slope)
        assert best * 0.99 <= float(((moved.double() - clip) * slope).sum()) <= best * (1 + 1e-5)


@pytest.mark.parametrize(("norm", "eps"), NORMS, ids=str)
def test_chosen_frames_reach_the_optimum_of_these_frames(norm: Norm, eps: float) -> None:
    model, clips, labels, slope = problem(0.3)
    threat = Threat(norm, eps, Frames((1,)))
    found = PGD(threat, alpha=eps / 10, steps=100, precision="exact")(model, clips, labels).clips
    for clip, moved in zip(clips, found, strict=True):
        best = optimum(norm, eps, clip[:, 1:], slope[:, 1:])
        assert float(((moved - clip) * slope).sum()) >= 0.99 * best


def test_a_flicker_reaches_its_optimum() -> None:
    model, clips, labels, slope = problem(0.1)
    found = PGD(Threat(Linf(), 0.1, Flicker()), alpha=0.02, steps=20, precision="exact")(model, clips, labels).clips
    best = 0.1 * slope.sum((2, 3)).abs().sum()
    assert torch.allclose(((found - clips) * slope).flatten(1).sum(1), best.expand(4), rtol=1e-4)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_universal_perturbation_reaches_its_optimum(keep: str) -> None:
    model, clips, labels, slope = problem(0.1)
    attack = PGD(Threat(Linf(), 0.1, Universal()), alpha=0.02, steps=20, keep=keep, precision="exact")  # type: ignore[arg-type]
    delta = attack(model, clips, labels).clips - clips
    assert torch.allclose(delta, 0.1 * slope.sign().expand_as(delta), atol=1e-6)


def test_a_targeted_attack_goes_the_other_way() -> None:
    model, clips, labels, slope = problem(0.1)
    attack = PGD(Threat(L2(), 0.5), alpha=0.1, steps=50, targeted=True, precision="exact")
    found = attack(model, clips, labels + 1).clips
    for clip, moved in zip(clips, found, strict=True):
        assert float(((moved - clip) * slope).sum()) >= 0.99 * optimum(L2(), 0.5, clip, slope)


def test_a_flickers_penalty_makes_it_smoother() -> None:
    model, clips, labels, _ = problem(0.1)

    def roughness(weight: float) -> float:
        threat = Threat(Linf(), 0.2, Flicker(roughness=weight))
        attack = PGD(threat, alpha=0.01, steps=60, keep="last", loss=cross_entropy, precision="exact")
        delta = (attack(model, clips, labels).clips - clips).mean((3, 4))
        return float((delta[:, :, 0] - delta[:, :, 1]).abs().mean())

    assert roughness(1e3) < 0.2 * roughness(0.0)
