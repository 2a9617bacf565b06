"""Rows of sweeps to surfaces of PGD's loss over step size and iterations, and the estimates of α*.

All ε and α are in units of 1/255.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vidrobust.results.numbers.accuracy import Point, trajectory_point
from vidrobust.results.numbers.selection import MissingRowsError, derived, grouped, of_kind
from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class Surface:
    """Mean PGD loss and accuracy over step size and iterations, at one ε."""

    eps: float
    alphas: np.ndarray
    """``A``, ascending, in 1/255."""
    steps: np.ndarray
    """0 … n."""
    loss: np.ndarray
    """``A × (n + 1)``: mean loss after each step."""
    points: Sequence[Sequence[Point]]
    """``A × (n + 1)`` accuracies."""
    clips: int
    """Clips behind each cell."""

    @property
    def accuracy(self) -> np.ndarray:
        """``A × (n + 1)``, in [0, 1]."""
        return np.array([[point.accuracy for point in line] for line in self.points])

    @property
    def ridge(self) -> np.ndarray:
        """The α of the greatest loss after each step (``n + 1``)."""
        return self.alphas[self.loss.argmax(axis=0)]


def attacked_model(rows: Iterable[Row], kind: str) -> str:
    """The model that rows of a kind are about: the standard one where there are several."""
    models = list(dict.fromkeys(row.get("model", "standard") for row in rows if row["kind"] == kind))
    return "standard" if "standard" in models or not models else models[0]


@derived
def surface_rows(rows: Iterable[Row], eps: float | None = None) -> list[Row]:
    """The trajectories on the grid of the slides, at one ε or at all."""
    chosen = [row for row in of_kind(rows, "trajectory") if row.get("surface") and row["alpha"] > 0]
    model = attacked_model(chosen, "trajectory")
    return [row for row in chosen if row.get("model", "standard") == model and (eps is None or row["eps"] == eps)]


@derived
def step_size_rows(rows: Iterable[Row]) -> list[Row]:
    """The estimates of α* for one model."""
    chosen = [row for row in of_kind(rows, "step_size") if row["eps"] > 0 and row["alpha"] > 0]
    model = attacked_model(chosen, "step_size")
    return [row for row in chosen if row.get("model", "standard") == model]


def surface_eps(rows: Iterable[Row]) -> list[float]:
    """The ε for which there is a surface, ascending."""
    return sorted({row["eps"] for row in surface_rows(rows)})


@derived
def surfaces(rows: Iterable[Row]) -> list[Surface]:
    """The sensitivity surface at every ε that was swept, ascending."""
    by_eps = grouped(surface_rows(rows), "eps")
    return [_surface(by_eps[eps], eps) for eps in sorted(by_eps)]


def surface(rows: Iterable[Row], eps: float) -> Surface:
    """The sensitivity surface at one ε, seeds pooled.

    Raises:
        MissingRowsError: there is no trajectory at this ε.
    """
    chosen = surface_rows(rows, eps)
    if not chosen:
        raise MissingRowsError(f"no sensitivity trajectories at ε={eps:g}: run the study's step 3 (sensitivity).")
    return _surface(chosen, eps)


def _surface(rows: Sequence[Row], eps: float) -> Surface:
    length = min(min(len(row["loss"]), len(row["correct"])) for row in rows)
    by_alpha = grouped(rows, "alpha")
    alphas = sorted(by_alpha)
    groups = [by_alpha[alpha] for alpha in alphas]
    clips = [sum(row["clips"] for row in group) for group in groups]
    loss = [np.average([r["loss"][:length] for r in g], axis=0, weights=[r["clips"] for r in g]) for g in groups]
    points = [[trajectory_point(group, steps) for steps in range(length)] for group in groups]
    return Surface(eps, np.array(alphas), np.arange(length), np.array(loss), points, min(clips))
