"""Rows to interactive plotly figures, for a notebook, the page and the deck.

Each public function takes the rows of a run, kinds mixed, and raises ``MissingRowsError`` where there are none for it.
A figure lies in the file of its x axis. :data:`FIGURES` lists them with their words, tables and drawings for papers:
what the page, the deck, the export and the terminal show is this list.
"""

from __future__ import annotations

from vidrobust.results.figures.attacks import ATTACKS_FIGURE, published_radar, radar
from vidrobust.results.figures.certificates import CERTIFICATES_FIGURE, certificates
from vidrobust.results.figures.contrast import CONTRAST_FIGURE, difficulty
from vidrobust.results.figures.epochs import (
    GAP_FIGURE,
    SCHEDULES_FIGURE,
    TRAINING_FIGURE,
    WATCHED_FIGURE,
    gap,
    schedules,
    training,
    watched,
)
from vidrobust.results.figures.epsilon import ROBUSTNESS_FIGURE, STEP_SIZE_FIGURE, robustness, step_size
from vidrobust.results.figures.figure import Figure, Panel, Plot, Series
from vidrobust.results.figures.iterations import SENSITIVITY_FIGURE, published_sensitivity, sensitivity, sensitivity_map
from vidrobust.results.figures.plots import MISSING_STEP, new_figure
from vidrobust.results.figures.queries import QUERIES_FIGURE
from vidrobust.results.figures.severity import CORRUPTIONS_FIGURE, corruptions
from vidrobust.results.figures.standard import STANDARD_FIGURE
from vidrobust.results.figures.table import Cell, Table
from vidrobust.results.figures.transfer import TRANSFER_FIGURE
from vidrobust.results.figures.videos import VIEWS_FIGURE, views

FIGURES: tuple[Figure, ...] = (
    STANDARD_FIGURE,
    SENSITIVITY_FIGURE,
    STEP_SIZE_FIGURE,
    ROBUSTNESS_FIGURE,
    SCHEDULES_FIGURE,
    TRAINING_FIGURE,
    WATCHED_FIGURE,
    GAP_FIGURE,
    ATTACKS_FIGURE,
    QUERIES_FIGURE,
    TRANSFER_FIGURE,
    VIEWS_FIGURE,
    CERTIFICATES_FIGURE,
    CONTRAST_FIGURE,
    CORRUPTIONS_FIGURE,
)
"""All figures, in the order of the slides."""

__all__ = [
    "FIGURES",
    "MISSING_STEP",
    "Cell",
    "Figure",
    "Panel",
    "Plot",
    "Series",
    "Table",
    "certificates",
    "corruptions",
    "difficulty",
    "gap",
    "new_figure",
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
