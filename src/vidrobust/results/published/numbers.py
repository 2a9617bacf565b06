"""The numbers behind the figures of the slides, to be shown beside a run's own: never mixed into them.

They were read off public figures (see :data:`SOURCE`), for another model (3D-ResNeXt-101) and other data (UCF-101), and
come without clip counts, so without intervals. All ε and α are in units of 1/255; accuracies are fractions.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from vidrobust.notation.slides import POLICIES, RISING_5

SOURCE = (
    "K. A. Kinfu, “Challenges on Adversarial Training for Videos” (slides, Johns Hopkins University, "
    "github.com/kaleab-k/PGD); K. A. Kinfu and R. Vidal, “Analysis and Extensions of Adversarial Training for Video "
    "Classification”, arXiv:2206.07953"
)
"""Whoever shows a published number cites this."""

FIGURE_NAMES = (
    "Clean",
    "AT (ε=4,α=4,i=5)",
    "AT (ε=8,α=8,i=3)",
    "AT (ε=12,α=12,i=2)",
    "AT (ε=8,α=2,i=10)",
    "fAT (ε=8,α=2,i=5)",
    "fAT (ε=8,α=2,i=20)",
    "CAL (ε~U,α=ε,i=i*)",
    "CAL (ε~rU,α=ε,i=i*)",
    "CAL (ε~U,α~αU,i~iU)",
    "CAL (ε~U,α=α*,i=5)",
    "CAL (ε~U,α=α*,i=10)",
    "CAL (ε~U,α=α*,i=20)",
    "CAL (ε~lU,α=α*,i=i*)",
)
"""How the figures name the standard model and the 13 policies of the slides, in the order of the table."""

DEFENCES = dict(zip(FIGURE_NAMES, ("standard", *POLICIES), strict=True))
"""How the figures name a defence → how this package's notation prints it."""

GAP_MODEL = RISING_5
"""The model of the published generalisation gap."""

GAP_MODEL_AS_PUBLISHED = "CAL(ε~U,α=α*,i=5)"
"""The same as the slides write it."""

MODEL = "3D-ResNeXt-101"
"""The network of the slides."""

TRAINING = "pretrained on Kinetics-400, then fine-tuned on UCF-101 (64 frames per clip)"
"""How the slides' standard model was trained: in two stages."""

STANDARD_ACCURACY = {"train": {"top1": 90.98, "top5": 98.67}, "test": {"top1": 93.58, "top5": 99.3}}
"""Accuracy (%) of the slides' standard model, without clip counts."""


@dataclass(frozen=True)
class PublishedSurface:
    """A sensitivity surface as published.

    The plot's loss counts from 1 iteration = 0 and was rounded to integers, so only its shape compares with ours.
    """

    alphas: np.ndarray
    """``A``, ascending."""
    steps: np.ndarray
    """``n``, from 1."""
    loss: np.ndarray
    """``A × n``."""


@cache
def _table(name: str) -> tuple[dict[str, str], ...]:
    text = (files("vidrobust.results.published") / f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(io.StringIO(text)))


@cache
def sensitivity_numbers(eps: float) -> PublishedSurface | None:
    """The published surface at ``eps`` (4 or 8), or None where there is none.

    >>> sensitivity_numbers(8).loss.shape
    (14, 30)
    """
    cells = {
        (float(row["alpha_255"]), int(row["iterations"])): float(row["mean_pgd_loss"])
        for row in _table("pgd_sensitivity")
        if float(row["epsilon_255"]) == eps
    }
    if not cells:
        return None
    alphas = sorted({alpha for alpha, _ in cells})
    steps = sorted({step for _, step in cells})
    loss = np.array([[cells[alpha, step] for step in steps] for alpha in alphas])
    return PublishedSurface(np.array(alphas), np.array(steps), loss)


def step_size_numbers() -> tuple[np.ndarray, np.ndarray]:
    """The published α*(ε): ε, 1…12, and α*.

    >>> eps, alpha = step_size_numbers()
    >>> float(alpha[eps == 8][0])
    1.85
    """
    rows = _table("optimal_step_size")
    eps = np.array([float(row["epsilon_255"]) for row in rows])
    return eps, np.array([float(row["alpha_star_255"]) for row in rows])


@cache
def robustness_numbers() -> dict[tuple[str, int], dict[float, float]]:
    """Published accuracy: (model as our notation prints it, iterations of the evaluating PGD) → {ε: accuracy}.

    >>> robustness_numbers()["AT(ε=8,α=8,i=3)", 20][0.0]
    0.6409
    """
    found: dict[tuple[str, int], dict[float, float]] = {}
    for row in _table("defence_accuracy"):
        curve = found.setdefault((DEFENCES[row["defence"]], int(row["eval_iterations"])), {})
        curve[float(row["epsilon_255"])] = float(row["top1_accuracy"])
    return {key: dict(sorted(curve.items())) for key, curve in found.items()}


@cache
def gap_numbers() -> dict[tuple[float, str], dict[int, float]]:
    """Published accuracy while :data:`GAP_MODEL` trains: (ε, ``train`` or ``val``) → {epoch: accuracy}."""
    found: dict[tuple[float, str], dict[int, float]] = {}
    for row in _table("generalisation_gap"):
        curve = found.setdefault((float(row["epsilon_255"]), row["split"]), {})
        curve[int(row["epoch"])] = float(row["top1_accuracy"])
    return {key: dict(sorted(curve.items())) for key, curve in found.items()}


def adaptive_and_generative() -> dict[str, dict[float, float]]:
    """Published accuracy of the later defences: label as published → {ε: accuracy}."""
    found: dict[str, dict[float, float]] = {}
    for row in _table("adaptive_and_generative"):
        found.setdefault(row["defence"], {})[float(row["epsilon_255"])] = float(row["top1_accuracy_percent"]) / 100
    return found


def multiple_attacks() -> dict[str, dict[str, float]]:
    """Published accuracy under several attacks (the radar plot): label as published → {attack: accuracy}."""
    found: dict[str, dict[str, float]] = {}
    for row in _table("multiple_attacks"):
        found.setdefault(row["defence"], {})[row["attack"]] = float(row["top1_accuracy_percent"]) / 100
    return found
