"""Randomised and non-differentiable models, and frame saliency: wrappers over any search."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from helpers.linear_models import convolutional, linear
from torch import Tensor

from vidrobust.attacks.apgd import APGD
from vidrobust.attacks.base import RobustnessWarning
from vidrobust.attacks.frame_saliency import FrameSaliency, frame_saliency
from vidrobust.attacks.mifgsm import MIFGSM, blurred, resized
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.wrappers import BPDA, EOT
from vidrobust.errors import InputError
from vidrobust.threats import Linf, Threat

THREAT = Threat(Linf(), eps=6 / 255)


def pgd(keep: str = "last", steps: int = 8) -> PGD:
    return PGD(THREAT, alpha=2 / 255, steps=steps, keep=keep)  # type: ignore[arg-type]


def test_expectation_finds_the_gradient_in_the_noise() -> None:
    """The logits' sign is drawn anew at each call, and is right on average only."""
    model, clips, labels = linear(2)

    def noisy(clips: Tensor) -> Tensor:
        return model(clips) * (1 + 3 * torch.randn(()))

    search = PGD(Threat(Linf(), eps=0.1), alpha=0.005, steps=20, keep="last")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain, averaged = search(noisy, clips, labels), EOT(search, samples=40)(noisy, clips, labels)
    assert (averaged.backwards == 40 * plain.backwards).all()

    def harm(found: Tensor) -> Tensor:
        with torch.no_grad():
            moved = model(found) - model(clips)
        return moved.gather(1, 1 - labels[:, None]) - moved.gather(1, labels[:, None])

    best = harm(search(model, clips, labels).clips).mean()
    assert harm(averaged.clips).mean() > 0.8 * best > 1.4 * harm(plain.clips).mean()


def test_expectation_is_reproducible_and_leaves_the_random_state() -> None:
    model, clips, labels = linear(2)

    def noisy(clips: Tensor) -> Tensor:
        return model(clips + 0.1 * torch.randn_like(clips))

    state = torch.get_rng_state()
    first, second = (EOT(APGD(THREAT, steps=3), samples=3, seed=1)(noisy, clips, labels) for _ in range(2))
    assert torch.equal(first.clips, second.clips)
    assert torch.equal(state, torch.get_rng_state())


def test_bpda_goes_through_a_transform_without_gradient() -> None:
    model, clips, labels = linear(2)

    def coarse(clips: Tensor) -> Tensor:
        return (clips * 64).round() / 64

    defended = lambda clips: model(coarse(clips))  # noqa: E731
    threat = Threat(Linf(), eps=0.1)
    search = PGD(threat, alpha=0.02, steps=10)
    assert BPDA(search, coarse)(model, clips, labels).success.all()
    with pytest.warns(RobustnessWarning, match=f"gradient of {len(clips)} of {len(clips)} clips was zero"):
        plain = search(defended, clips, labels)
    assert plain.success.sum() < len(clips)  # rounding has no gradient: the search stands still


def test_the_surrogate_gives_the_gradient() -> None:
    model, clips, labels = linear(2)
    reversed_ = BPDA(pgd(steps=1), lambda clips: clips, surrogate=lambda clips: -clips)(model, clips, labels)
    forward = BPDA(pgd(steps=1), lambda clips: clips)(model, clips, labels)
    torch.testing.assert_close(reversed_.clips - clips, clips - forward.clips)


@pytest.mark.parametrize("iterative", [False, True])
@pytest.mark.parametrize("frames", [1, 3])
def test_only_the_most_salient_frames_change(iterative: bool, frames: int) -> None:
    model, clips, labels = linear(2, shape=(3, 6, 4, 4))
    with torch.no_grad():
        model[1].weight.view(2, 3, 6, 4, 4)[:, :, [1, 4, 5]] *= 3
    with torch.no_grad():
        labels = model(clips).argmax(1)
    found = FrameSaliency(PGD(Threat(Linf(), 1 / 255), 1 / 255, 1, keep="last"), frames, iterative)(
        model, clips, labels
    )
    changed = (found.clips != clips).flatten(3).any(3).any(1)
    most = frame_saliency(model, clips, labels).frames.topk(frames, 1).indices.sort(1).values
    for row, expected, broken in zip(changed, most, found.success, strict=True):
        assert row.nonzero().flatten().tolist() == expected.tolist() or (iterative and broken)


def test_one_by_one_stops_at_the_first_frame_that_does() -> None:
    model, clips, labels = linear(2, shape=(3, 6, 4, 4))
    found = FrameSaliency(PGD(Threat(Linf(), 0.3), 0.3, 1), frames=6, iterative=True)(model, clips, labels)
    changed = (found.clips != clips).flatten(3).any(3).any(1).sum(1)
    assert found.success.all() and changed.min() < 6
    assert (found.backwards[changed == changed.max()] >= found.backwards[changed == changed.min()].max()).all()


