"""Rows to interactive plotly figures, for a notebook, the page and the deck.

Each function takes the rows of a run, kinds mixed, and raises ``MissingRowsError`` where there are none for it.
"""

from __future__ import annotations

from vidrobust.results.figures.plots import MISSING_STEP
from vidrobust.results.figures.study import (
    difficulty,
    gap,
    published_radar,
    radar,
    robustness,
    schedules,
    training,
    watched,
)
from vidrobust.results.figures.surfaces import published_sensitivity, sensitivity, sensitivity_map, step_size
from vidrobust.results.figures.views import views

__all__ = [
    "MISSING_STEP",
    "difficulty",
    "gap",
    "published_radar",
    "published_sensitivity",
    "radar",
    "robustness",
    "schedules",
    "sensitivity",
    "sensitivity_map",
    "step_size",
    "training",
    "views",
    "watched",
]
