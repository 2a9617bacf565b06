"""How PGD's strength depends on its step size: trajectories over a grid of α, and the search for α*."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from vidrobust.attacks.base import counting, warn_of_no_gradient
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.step_size import RATIO, explore
from vidrobust.evaluation.clips import BATCH, batches, device_of, digits, silent
from vidrobust.evaluation.manifest import clips_of
from vidrobust.notation.alpha_star import best_step
from vidrobust.notation.units import check_eps
from vidrobust.threats import Linf, Threat
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.evaluation.clips import GradientProgress
    from vidrobust.runs.rows import Row


def trajectory(
    model: nn.Module,
    clips: Clips,
    eps: float,
    alpha: float,
    steps: int,
    at: Sequence[int] = (),
    progress: GradientProgress = silent,
) -> Row:
    """The mean loss and the accuracy after each step of one PGD run: one trajectory serves all iteration counts.

    Args:
        model: the model, left as it was.
        clips: the clips to attack, all of them (the loss is a mean over all clips).
        eps, alpha: in units of 1/255.
        steps: iterations.
        at: steps whose outcomes and losses of each clip are kept, for intervals.
        progress: called with the gradients spent.

    Returns:
        A ``trajectory`` row.
    """
    return _side_by_side(model, clips, eps, (alpha,), steps, at, progress)[0]


def _side_by_side(
    model: nn.Module,
    clips: Clips,
    eps: float,
    alphas: Sequence[float],
    steps: int,
    at: Sequence[int],
    progress: GradientProgress,
) -> list[Row]:
    """The trajectories of several step sizes, each batch being attacked with all of them at once."""
    attack = PGD(Threat(Linf(), eps * PIXEL), alphas[0] * PIXEL, steps, keep="last")
    count, size = len(alphas), len(clips)
    losses, lacking = np.zeros((count, steps + 1, size)), torch.zeros(count, size, dtype=torch.bool)
    right = torch.zeros(count, steps + 1, size, dtype=torch.bool)
    with counting():
        for part, x, y in batches(clips, torch.arange(size), device_of(model)):
            x, y = x.repeat(count, 1, 1, 1, 1), y.repeat(count)
            each = (torch.tensor(alphas, dtype=torch.float64) * PIXEL).repeat_interleave(len(part))
            for iterate in attack.trajectory(model, x, y, alphas=each):
                losses[:, iterate.step, part.numpy()] = iterate.loss.view(count, -1).cpu().numpy()
                right[:, iterate.step, part] = (iterate.predicted == y).view(count, -1).cpu()
                lacking[:, part] = iterate.no_gradient.view(count, -1).cpu()
            progress(len(x) * steps)
    for missing in lacking.sum(1).tolist():
        warn_of_no_gradient(missing, size, attack.loss)
    return [
        {
            "kind": "trajectory",
            "eps": eps,
            "alpha": alpha,
            "loss": [round(value, 5) for value in losses[one].mean(1).tolist()],
            "correct": right[one].sum(1).tolist(),
            "survived": {str(step): digits(right[one, step]) for step in at},
            "clips": size,
            "no_gradient": int(lacking[one].sum()),
            "clip_loss": {str(step): [round(value, 4) for value in losses[one, step].tolist()] for step in at},
            "clips_of": clips_of(clips),
        }
        for one, alpha in enumerate(alphas)
    ]


def sweep(
    model: nn.Module,
    clips: Clips,
    eps: float,
    alphas: Sequence[float],
    steps: int,
    at: Sequence[int] = (),
    progress: GradientProgress = silent,
) -> list[Row]:
    """A :func:`trajectory` for each step size: ``len(alphas) · steps`` gradients per clip, for all iteration counts.

    Few clips are attacked with several step sizes at once, as many as fill a batch.
    """
    check_eps("sweep", eps)
    at_once = max(1, BATCH // max(1, len(clips)))
    parts = [alphas[start : start + at_once] for start in range(0, len(alphas), at_once)]
    return [row for part in parts for row in _side_by_side(model, clips, eps, part, steps, at, progress)]


def step_sizes(
    model: nn.Module, clips: Clips, eps: float, steps: Sequence[int], progress: GradientProgress = silent
) -> list[Row]:
    """α*(ε, i) for each i: the step size of the largest mean loss, on a grid widened until the optimum is interior.

    The grid is geometric; it starts as ε/16…ε and grows at either end, at most to ε/450 and 4ε. The estimate and its
    95 % interval are those of :func:`vidrobust.notation.alpha_star.best_step`.

    Returns:
        ``step_size`` rows, one for each i, after the ``trajectory`` rows they rest on.
    """
    check_eps("step_sizes", eps)
    longest = max(steps)

    def measure(powers: Sequence[int]) -> list[Row]:
        alphas = [round(eps * RATIO**power, 6) for power in powers]
        return sweep(model, clips, eps, alphas, longest, steps, progress)

    found = explore(measure, lambda row, count: row["loss"][count], steps)
    rows = list(found.values())
    return rows + [_step_size(rows, eps, count, clips) for count in steps]


def _step_size(rows: Sequence[Row], eps: float, steps: int, clips: Clips) -> Row:
    """The ``step_size`` row of one iteration count, from the trajectories of all step sizes."""
    losses = np.array([row["clip_loss"][str(steps)] for row in rows])
    best = best_step(np.array([row["alpha"] for row in rows]), losses, clips.sources)
    estimate = {"alpha": round(best.alpha, 5), "low": round(best.low, 5), "high": round(best.high, 5)}
    of = {"clips": losses.shape[1], "sources": len(set(clips.sources)), "clips_of": rows[0]["clips_of"]}
    about = {"eps": eps, "steps": steps, "interior": bool(best.interior), **of}
    return {"kind": "step_size", **estimate, **about}


class StepSizes:
    """α*(ε, i) between the measured points: linear in log ε and log i, by the nearest ratio α/ε beyond them.

    Args:
        rows: ``step_size`` rows, in units of 1/255.

    >>> rows = [{"kind": "step_size", "eps": eps, "steps": 5, "alpha": eps / 4} for eps in (2.0, 8.0)]
    >>> round(StepSizes(rows)(4.0, 5), 6)
    1.0
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        table: dict[int, dict[float, float]] = {}
        for row in rows:
            table.setdefault(row["steps"], {})[row["eps"]] = row["alpha"] / row["eps"]
        self.table = {count: dict(sorted(table[count].items())) for count in sorted(table)}

    def __call__(self, eps: float, steps: int) -> float:
        ratios = [
            np.interp(np.log(eps), np.log(list(line)), np.log(list(line.values()))) for line in self.table.values()
        ]
        ratio = np.exp(np.interp(np.log(steps), np.log(list(self.table)), ratios))
        return round(float(eps * ratio), 5)


def calibrated(model: nn.Module, clips: Clips, progress: GradientProgress = silent) -> Callable[[float, int], float]:
    """α* of a model outside a study: looked for each time it is asked for, on the model as it then is.

    Args:
        model: the model; in training, its α* moves with it.
        clips: some clips that are *not* evaluated afterwards, such as training clips.
        progress: called with the gradients spent.
    """
    return lambda eps, steps: step_sizes(model, clips, eps, [steps], progress)[-1]["alpha"]
