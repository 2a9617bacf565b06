"""What a page carries in itself beside its text: figures, clips and scripts, each stored once."""

from __future__ import annotations

import json
from importlib.resources import files
from itertools import groupby
from typing import Any

from vidrobust.errors import InputError
from vidrobust.results.figures.figure import Figure, Panel
from vidrobust.results.figures.plots import MISSING_STEP
from vidrobust.results.numbers.selection import MissingRowsError, of_kind
from vidrobust.results.pages.content import RunContent
from vidrobust.results.pages.gallery import Arrays, watchable
from vidrobust.results.pages.markup import Html, embedded_json, folded, missing_note, packed_plotly, tag, text
from vidrobust.runs.rows import Row


class Embedded:
    """The figures and clips of one page."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.clips: list[list[Row]] = []
        self.arrays = Arrays()

    def figure(self, figure: Figure, content: RunContent, caption: bool = True) -> Html | None:
        """Store the drawings of a figure and give the elements that they are drawn into.

        Args:
            figure: what to draw.
            content: the run.
            caption: whether to say below what is to be seen and how it was made.

        Returns:
            None if the figure is a table alone.

        Raises:
            MissingRowsError: the run has no rows for it.
        """
        if figure.panels is None:
            return None
        how = how_made(figure, content) if caption else None
        groups = groupby(figure.panels(content.rows), key=lambda panel: (panel.group, panel.published))
        return Html("".join(self._group(*key, list(panels), how) for key, panels in groups))

    def _group(self, heading: str, published: bool, panels: list[Panel], how: Html | None) -> str:
        """Panels side by side under their heading; a slide has its own."""
        drawn = [self._panel(panel, None if how is None else Html("") if published else how) for panel in panels]
        body = f'<div class="pair">{"".join(drawn)}</div>' if len(drawn) > 1 else drawn[0]
        title = tag("h3", heading) if heading and how is not None else ""
        return f'<div class="published-only">{title}{body}</div>' if published else f"{title}{body}"

    def _panel(self, panel: Panel, how: Html | None) -> Html:
        """The element of one drawing."""
        spec = json.loads(panel.drawing.to_json())
        spec["layout"].pop("template", None)  # the page's script brings light and dark ones
        key, words = f"figure-{len(self.figures)}", spec["layout"].get("meta")
        if not isinstance(words, dict) or not {"alt", "caption"} <= set(words):
            raise InputError(
                f"the drawing {panel.name!r} does not say what there is to see: make it with figures.new_figure, whose "
                "second argument says it for screen readers and the caption."
            )
        self.figures[key] = spec
        below = f'<figcaption>{text(words["caption"])}</figcaption><div class="tools">{how}</div>'
        name = text(panel.name)
        return Html(
            f'<figure data-figure="{key}" data-name="{name}" data-link="{name}"><div class="slide"></div>'
            f'<div class="plot waiting" role="group" aria-label="{text(words["alt"])}"></div>'
            '<ul class="legend" aria-label="legend: press to isolate"></ul>'
            f"{below if how is not None else ''}</figure>"
        )

    def player(self, content: RunContent) -> Html:
        """The clips of a run to watch, and notes on those that cannot be shown.

        Raises:
            MissingRowsError: there are none.
        """
        clips, troubles = watchable(content.run, of_kind(content.rows, "example"), self.arrays)
        note = "".join(missing_note(trouble) for trouble in troubles)
        if clips:
            self.clips.append(clips)
            return Html(resource("player.html").replace("{number}", str(len(self.clips) - 1)) + note)
        if not troubles:
            raise MissingRowsError(f"no clips to watch: the step that stores examples is missing. {MISSING_STEP}")
        return Html(note)

    def data(self) -> dict[str, str]:
        """The figures and clips as the page's scripts read them, and plotly.js where there is something to draw."""
        return {
            "figures": embedded_json(self.figures),
            "clips": embedded_json({"arrays": self.arrays.packed, "clips": self.clips}),
            "plotly": packed_plotly() if self.figures else "",
        }


def how_made(figure: Figure, content: RunContent) -> Html:
    """How a figure was made: its rows, the method, and the command."""
    found = of_kind(content.rows, figure.kind)
    seeds = sorted({row["seed"] for row in found if "seed" in row})
    listed = ", ".join(map(str, seeds)) if len(seeds) < 20 else f"{seeds[0]} to {seeds[-1]}"
    over = f", seeds {listed}" if seeds else ""
    note = f"From {len(found)} {figure.kind} rows of {content.name}{over}. {figure.method}"
    command = content.provenance.get("command", "unknown command")
    return folded("How was this made", tag("p", note) + tag("pre", command), "how")


def resource(name: str) -> str:
    """A file of the page."""
    return (files("vidrobust.results.pages") / "resources" / name).read_text(encoding="utf-8")


def scripts(*names: str) -> str:
    """Scripts as one that leaves nothing behind in the window."""
    return '"use strict";\n(() => {\n' + "\n".join(resource(name) for name in names) + "\n})();\n"
