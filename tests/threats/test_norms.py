"""Projections, steps and random points of L∞, L2 and L1 balls cut with the pixel box."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from vidrobust.attacks.text import classes_in
from vidrobust.errors import InputError
from vidrobust.notation import calls
from vidrobust.threats import L1, L2, Linf, Threat, norms, round_down

NORMS = {"linf": (Linf(), 8 / 255), "l2": (L2(), 0.7), "l1": (L1(), 2.5)}
SHAPE = (3, 3, 2, 4, 4)


def clips_and_points(seed: int, spread: float, corners: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips (some of them black and white) and points at a distance of about ``spread``."""
    generator = torch.Generator().manual_seed(seed)
    clips = torch.rand(SHAPE, generator=generator)
    if corners:
        clips = clips.round()
    return clips, clips + spread * torch.randn(SHAPE, generator=generator)


cases = given(
    name=st.sampled_from(sorted(NORMS)),
    scale=st.floats(0.0, 1.0),
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([1e-9, 1e-3, 0.05, 0.5, 30.0]),
    corners=st.booleans(),
)


def threat_of(name: str, scale: float) -> Threat:
    norm, eps = NORMS[name]
    return Threat(norm, eps * scale)


def assert_feasible(threat: Threat, clips: torch.Tensor, found: torch.Tensor) -> None:
    """In the box, and in the ball as counted in float64, with no tolerance."""
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert (threat.norm.size((found.double() - clips).flatten(1)) <= threat.eps).all()
    if threat.norm == Linf():  # also as anyone would count it, in float32, whose 8/255 lies above 8/255
        assert (found - clips).abs().max().item() <= threat.eps


@cases
def test_projection_is_feasible_and_idempotent(
    name: str, scale: float, seed: int, spread: float, corners: bool
) -> None:
    threat, (clips, point) = threat_of(name, scale), clips_and_points(seed, spread, corners)
    feasible = threat.around(clips)
    found = feasible.project(point)
    assert_feasible(threat, clips, found)
    assert torch.equal(feasible.project(found), found)


@cases
def test_points_inside_stay_bitwise(name: str, scale: float, seed: int, spread: float, corners: bool) -> None:
    threat, (clips, _) = threat_of(name, scale), clips_and_points(seed, spread, corners)
    feasible = threat.around(clips)
    inside = feasible.random(torch.Generator().manual_seed(seed))
    assert_feasible(threat, clips, inside)
    assert torch.equal(feasible.project(inside), inside)


@cases
def test_no_feasible_point_is_nearer(name: str, scale: float, seed: int, spread: float, corners: bool) -> None:
    """The nearest point p of z fulfils ⟨z - p, q - p⟩ ≤ 0 for every feasible q: random ones, and the best vertex."""
    threat, (clips, point) = threat_of(name, scale), clips_and_points(seed, spread, corners)
    feasible = threat.around(clips)
    found = feasible.project(point).double()
    outward = point.double() - found
    extreme = feasible.step(found.float(), outward.float(), 1e3).double()
    others = [extreme, clips.double(), feasible.random(torch.Generator().manual_seed(seed)).double()]
    for other in others:
        inner = (outward * (other - found)).flatten(1).sum(1)
        scale_of = outward.flatten(1).norm(dim=1) * (other - found).flatten(1).norm(dim=1)
        rounding = 2.5e-7 * outward.flatten(1).abs().sum(1)  # of a pixel of each of the three points in float32
        assert (inner <= 3e-7 * scale_of + rounding).all()