def test_saliency_keeps_budgets_a_clip() -> None:
    model, clips, labels = linear(2, shape=(3, 4, 4, 4))
    eps = torch.linspace(0, 0.05, len(clips))
    search = PGD(Threat(Linf(), eps), 0.01, 3)
    for iterative in (False, True):
        found = FrameSaliency(search, 2, iterative)(model, clips, labels)
        assert ((found.clips - clips).abs().flatten(1).amax(1) <= eps).all()


def test_more_frames_than_there_are_is_an_error() -> None:
    model, clips, labels = linear(2)
    with pytest.raises(InputError, match="cannot be chosen"):
        FrameSaliency(pgd(), frames=3)(model, clips, labels)


def test_diverse_inputs_are_smaller_clips_somewhere_on_black_ground() -> None:
    seen: list[Tensor] = []
    clips = torch.rand(2, 3, 4, 20, 10) * 0.5 + 0.5

    def view(given: Tensor) -> Tensor:
        seen.append(given)
        return given.flatten(1)[:, :2]

    resized(view, 0.0, 0.99, 0.0, clips)  # 18 by 9 pixels, in the lower left corner
    resized(view, 0.999, 0.5, 0.5, clips)
    assert seen[0].shape == clips.shape and (seen[0][:, :, :, 2:, :9] > 0.4).all()
    assert not seen[0][:, :, :, :2].any() and not seen[0][..., 9:].any()
    assert torch.equal(seen[1], clips)


def test_diversity_changes_the_steps_and_is_drawn_from_the_seed() -> None:
    model, labels = convolutional(), torch.tensor([0, 1, 2])
    clips = torch.rand(3, 3, 4, 20, 20, generator=torch.Generator().manual_seed(4))
    make = partial(MIFGSM, THREAT, steps=4, alpha=2 / 255, precision="exact")
    plain, diverse, again, other = (
        make(diversity=diversity, seed=seed)(model, clips, labels).clips
        for diversity, seed in ((0.0, 0), (1.0, 0), (1.0, 0), (1.0, 3))
    )
    assert torch.equal(diverse, again) and not torch.equal(diverse, plain) and not torch.equal(diverse, other)
    assert torch.equal(make(diversity=1.0)(model, clips[:1], labels[:1]).clips, diverse[:1])
    with pytest.raises(InputError, match="probability"):
        make(diversity=1.5)


def test_temporal_translation_is_the_weighted_mean_of_the_gradients_of_rolled_clips() -> None:
    """By plain autograd, with the linear weights of Wei et al.: 1/3, 2/3, 1, 2/3, 1/3 for shifts of 2."""
    model = convolutional()
    clips = torch.rand(3, 3, 5, 8, 8, generator=torch.Generator().manual_seed(4)) * 0.5 + 0.25
    labels = torch.tensor([0, 1, 2])
    total = torch.zeros_like(clips)
    for shift in (-2, -1, 0, 1, 2):
        point = clips.clone().requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(model(point.roll(shift, 2)), labels, reduction="sum")
        total += (1 - abs(shift) / 3) * torch.autograd.grad(loss, point)[0]
    attack = MIFGSM(THREAT, steps=1, alpha=2 / 255, shifts=2, decay=0, precision="exact")
    moved = attack(model, clips, labels).clips - clips
    clear = total.abs() > 1e-6  # a sum of about 0 may have either sign
    assert clear.float().mean() > 0.9 and torch.equal(moved.sign()[clear], total.sign()[clear])


def test_without_its_tricks_mifgsm_is_pgd() -> None:
    model, clips, labels = linear(3)
    plain = MIFGSM(THREAT, steps=5, alpha=2 / 255, decay=0)(model, clips, labels)
    assert torch.equal(plain.clips, PGD(THREAT, 2 / 255, 5, keep="last")(model, clips, labels).clips)


def test_blur_keeps_a_constant_and_spreads_a_point() -> None:
    flat = torch.ones(1, 1, 2, 9, 9)
    torch.testing.assert_close(blurred(flat, 3)[..., 2:-2, 2:-2], flat[..., 2:-2, 2:-2])
    point = torch.zeros(1, 1, 1, 9, 9)
    point[..., 4, 4] = 1
    spread = blurred(point, 5)
    assert spread.sum().item() == pytest.approx(1) and (spread > 0).sum() == 25
    assert spread.argmax() == point.argmax()


def test_a_perturbation_shifted_in_time_still_works() -> None:
    """Temporal translation: the perturbation depends less on when things happen."""
    model, clips, labels = convolutional(3), torch.rand(6, 3, 6, 8, 8), torch.zeros(6, dtype=torch.int64)
    with torch.no_grad():
        labels = model(clips).argmax(1)
    kwargs = {"steps": 5, "alpha": 2 / 255}
    fixed = MIFGSM(THREAT, **kwargs)(model, clips, labels)
    rolled = MIFGSM(THREAT, shifts=2, **kwargs)(model, clips, labels)
    assert not torch.equal(fixed.clips, rolled.clips)
    assert (rolled.backwards == 5 * fixed.backwards).all()
