"""On linear classifiers the smallest perturbation is known, and every search must find it."""

from __future__ import annotations

import pytest
import torch
from helpers.linear_models import NORMS, distance, linear

from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.cw import CW
from vidrobust.attacks.fab import FAB, shortest
from vidrobust.attacks.rays import RayS
from vidrobust.attacks.square import Square
from vidrobust.losses import cross_entropy, dlr, margin
from vidrobust.threats import Linf, Norm, Threat


def threats(norm: Norm, sizes: torch.Tensor, factor: float) -> Threat:
    return Threat(norm, eps=(sizes.double() * factor).tolist())


@pytest.mark.parametrize("norm", NORMS, ids=str)
@pytest.mark.parametrize("classes", [2, 5])
def test_fab_finds_the_smallest_perturbation_within_one_percent(norm: Norm, classes: int) -> None:
    model, clips, labels = linear(classes)
    sizes = distance(model, clips, labels, norm)
    assert FAB(threats(norm, sizes, 1.01), steps=20)(model, clips, labels).success.all()
    assert not FAB(threats(norm, sizes, 0.99), steps=20)(model, clips, labels).success.any()


@pytest.mark.parametrize("norm", NORMS, ids=str)
@pytest.mark.parametrize("loss", [cross_entropy, margin])
def test_apgd_reaches_the_optimum_within_one_percent(norm: Norm, loss: object) -> None:
    model, clips, labels = linear(2)
    sizes = distance(model, clips, labels, norm)
    attack = APGD(threats(norm, sizes, 1.01), steps=100, loss=loss)
    assert attack(model, clips, labels).success.all()
    assert not APGD(threats(norm, sizes, 0.99), steps=20)(model, clips, labels).success.any()


@pytest.mark.parametrize("norm", NORMS[:2], ids=str)
def test_apgd_settles_on_an_optimum_inside_the_ball(norm: Norm) -> None:
    """The loss is greatest at known clips, not on the ball: steps that are not halved jump to and fro around them."""
    generator = torch.Generator().manual_seed(3)
    clips = torch.rand(4, 1, 2, 3, 3, generator=generator) * 0.4 + 0.3
    peak = clips + 0.05 * torch.randn(clips.shape, generator=generator).clamp(-1, 1)
    stretch = torch.rand(clips[0].shape, generator=generator) * 9 + 1

    def model(found: torch.Tensor) -> torch.Tensor:
        height = -(stretch * (found - peak[: len(found)]).square()).flatten(1).sum(1)
        return torch.stack([torch.ones_like(height), height], dim=1)

    eps = 0.15 if isinstance(norm, Linf) else 0.5
    labels = torch.zeros(4, dtype=torch.int64)
    found = APGD(Threat(norm, eps), steps=100, loss=margin)(model, clips, labels)
    assert not found.success.any()
    assert (found.clips - peak).abs().max() < 0.01
    short = APGD(Threat(norm, eps), steps=100, loss=margin, seed=1)(model, clips, labels)
    torch.testing.assert_close(short.loss, found.loss, rtol=0, atol=1e-3)


@pytest.mark.parametrize("norm", NORMS[:2], ids=str)
def test_the_targeted_losses_reach_the_nearest_class_of_five(norm: Norm) -> None:
    model, clips, labels = linear(5)
    sizes = distance(model, clips, labels, norm)
    assert TargetedAPGD(threats(norm, sizes, 1.01), steps=60)(model, clips, labels).success.all()
    assert (
        APGD(threats(norm, sizes, 1.05), steps=100, loss=dlr, restarts=3)(model, clips, labels).success.float().mean()
        > 0.8
    )


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_cw_reaches_the_optimum_within_one_percent(norm: Norm) -> None:
    model, clips, labels = linear(2)
    sizes = distance(model, clips, labels, norm)
    attack = CW(threats(norm, sizes, 1.01), alpha=sizes.mean().item() / 4, steps=100)
    assert attack(model, clips, labels).success.all()


def test_a_ray_along_the_signs_is_found_by_decisions_alone() -> None:
    model, clips, labels = linear(2, shape=(1, 2, 3, 3))
    sizes = distance(model, clips, labels, Linf())
    found = RayS(threats(Linf(), sizes, 1.05), queries=1000)(model, clips, labels)
    assert found.success.all() and (found.backwards == 0).all() and (found.queries <= 1000).all()


def test_square_comes_close_by_scores_alone() -> None:
    model, clips, labels = linear(2, shape=(1, 2, 4, 4))
    sizes = distance(model, clips, labels, Linf())
    found = Square(threats(Linf(), sizes, 1.2), queries=1000)(model, clips, labels)
    assert found.success.all() and (found.backwards == 0).all() and (found.queries <= 1000).all()


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_the_shortest_move_keeps_to_the_box_and_to_the_plane(norm: Norm) -> None:
    generator = torch.Generator().manual_seed(1)
    origin, slope = torch.rand(50, 30, generator=generator), torch.randn(50, 30, generator=generator)
    wanted = torch.randn(50, generator=generator, dtype=torch.float64)
    move = shortest(norm, wanted, origin, slope, torch.zeros(50, 30), torch.ones(50, 30))
    assert ((origin + move >= -1e-6) & (origin + move <= 1 + 1e-6)).all()
    torch.testing.assert_close((move * slope).sum(1).double(), wanted, rtol=1e-4, atol=1e-4)
    size = norm.size(move)
    for _ in range(20):  # no other move to the plane within the box is shorter
        other = torch.rand(50, 30, generator=generator) - origin
        gain = (other * slope).sum(1)
        scaled = other * (wanted / gain).float()[:, None]
        within = ((origin + scaled >= 0) & (origin + scaled <= 1)).all(1)
        assert (norm.size(scaled)[within] >= size[within] * (1 - 1e-5)).all()


def test_where_the_box_is_too_small_the_move_is_the_largest() -> None:
    origin, slope = torch.full((1, 3), 0.5), torch.tensor([[1.0, -1.0, 0.0]])
    for norm in NORMS:
        move = shortest(
            norm, torch.tensor([9.0], dtype=torch.float64), origin, slope, torch.zeros(1, 3), torch.ones(1, 3)
        )
        assert move.tolist() == [[0.5, -0.5, 0.0]]
