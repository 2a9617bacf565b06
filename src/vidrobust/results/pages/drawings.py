"""Figures as elements of a page: the drawing, its words, its legend, its data, and how it was made."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from vidrobust.results.figures.plots import MISSING_STEP
from vidrobust.results.numbers.selection import MissingRowsError, of_kind
from vidrobust.results.pages.gallery import Shelf, watchable
from vidrobust.results.pages.markup import Html, embedded_json, folded, missing, packed_plotly, tag, text
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import Row

METHODS = {
    "sensitivity": (
        "trajectory",
        (
            "Mean loss after every step of PGD, one run of PGD for each step size; which iterate is best does not "
            "enter. The ridge is the step size of the greatest loss after each step."
        ),
    ),
    "step-size": (
        "step_size",
        (
            "α* is the vertex of a parabola in log α through the grid points around the greatest mean loss; its "
            "bar comes from resampling the clips. Lines: least squares in the space of α*."
        ),
    ),
    "robustness": (
        "robustness",
        (
            "Clips that are wrong without attack count as broken; of each attack its best iterate counts. Bars: "
            "95 % Wilson intervals over the clips, seeds pooled; the hover text has each seed."
        ),
    ),
    "training": (
        "epoch",
        "Mean over the batches of each epoch, as the attack left them, then over the seeds.",
    ),
    "watched": (
        "watch",
        (
            "After each epoch, in evaluation mode, on the same centre clips of train and validation, under the same "
            "attack. Bars: 95 % Wilson intervals over the clips, seeds pooled. Test clips are not looked at."
        ),
    ),
    "schedules": (
        "epoch",
        "The attack that the batches of each epoch were trained under, mean over the seeds.",
    ),
    "gap": (
        "gap",
        "The same training and validation clips attacked after every few epochs. Bars: 95 % Wilson intervals.",
    ),
    "radar": (
        "robustness",
        (
            "Each axis is one attack on the same test clips; seeds pooled. A clip that is wrong without attack "
            "counts as broken."
        ),
    ),
    "views": (
        "views",
        (
            "Each clip is attacked on its own, or a video's answer, the mean over its clips, through all of them; each "
            "clip keeps to ε. What is wrong without attack counts as broken. Bars: 95 % Wilson intervals over the "
            "clips, or over the videos, seeds pooled; clips of one video are taken as unrelated."
        ),
    ),
    "difficulty": (
        "difficulty",
        (
            "Both models on the same clips of each contrast, difference by seed. Bars: Student's t over three "
            "seeds or more, else resampled clips."
        ),
    ),
}
"""What the rows of a figure are, and how they become its numbers."""


class Board:
    """What the parts of a page have in common: its figures and clips, each stored once."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.clips: list[list[Row]] = []
        self.shelf = Shelf()

    def figure(
        self,
        name: str,
        draw: Callable[..., Any],
        run: Run,
        rows: Sequence[Row] | None,
        *arguments: Any,
        caption: bool = True,
    ) -> Html:
        """Store a figure and give the element that it is drawn into, or say what is missing.

        Args:
            name: what the figure shows; its data is saved under this name, and sliders of equal names move together.
            draw: gives the plotly figure from the rows and ``arguments``.
            run: whose rows are drawn.
            rows: the rows; None for published numbers.
            arguments: what ``draw`` takes besides.
            caption: whether to say below what is to be seen and how it was made.
        """
        try:
            figure = draw(*arguments) if rows is None else draw(rows, *arguments)
        except MissingRowsError as error:
            return missing(error)
        spec = json.loads(figure.to_json())
        spec["layout"].pop("template", None)  # the page's script brings light and dark ones
        key, alt = f"figure-{len(self.figures)}", spec["layout"]["meta"]["alt"]
        self.figures[key] = spec
        words = alt if len(alt) < 300 else alt.split(". ")[0] + "."  # a sentence a model is for screen readers
        below = f"<figcaption>{text(words)}</figcaption>"
        below += f'<div class="tools">{made(run, name.split()[0], rows) if rows is not None else ""}</div>'
        return Html(
            f'<figure data-figure="{key}" data-name="{text(name)}" data-link="{text(name)}"><div class="slide"></div>'
            f'<div class="plot waiting" role="img" aria-label="{text(alt)}"></div>'
            '<ul class="legend" aria-label="legend: press to isolate"></ul>'
            f"{below if caption else ''}</figure>"
        )

    def player(self, run: Run, rows: Sequence[Row]) -> Html:
        """The clips of a run to watch, and what is to be said of those that cannot be shown."""
        clips, troubles = watchable(run, of_kind(rows, "example"), self.shelf)
        told = "".join(missing(trouble) for trouble in troubles)
        if not clips:
            lacking = f"no clips to watch: the step that stores examples is missing. {MISSING_STEP}"
            return Html(told or missing(lacking))
        self.clips.append(clips)
        return Html(resource("player.html").replace("{number}", str(len(self.clips) - 1)) + told)

    def data(self) -> dict[str, str]:
        """The figures and clips as the page's scripts read them, and plotly.js where there is something to draw."""
        return {
            "figures": embedded_json(self.figures),
            "clips": embedded_json({"arrays": self.shelf.arrays, "clips": self.clips}),
            "plotly": packed_plotly() if self.figures else "",
        }


def made(run: Run, name: str, rows: Sequence[Row]) -> Html:
    """How a figure was made: its rows, the method, and the command."""
    kind, method = METHODS[name]
    found = of_kind(rows, kind)
    seeds = sorted({row["seed"] for row in found if "seed" in row})
    over = f", seeds {', '.join(map(str, seeds))}" if seeds else ""
    told = f"From {len(found)} {kind} rows of {run.path.resolve().name}{over}. {method}"
    return folded(
        "How was this made", tag("p", told) + tag("pre", run.provenance.get("command", "unknown command")), "how"
    )


def resource(name: str) -> str:
    """A file of the page."""
    return (files("vidrobust.results.pages") / "resources" / name).read_text(encoding="utf-8")


def scripts(*names: str) -> str:
    """Scripts as one that leaves nothing behind in the window."""
    return '"use strict";\n(() => {\n' + "\n".join(resource(name) for name in names) + "\n})();\n"