@pytest.mark.parametrize("name", ["l2", "l1"])
@pytest.mark.parametrize("seed", range(4))
def test_projection_agrees_with_a_general_solver(name: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    centre, point = generator.random(6).astype(np.float32), generator.normal(0.5, 1, 6).astype(np.float32)
    eps = 0.6
    threat = Threat(NORMS[name][0], eps)
    clips = torch.from_numpy(centre).view(1, 1, 1, 2, 3)
    found = threat.around(clips).project(torch.from_numpy(point).view(1, 1, 1, 2, 3)).flatten().double().numpy()

    # δ = up - down with up, down ≥ 0 makes the L1 ball smooth.
    def distance(parts: np.ndarray) -> float:
        return float(((centre + parts[:6] - parts[6:] - point) ** 2).sum())

    def room(parts: np.ndarray) -> float:
        return eps - parts.sum() if name == "l1" else eps**2 - ((parts[:6] - parts[6:]) ** 2).sum()

    bounds = [(0, 1 - value) for value in centre] + [(0, float(value)) for value in centre]
    best = minimize(
        distance, np.full(12, 0.01), bounds=bounds, constraints={"type": "ineq", "fun": room}, options={"ftol": 1e-14}
    )
    expected = centre + best.x[:6] - best.x[6:]
    assert np.allclose(found, expected, atol=2e-4)
    assert ((found - point) ** 2).sum() <= distance(best.x) + 1e-6


def test_l2_projection_uses_the_budget_that_the_box_leaves_over() -> None:
    """Alternating clamps would waste the share of the first pixel, which the box stops."""
    clips = torch.tensor([1.0, 0.5]).view(1, 1, 1, 1, 2)
    found = Threat(L2(), 0.3).around(clips).project(clips + 1.0)
    assert torch.allclose(found.flatten(), torch.tensor([1.0, 0.8]))


@cases
def test_steps_are_feasible(name: str, scale: float, seed: int, spread: float, corners: bool) -> None:
    threat, (clips, point) = threat_of(name, scale), clips_and_points(seed, spread, corners)
    feasible = threat.around(clips)
    inside = feasible.project(point)
    gradient = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed + 1))
    for alpha in (spread, torch.full((len(clips), 1, 1, 1, 1), spread)):
        assert_feasible(threat, clips, feasible.step(inside, gradient, alpha))


@pytest.mark.parametrize("name", sorted(NORMS))
def test_directions_have_size_one_and_point_uphill(name: str) -> None:
    norm, eps = NORMS[name]
    clips = torch.full(SHAPE, 0.5)
    gradient = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    direction = Threat(norm, eps).around(clips).ascend(gradient)
    assert torch.allclose(norm.size(direction.flatten(1)), torch.ones(3, dtype=torch.float64))
    assert ((direction * gradient).flatten(1).sum(1) > 0).all()


def test_l1_directions_move_a_share_of_the_pixels() -> None:
    clips = torch.full((2, 3, 4, 8, 8), 0.5)
    feasible = Threat(L1(share=0.1), 2.0).around(clips)
    gradient = torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    moved = (feasible.ascend(gradient) != 0).flatten(1).sum(1)
    assert moved.tolist() == [76, 76]  # a tenth of 768
    sparse = clips.clone()
    sparse[:, 0, 0, 0, :6] += 0.1
    assert (feasible.ascend(gradient, sparse) != 0).flatten(1).sum(1).tolist() == [4, 4]  # two thirds of six


def test_l1_and_l2_steps_leave_pixels_that_the_box_stops() -> None:
    clips = torch.tensor([1.0, 0.5, 0.5, 0.0]).view(1, 1, 1, 1, 4)
    gradient = torch.tensor([9.0, 1.0, 0.5, -9.0]).view_as(clips)
    for norm in (L2(), L1(share=0.25)):
        direction = Threat(norm, 0.2).around(clips).ascend(gradient).flatten()
        assert direction[0] == 0
        assert direction[3] == 0
        assert direction[1] > 0


@pytest.mark.parametrize("name", sorted(NORMS))
def test_zero_gradients_move_nothing(name: str) -> None:
    clips = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    feasible = threat_of(name, 1.0).around(clips)
    assert torch.equal(feasible.step(clips, torch.zeros(SHAPE), 1.0), clips)


