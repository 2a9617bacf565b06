"""Where perturbations may live: masks, repeated, shared and multiplicative ones."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.supports import MASKS, SUPPORTS

from vidrobust.errors import InputError
from vidrobust.threats import (
    L1,
    L2,
    Area,
    Border,
    Flicker,
    Frames,
    Linf,
    Mask,
    Multiplicative,
    OneFrame,
    Patch,
    Support,
    Threat,
    Universal,
    WholeClip,
)

CLIPS = torch.rand(4, 3, 4, 8, 10, generator=torch.Generator().manual_seed(0))
CLIPS[0] = CLIPS[0].round()  # black and white: the box is active everywhere
NORMS = {"linf": (Linf(), 0.1), "l2": (L2(), 1.5), "l1": (L1(), 15.0)}
noise = torch.Generator().manual_seed(2)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("support", SUPPORTS)
@pytest.mark.parametrize("budget", ["one", "a clip", "a frame"])
def test_every_operation_keeps_the_budget_on_the_clip(
    norm: str, support: str, budget: str, device: torch.device
) -> None:
    measure, eps = NORMS[norm]
    budgets = {"one": eps, "a clip": (eps, eps / 2, 0.0, eps), "a frame": ((eps, 0.0, eps / 3, eps),)}[budget]
    if budget == "a frame" and "one frame" in support:
        return  # refused, see below
    given = CLIPS.to(device)
    feasible = Threat(measure, budgets, SUPPORTS[support]).around(given)
    far = feasible.project(feasible.start + torch.randn(feasible.start.shape, generator=noise).to(device))
    gradient = torch.randn(feasible.start.shape, generator=noise).to(device)
    for free in (far, feasible.random(noise), feasible.step(far, gradient, 0.3), feasible.project(feasible.start)):
        clips = feasible.clips(free)
        delta = clips.double() - given
        assert clips.dtype == torch.float32
        assert clips.min() >= 0
        assert clips.max() <= 1
        if budget == "a frame":
            for frame, bound in enumerate(budgets[0]):  # type: ignore[index, arg-type]
                assert (measure.size(delta[:, :, frame].flatten(1)) <= bound).all()
        else:
            assert (measure.size(delta.flatten(1)) <= torch.tensor(budgets, dtype=torch.float64, device=device)).all()
            assert torch.equal(feasible.size(clips), measure.size(delta.flatten(1)))
        assert torch.allclose(feasible.project(free), free, atol=1e-6)
    assert torch.equal(feasible.clips(feasible.start), given)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("support", MASKS)
def test_masked_pixels_stay_and_the_others_move(norm: str, support: str) -> None:
    chosen = MASKS[support]
    feasible = Threat(*NORMS[norm], chosen).around(CLIPS)
    changed = feasible.step(CLIPS, torch.where(CLIPS > 0.5, -1.0, 1.0) * CLIPS.add(1), 0.1) != CLIPS
    mask = chosen.mask(CLIPS).expand_as(CLIPS)
    assert not changed[~mask].any()
    assert changed[mask].float().mean() > (0.02 if norm == "l1" else 0.99)
    drawn = feasible.random(noise)
    assert torch.equal(drawn[~mask], CLIPS[~mask])


@pytest.mark.parametrize(
    ("support", "pixels"),
    [(Area(0.25), 20), (Area(1.0), 80), (Area(0.001), 1), (Patch(0, 0, 2, 3), 6), (Border(0.4), 32), (Border(1.0), 80)],
)
def test_areas(support: Area | Patch | Border, pixels: int) -> None:
    mask = support.mask(CLIPS)
    assert mask.shape == (1, 1, 1, 8, 10)
    assert mask.sum() == pixels


def test_a_border_is_a_border() -> None:
    mask = Border(0.4).mask(CLIPS)[0, 0, 0]
    assert mask[0].all()
    assert mask[-1].all()
    assert mask[:, 0].all()
    assert mask[:, -1].all()
    assert not mask[1:-1, 1:-1].any()


def test_random_places_differ_between_clips_and_repeat_with_the_seed() -> None:
    state = torch.get_rng_state()
    mask = Area(0.1, place="random").mask(CLIPS)
    assert torch.equal(mask, Area(0.1, place="random").mask(CLIPS))
    assert torch.equal(torch.get_rng_state(), state)
    assert not all(torch.equal(mask[0], other) for other in mask[1:])
    assert not torch.equal(mask, Area(0.1, place="random", seed=1).mask(CLIPS))
    assert mask.sum((1, 2, 3, 4)).unique().tolist() == [9]


def test_a_flicker_is_one_colour_a_frame() -> None:
    clips = torch.full((2, 3, 4, 6, 6), 0.5)
    feasible = Threat(Linf(), 0.1, Flicker()).around(clips)
    assert feasible.start.shape == (2, 3, 4, 1, 1)
    delta = feasible.clips(feasible.random(noise)) - clips
    assert (delta == delta[..., :1, :1]).all()
    assert delta.flatten(1).unique().numel() > 10


def test_a_flickers_gradient_is_the_sum_over_its_pixels() -> None:
    feasible = Threat(Linf(), 0.1, Flicker()).around(CLIPS[1:])
    free = feasible.start.clone().requires_grad_(True)
    weights = torch.randn(CLIPS[1:].shape, generator=noise)
    (gradient,) = torch.autograd.grad((feasible.clips(free) * weights).sum(), free)
    assert torch.allclose(gradient, weights.sum((3, 4), keepdim=True), atol=1e-5)


def test_a_flickers_penalties() -> None:
    def charge(support: Flicker, offsets: list[float]) -> float:
        free = torch.tensor(offsets).view(1, 1, -1, 1, 1)
        return Threat(Linf(), 1.0, support).around(torch.zeros(1, 1, 4, 2, 2)).penalty(free).item()

    assert charge(Flicker(), [0.1, 0.2, 0.3, 0.4]) == 0
    assert charge(Flicker(thickness=2.0), [0.1, 0.1, 0.1, 0.1]) == pytest.approx(0.02)
    assert charge(Flicker(roughness=1.0), [0.1, 0.1, 0.1, 0.1]) == pytest.approx(0)
    # Alternating ±0.1: first differences 0.2, second 0.4, everywhere around the loop.
    assert charge(Flicker(roughness=1.0), [0.1, -0.1, 0.1, -0.1]) == pytest.approx(0.04 + 0.16)


@pytest.mark.parametrize("within", [WholeClip(), Patch(1, 2, 3, 4), Flicker(), OneFrame()])
def test_universal_perturbations_are_one_for_all_clips(within: Support) -> None:
    clips = CLIPS * 0.5 + 0.25  # nothing is clamped
    feasible = Threat(Linf(), 0.1, Universal(within)).around(clips)
    assert feasible.shared
    gradient = torch.randn(feasible.start.shape, generator=noise)
    free = feasible.step(feasible.start, gradient, 0.05)
    assert torch.equal(free, free[:1].expand_as(free))
    delta = feasible.clips(free) - clips
    assert torch.allclose(delta, delta[:1].expand_as(delta), atol=1e-6)
    assert torch.equal(free[0].sign(), (gradient.sum(0) * (free[0] != 0)).sign())


def test_one_frame_repeats_in_time() -> None:
    clips = CLIPS * 0.5 + 0.25
    feasible = Threat(L2(), 1.0, OneFrame()).around(clips)
    delta = feasible.clips(feasible.random(noise)) - clips
    assert torch.allclose(delta, delta[:, :, :1].expand_as(delta), atol=1e-6)
    assert not torch.allclose(delta[0], delta[1], atol=1e-3)


def test_multiplicative_perturbations_scale_pixels() -> None:
    feasible = Threat(Linf(), 1.0, Multiplicative(1.3)).around(CLIPS)
    clips = feasible.clips(feasible.project(torch.full_like(CLIPS, 9.0)))
    assert torch.allclose(clips, (CLIPS * 1.3).clamp(max=1), atol=1e-6)
    assert (clips[CLIPS == 0] == 0).all()  # black stays black
    step = feasible.step(feasible.start, torch.ones_like(CLIPS), math.log(1.1))
    assert torch.allclose(feasible.clips(step), (CLIPS * 1.1).clamp(max=1), atol=1e-6)


def test_multiplicative_gradients_are_those_of_the_factor() -> None:
    clips = CLIPS[1:2] * 0.5 + 0.2
    feasible = Threat(L2(), 5.0, Multiplicative(2.0)).around(clips)
    free = torch.full_like(clips, 0.01).requires_grad_(True)
    (gradient,) = torch.autograd.grad(feasible.clips(free).sum(), free)
    assert torch.allclose(gradient, clips * math.exp(0.01), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Area(0.0), "ratio"),
        (lambda: Area(0.5, place="left"), "place"),
        (lambda: Border(1.5), "ratio"),
        (lambda: Patch(-1, 0, 2, 2), "patch"),
        (lambda: Patch(0, 0, 9, 2), "leaves the frame"),
        (lambda: Frames(()), "at least one frame"),
        (lambda: Frames((4,)), "no frame 4"),
        (lambda: Frames(((0,), (1,))), "2 clips"),
        (lambda: Mask(torch.ones(8, 10)), "bool tensor"),
        (lambda: Mask(torch.ones(7, 10, dtype=torch.bool)), "does not fit"),
        (lambda: Flicker(-1.0), "weights"),
        (lambda: Universal(Area(0.1, place="random")), "one mask for all"),
        (lambda: Universal(Multiplicative(1.1)), "universal perturbation can be within"),
        (lambda: Multiplicative(1.0), "above 1"),
        (lambda: Multiplicative(1.1, Flicker()), "be within a mask"),
    ],
)
def test_supports_that_make_no_sense(make: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Threat(Linf(), 0.1, make()).around(CLIPS)  # type: ignore[operator]


@pytest.mark.parametrize("support", [OneFrame(), Universal(OneFrame())])
def test_one_frame_has_no_budget_a_frame(support: Support) -> None:
    with pytest.raises(InputError, match="budgets per frame"):
        Threat(Linf(), ((0.1, 0.1, 0.1, 0.1),), support).around(CLIPS)
