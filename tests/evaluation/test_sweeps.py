"""Sweeps over the step size: one trajectory for all iteration counts, and α* where it must be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers.linear_models import distance, linear
from helpers.row_fields import unknown
from torch import Tensor, nn

from vidrobust.data.dataset import VideoClips
from vidrobust.data.given import Given
from vidrobust.evaluation import sweeps
from vidrobust.evaluation.clips import digits, pgd
from vidrobust.evaluation.sweeps import StepSizes, step_sizes, sweep, trajectory
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.threats import Linf


def test_one_trajectory_holds_every_shorter_attack(trained: ResNet3d, small_data: VideoClips) -> None:
    few = small_data.test.subset(range(0, 40, 4))
    row = trajectory(trained, few, 8.0, 1.0, 6, at=(2, 6))
    assert len(row["loss"]) == len(row["correct"]) == 7
    x, y = few.centre(range(len(few))), few.labels
    for steps in (2, 6):
        attack = pgd(8.0, 1.0, steps)
        last = attack.perturb(trained, x, y)
        with torch.no_grad():
            logits = trained(last)
        loss = nn.functional.cross_entropy(logits, y).item()
        assert row["loss"][steps] == pytest.approx(loss, rel=0.02)  # the trajectory may be in bfloat16
        assert np.mean(row["clip_loss"][str(steps)]) == pytest.approx(row["loss"][steps], abs=1e-3)
    assert row["loss"][6] > row["loss"][2] > row["loss"][0]


def test_step_sizes_side_by_side_move_each_clip_by_its_own() -> None:
    """Of a linear model the loss after i steps of α is known: every pixel has moved by min(i·α, ε)."""
    weight = torch.linspace(-1, 1, 12).sign() * 0.5
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    model[1].weight.data = torch.stack([weight, -weight])
    model[1].bias.data = torch.tensor([0.5, 0.0])
    clips = Given(torch.full((30, 3, 1, 2, 2), 0.5), [0, 1] * 15)
    eps, alphas, steps, spent = 8.0, (0.5, 1.0, 3.0, 4.0, 6.0), 5, []
    rows = sweep(model, clips, eps, alphas, steps, (2, 5), spent.append)  # type: ignore[arg-type]
    assert [row["alpha"] for row in rows] == list(alphas)
    assert sum(spent) == len(alphas) * steps * 30
    for row in rows:
        moved = np.minimum(np.arange(steps + 1) * row["alpha"], eps) / 255 * 12  # of the difference of the logits
        losses = np.log1p(np.exp(np.stack([moved - 0.5, moved + 0.5])))
        assert row["loss"] == pytest.approx(losses.mean(0), abs=2e-5)
        assert row["correct"] == [15 * int(one < 0.5) for one in moved]
        assert row["clip_loss"]["2"] == pytest.approx([losses[0, 2], losses[1, 2]] * 15, abs=2e-4)


def test_gradients_are_counted(trained: ResNet3d, small_data: VideoClips) -> None:
    spent: list[int] = []
    trajectory(trained, small_data.test.subset(range(10)), 8.0, 1.0, 6, progress=spent.append)
    assert sum(spent) == 60


class Quadratic:
    """Stands for a model whose loss after i steps of α is highest at a known α."""

    def __init__(self, best: float) -> None:
        self.best, self.asked = best, []

    def __call__(
        self, model: object, clips: object, eps: float, alphas: list[float], steps: int, at: tuple[int, ...], *_: object
    ) -> list[dict]:
        self.asked += alphas
        return [self._row(alpha, at) for alpha in alphas]

    def _row(self, alpha: float, at: tuple[int, ...]) -> dict:
        noise = np.random.default_rng(0).normal(0, 0.05, 50)  # the same clips at every α
        losses = {step: 3 - np.log(alpha / self.best) ** 2 + noise for step in at}
        return {
            "kind": "trajectory",
            "alpha": alpha,
            "loss": {step: float(values.mean()) for step, values in losses.items()},
            "clip_loss": {str(step): values.tolist() for step, values in losses.items()},
            "clips_of": "",
        }


MANY = Given(torch.zeros(50, 3, 1, 1, 1), [0] * 50)


@pytest.mark.parametrize("best", [0.05, 0.9, 4.0, 20.0])
def test_the_grid_widens_until_the_optimum_is_interior(best: float, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Quadratic(best)
    monkeypatch.setattr(sweeps, "sweep", measured)
    row = step_sizes(nn.Identity(), MANY, 8.0, (5,))[-1]  # type: ignore[arg-type]
    assert row["kind"] == "step_size"
    assert row["interior"]
    assert row["alpha"] == pytest.approx(best, rel=0.02)
    assert row["low"] <= best * 1.02
    assert row["high"] >= best * 0.98
    assert len(set(measured.asked)) == len(measured.asked)


def test_an_optimum_beyond_all_bounds_is_not_called_interior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "sweep", Quadratic(1e6))
    row = step_sizes(nn.Identity(), MANY, 8.0, (5,))[-1]  # type: ignore[arg-type]
    assert not row["interior"]


def test_each_iteration_count_gets_its_own_step_size(trained: ResNet3d, small_data: VideoClips) -> None:
    rows = step_sizes(trained, small_data.test, 8.0, (3, 12))
    few, many = (row for row in rows if row["kind"] == "step_size")
    assert few["alpha"] > many["alpha"] > 0
    assert few["clips"] == len(small_data.test)


def ratio(factor: Callable[[float, int], float]) -> list[dict]:
    return [
        {"eps": eps, "steps": steps, "alpha": factor(eps, steps)} for eps in (1.0, 4.0, 12.0) for steps in (5, 10, 20)
    ]


def test_step_sizes_between_the_measured_ones_follow_a_power_law_exactly() -> None:
    table = StepSizes(ratio(lambda eps, steps: 2 * eps**0.7 / steps**0.5))
    for eps, steps in ((1, 5), (2.5, 7), (12, 20)):
        assert table(eps, steps) == pytest.approx(2 * eps**0.7 / steps**0.5, rel=1e-3)
    assert table(24, 5) == pytest.approx(2 * table(12, 5), rel=1e-3)  # beyond: in proportion to ε
    assert table(4, 40) == pytest.approx(table(4, 20), rel=1e-3)


def test_the_model_is_left_as_it_was(trained: ResNet3d, small_data: VideoClips) -> None:
    def tensors() -> list[Tensor]:
        return [tensor.clone() for tensor in trained.state_dict().values()]

    before = tensors()
    trajectory(trained, small_data.test.subset(range(4)), 8.0, 1.0, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors(), strict=True))


def test_a_trajectory_keeps_the_outcome_of_each_clip_at_the_steps_asked_for() -> None:
    """Against the distance to a linear model's boundary, which the sign of the gradient covers in each step."""
    model, clips, labels = linear()
    far = distance(model, clips, labels, Linf())
    eps = 255 * far.median().item() * 1.01
    row = trajectory(model, Given(clips, labels.tolist()), eps, eps / 4, 6, at=(0, 2, 6))
    stands = {"0": far > 0, "2": far > eps / 2 / 255, "6": far > eps / 255}
    assert row["survived"] == {step: digits(mask) for step, mask in stands.items()}
    assert 0 < row["correct"][6] == row["survived"]["6"].count("1") < row["correct"][2] < 8
    assert unknown([{**row, "model": "m", "seed": 0}]) == set()
