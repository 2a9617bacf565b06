"""α*: found by a sweep, remembered as long as the weights are the same."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.linear_models import convolutional, linear
from torch import Tensor

from vidrobust.attacks import step_size
from vidrobust.attacks.cw import CW
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.searching import searching
from vidrobust.attacks.step_size import RATIO, calibrate, explore, loss_trajectory, resolve_alpha
from vidrobust.errors import InputError
from vidrobust.losses import cross_entropy, margin
from vidrobust.notation.alpha_star import StepSizeEstimate, best_step
from vidrobust.threats import L2, Flicker, Frames, Linf, Mask, Threat

THREAT = Threat(Linf(), 4 / 255)


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The step sizes of all trajectories that are run, those that share a batch one by one."""
    seen, real = list[float](), step_size.loss_trajectory

    def spy(run: step_size.SearchState, alpha: float | Tensor, steps: int) -> Tensor:
        seen.extend(alpha.unique().tolist() if isinstance(alpha, Tensor) else [alpha])
        return real(run, alpha, steps)

    monkeypatch.setattr(step_size, "loss_trajectory", spy)
    return seen


def curved(clips: int = 12) -> tuple[torch.nn.Module, Tensor, Tensor]:
    model = convolutional()
    found = torch.rand(clips, 3, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return model, found, model(found).argmax(1)


def test_the_estimate_is_the_best_of_a_fine_grid() -> None:
    model, clips, labels = curved()
    (estimate,) = calibrate(model, THREAT, 5, clips, labels).values()
    assert estimate.low <= estimate.alpha <= estimate.high and estimate.clips == len(clips)

    def reached(alpha: float) -> float:
        return PGD(THREAT, alpha, 5, keep="last")(model, clips, labels).loss.mean().item()

    grid = [reached(THREAT.eps * RATIO**power) for power in range(-8, 3)]  # type: ignore[operator]
    assert reached(estimate.alpha) >= max(grid) - 0.02 * (max(grid) - min(grid))


def test_one_trajectory_serves_all_counts(sweeps: list[float]) -> None:
    model, clips, labels = curved()
    found = calibrate(model, THREAT, [2, 4, 8], clips, labels)
    assert list(found) == [2, 4, 8] and len(sweeps) == len(set(sweeps)) <= 17
    assert found[8].alpha < found[2].alpha  # more steps, smaller ones


def test_it_is_remembered_until_the_weights_change(sweeps: list[float]) -> None:
    model, clips, labels = curved()
    first = resolve_alpha("auto", model, THREAT, 3, clips, labels)
    spent = len(sweeps)
    assert resolve_alpha("auto", model, THREAT, 3, clips[:2], labels[:2]) == first and len(sweeps) == spent
    resolve_alpha("auto", model, THREAT, 4, clips, labels)
    resolve_alpha("auto", model, Threat(L2(), 0.5), 3, clips, labels)
    resolve_alpha("auto", model, THREAT, 3, clips, labels, loss=margin)
    assert len(sweeps) >= 4 * 7
    spent = len(sweeps)
    with torch.no_grad():
        model[0].weight.data.mul_(2)  # which version counters do not see
    assert resolve_alpha("auto", model, THREAT, 3, clips, labels) != first and len(sweeps) > spent


def test_patience_outlives_small_changes(sweeps: list[float]) -> None:
    model, clips, labels = curved()
    resolve_alpha("auto", model, THREAT, 3, clips, labels)
    spent = len(sweeps)
    for call in range(4):
        with torch.no_grad():
            model[0].weight.mul_(1.01)
        resolve_alpha("auto", model, THREAT, 3, clips, labels, patience=3)
        assert (len(sweeps) > spent) == (call == 3)


def test_memory_holds_no_model() -> None:
    model, clips, labels = curved()
    calibrate(model, THREAT, 2, clips, labels)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_a_number_is_itself_and_nothing_else_will_do(sweeps: list[float]) -> None:
    model, clips, labels = linear(2)
    assert resolve_alpha(0.5, model, THREAT, 3, clips, labels) == 0.5 and not sweeps
    for wrong in (0, -1.0, "fast", None):
        with pytest.raises(InputError, match="alpha, the step size"):
            resolve_alpha(wrong, model, THREAT, 3, clips, labels)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="eps=0"):
        calibrate(model, Threat(Linf(), 0.0), 3, clips, labels)


def test_the_estimate_is_that_of_studies() -> None:
    """Of the losses of the same trajectories, in other units."""
    model, clips, labels = curved()
    found = calibrate(model, THREAT, 3, clips, labels)[3]
    with searching(model, THREAT, clips, labels, cross_entropy, "auto") as run:
        run.exploring = True
        runs = explore(
            lambda powers: [loss_trajectory(run, THREAT.eps * RATIO**power, 3) for power in powers],
            lambda run, n: run[n].mean(),
            [3],
        )
    alphas = np.array([THREAT.eps * RATIO**power for power in runs])
    wanted = best_step(alphas * 255, [losses[3].tolist() for losses in runs.values()])
    assert (found.alpha * 255, found.low * 255) == (pytest.approx(wanted.alpha), pytest.approx(wanted.low))
    assert found.clips == wanted.clips == len(clips)


def test_the_grid_stops_at_its_limits() -> None:
    falling = explore(lambda powers: powers, lambda power, count: -power, [1])
    rising = explore(lambda powers: powers, lambda power, count: power, [1])
    assert min(falling) == -13 and max(rising) == 3


def test_budgets_a_clip_and_supports_are_calibrated_too() -> None:
    model, clips, labels = curved()
    eps = torch.linspace(0.01, 0.03, len(clips))
    assert calibrate(model, Threat(Linf(), eps), 2, clips, labels)[2].alpha > 0
    assert isinstance(calibrate(model, Threat(Linf(), 0.02, Flicker()), 2, clips, labels)[2], StepSizeEstimate)
    assert CW(Threat(L2(), 0.5), steps=3)(model, clips, labels).backwards.max() <= 3


@pytest.mark.parametrize("support", ["frames", "mask", "saliency"])
def test_threats_with_a_place_a_clip_are_calibrated_on_some_of_many_clips(support: str) -> None:
    model, clips, labels = curved(step_size.CLIPS + 2)
    pixels = torch.rand(clips.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    places = {"frames": Frames(tuple((row % 4,) for row in range(len(clips)))), "mask": Mask(pixels)}
    attack = PGD(replace(THREAT, support=places.get(support, THREAT.support)), "auto", 3)
    found = (FrameSaliency(attack, 1) if support == "saliency" else attack)(model, clips, labels)
    assert len(found.success) == step_size.CLIPS + 2


def test_budgets_of_many_clips_are_found_again(sweeps: list[float]) -> None:
    model, clips, labels = curved(step_size.CLIPS + 2)
    threat = replace(THREAT, eps=torch.linspace(0.01, 0.05, len(clips)))
    estimate = calibrate(model, threat, 3, clips, labels)[3]
    count = len(sweeps)
    assert resolve_alpha("auto", model, threat, 3, clips, labels) == estimate.alpha
    assert len(sweeps) == count and estimate.clips == step_size.CLIPS