@pytest.mark.parametrize("name", sorted(NORMS))
def test_random_points_depend_on_their_generator_alone(name: str) -> None:
    clips = torch.full(SHAPE, 0.5)
    feasible = threat_of(name, 1.0).around(clips)
    state = torch.get_rng_state()
    first, second = (feasible.random(torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, feasible.random(torch.Generator().manual_seed(4)))
    assert (feasible.size(first) > 0.5 * NORMS[name][1]).all()  # high dimensions: near the surface


@pytest.mark.parametrize("name", sorted(NORMS))
def test_budgets_per_clip_and_per_frame(name: str) -> None:
    norm, eps = NORMS[name]
    clips = torch.full(SHAPE, 0.5)
    far = clips + torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    each = torch.tensor([eps, eps / 2, 0.0], dtype=torch.float64)
    found = Threat(norm, each).around(clips).project(far)
    sizes = norm.size((found.double() - clips).flatten(1))
    assert (sizes <= each).all()
    assert torch.allclose(sizes, each, rtol=1e-5)
    frames = torch.tensor([[eps, 0.0]], dtype=torch.float64)
    found = Threat(norm, frames).around(clips).project(far)
    sizes = torch.stack([norm.size((found.double() - clips)[:, :, frame].flatten(1)) for frame in (0, 1)], 1)
    assert (sizes <= frames).all()
    assert torch.allclose(sizes, frames.expand(3, 2), rtol=1e-5)


@pytest.mark.parametrize("name", sorted(NORMS))
def test_narrowing_is_the_feasible_set_of_the_rest(name: str) -> None:
    norm, eps = NORMS[name]
    clips, point = clips_and_points(0, 0.5, corners=False)
    keep = torch.tensor([True, False, True])
    whole = Threat(norm, (eps, eps, eps / 3)).around(clips)
    rest = Threat(norm, (eps, eps / 3)).around(clips[keep])
    assert torch.equal(whole.narrow(keep).project(point[keep]), rest.project(point[keep]))
    assert torch.equal(whole.narrow(keep.nonzero().flatten()).project(point[keep]), rest.project(point[keep]))


@given(st.floats(0, 1))
def test_bounds_are_rounded_down(value: float) -> None:
    rounded = round_down(value)
    assert rounded <= value
    assert rounded >= value * (1 - 2**-23) - 1e-45
    assert torch.tensor(rounded, dtype=torch.float32).item() == rounded


@pytest.mark.parametrize(
    ("norm", "eps", "words"),
    [
        (Linf(), 8, "8/255"),
        (Linf(), -0.1, "eps must lie in"),
        (Linf(), float("nan"), "eps must lie in"),
        (Linf(), "8/255", "must be a number"),
        (L2(), (0.5, float("inf")), "eps must lie in"),
    ],
)
def test_budgets_out_of_range(norm: object, eps: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Threat(norm, eps).around(torch.rand(2, 1, 1, 2, 2))


def test_budgets_that_do_not_fit_the_clips() -> None:
    clips = torch.rand(SHAPE)
    with pytest.raises(InputError, match="3 clips of 2 frames"):
        Threat(Linf(), (0.1, 0.2)).around(clips)
    with pytest.raises(InputError, match="3 clips of 2 frames"):
        Threat(Linf(), ((0.1, 0.2, 0.3),)).around(clips)
    with pytest.raises(InputError, match="range of the pixels"):
        Threat(L2(), 20.0).around(clips)  # more than the box's diagonal


def test_an_l1_share_out_of_range() -> None:
    with pytest.raises(InputError, match="share"):
        L1(share=0.0)


def test_threats_are_values() -> None:
    assert Threat(L2(), torch.tensor([0.5, 1.0])) == Threat(L2(), (0.5, 1.0))
    assert hash(Threat(L1(), 3.0)) == hash(Threat(L1(), 3.0))
    assert "eps=0.5" in repr(Threat(L2(), 0.5))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(-3, 2), st.floats(-4, 1), st.sampled_from([L2(), L1()]))
def test_without_asking_how_far_it_is_a_projection_is_the_same_and_in_the_ball(
    seed: int, budget: float, scale: float, norm: L1 | L2
) -> None:
    """On a GPU all rows take as many Newton steps as are ever needed."""
    draw = torch.Generator().manual_seed(seed)
    centre = torch.rand(4, 300, generator=draw)
    low, high = (centre - torch.rand(4, 1, generator=draw)).clamp(0, 1), (centre + 0.5).clamp(0, 1)
    point = centre + 10**scale * torch.randn(4, 300, generator=draw)
    eps = torch.full((4, 1), 10**budget, dtype=torch.float64)
    wanted = norm.project(point, centre, eps, low, high)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(norms, "may_wait", lambda tensor: False)
        found = norm.project(point, centre, eps, low, high)
    assert (norm.size(found.double() - centre) <= eps[:, 0]).all()
    assert (found >= low).all() and (found <= high).all()
    assert (found - wanted).abs().max() <= 1e-6


def test_the_notation_knows_all_norms() -> None:
    assert set(calls.NORMS) == set(classes_in(norms))
