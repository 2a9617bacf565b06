"""The figure over several attacks: a radar with an axis for each, and its table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from vidrobust.results.figures.figure import Figure, Panel
from vidrobust.results.figures.plots import GREY, PUBLISHED, SYMBOLS, Trace, accuracy_data, legible, new_figure, style
from vidrobust.results.figures.table import Cell, Table, accuracy_cell, with_best
from vidrobust.results.numbers.accuracy import Point, evaluated_split, intervals_of
from vidrobust.results.numbers.attacks import attack_points
from vidrobust.results.numbers.selection import MissingRowsError
from vidrobust.results.published import numbers as published

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from vidrobust.runs.rows import Row

AXES = range(3, 41)
"""A radar needs three axes, and has no room for more than forty."""


def radar(rows: Iterable[Row]) -> go.Figure:
    """Accuracy of every model under each of several attacks, an axis for each attack.

    Raises:
        MissingRowsError: fewer than three attacks were evaluated.
    """
    points = attack_points(rows)
    attacks = _attacks(points)
    if len(attacks) < AXES[0]:
        raise MissingRowsError(
            f"{len(attacks)} attacks evaluated: a radar needs three, the clean clips counted. "
            "`vidrobust evaluate RUN --attack …` adds them."
        )
    models, left = legible(points)
    if len(attacks) > AXES[-1]:
        left += f"The first {AXES[-1]} of {len(attacks)} attacks are drawn. "
        attacks = attacks[: AXES[-1]]
    looks, sentences = style(models), []
    for model in models:
        each = ", ".join(f"{attack} {100 * point.accuracy:.0f} %" for attack, point in points[model].items())
        sentences.append(f"{model}: {each}.")
    figure = _polar("Accuracy under several attacks", f"{left}Radar of {len(attacks)} attacks. {' '.join(sentences)}")
    for model in models:
        mine = points[model]
        met = [attack for attack in attacks if attack in mine]
        if not met:
            continue
        data = accuracy_data([mine[attack] for attack in met], model, "ε")
        texts = [f"{escape(attack)}<br>{text}" for attack, text in zip(met, data["text"], strict=True)]
        look = looks[model]
        _add_polar(figure, {
            "theta": met, "r": data["y"], "text": texts, "name": escape(model),
            "meta": {"key": model, "published": False}, "line": {"color": look["colour"], "width": 2},
            "marker": {"symbol": look["symbol"], "size": 8, "color": look["colour"]},
        })  # fmt: skip
    return figure


def _attacks(points: dict[str, dict[str, Point]]) -> list[str]:
    return list(dict.fromkeys(attack for by_attack in points.values() for attack in by_attack))


def published_radar() -> go.Figure:
    """The published radar: other models under other attacks, so a figure of its own."""
    figure = _polar(f"{PUBLISHED}several attacks", "Published accuracy of six defences under several attacks.")
    tables = {
        name: mine for name, mine in published.multiple_attacks().items() if name != "Ideal"
    }  # 100 % by definition
    for number, (name, mine) in enumerate(tables.items()):
        text = [f"{PUBLISHED}{escape(name)}<br>{escape(a)}<br>{100 * v:.1f} %" for a, v in mine.items()]
        _add_polar(figure, {
            "theta": list(mine), "r": [100 * value for value in mine.values()], "text": text,
            "name": f"{PUBLISHED}{escape(name)}", "meta": {"key": name, "published": False},
            "line": {"color": GREY, "width": 1.5, "dash": "dash"},
            "marker": {"symbol": f"{SYMBOLS[number % len(SYMBOLS)]}-open", "size": 8, "color": GREY},
        })  # fmt: skip
    return figure


def _polar(title: str, alt: str) -> Any:
    figure = new_figure(title, alt, "", "")
    radial = {"range": [0, 100], "ticksuffix": " %", "angle": 90, "tickangle": 90}
    return figure.update_layout(polar={"radialaxis": radial, "bgcolor": "rgba(0,0,0,0)"}, xaxis=None, yaxis=None)


def _add_polar(figure: Any, trace: Trace) -> None:
    """Add a closed outline: the first attack again at the end."""
    import plotly.graph_objects as go

    for name in ("theta", "r", "text"):
        trace[name] = [wrapped(value) if name == "theta" else value for value in [*trace[name], trace[name][0]]]
    figure.add_trace(go.Scatterpolar(trace, mode="lines+markers", hovertemplate="%{text}<extra></extra>"))


def wrapped(name: str, width: int = 16) -> str:
    """A label broken into lines, escaped for plotly.

    >>> wrapped("PGD(ε=8,i=20), Border, every frame")
    'PGD(ε=8,i=20),<br>Border, every<br>frame'
    """
    return "<br>".join(escape(line) for line in textwrap.wrap(name, width, break_long_words=True))


def attack_tables(rows: Sequence[Row]) -> list[Table]:
    """Accuracy of each model under each attack, wherever another than plain PGD was evaluated."""
    points = attack_points(rows)
    if not points:
        return []
    attacks = _attacks(points)
    lines = []
    for model, mine in points.items():
        seeds = {seed for point in mine.values() for seed, _ in point.per_seed}
        lines.append((Cell(model), Cell(str(len(seeds))), *(accuracy_cell(mine.get(attack)) for attack in attacks)))
    caption = (
        f"Accuracy (%) on {evaluated_split(rows)} clips under each attack, with "
        f"{intervals_of(point for mine in points.values() for point in mine.values())}. Bold: the best defence."
    )
    return [Table("attacks", caption, ("Model", "Seeds", *attacks), with_best(lines))]


def _panels(rows: Sequence[Row]) -> list[Panel]:
    return [
        Panel("radar", radar(rows)),
        Panel("published radar", published_radar(), PUBLISHED.rstrip(": "), published=True),
    ]


ATTACKS_FIGURE = Figure(
    "radar",
    "Several attacks",
    "Attacks",
    "robustness",
    "Each axis is one attack on the same test clips; seeds pooled. A clip that is wrong without attack counts as "
    "broken.",
    _panels,
    attack_tables,
)
