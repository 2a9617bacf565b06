"""Rows to the figures of the slides: interactive plotly figures, for a notebook and for the report.

Each takes the rows of a run, kinds mixed, and raises ``MissingRowsError`` without any; ``layout.meta["alt"]`` says what
there is to see. Published numbers are traces of their own: dashed, hollow, named ``published (slides): …``, hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrobust.results.figures.plots import (
    COLOURS,
    GREY,
    MISSING_STEP,
    SYMBOLS,
    Trace,
    accuracy_data,
    accuracy_trace,
    add,
    new_figure,
    published_data,
    published_trace,
    slide,
    style,
)
from vidrobust.results.figures.surfaces import published_sensitivity, sensitivity, sensitivity_map, step_size
from vidrobust.results.figures.views import views
from vidrobust.results.numbers.accuracy import Curve, Point, gap_curves, robustness_curves
from vidrobust.results.numbers.advantages import difficulty_points
from vidrobust.results.numbers.attacks import attack_points
from vidrobust.results.numbers.claims import DIFFICULTY
from vidrobust.results.numbers.intervals import interval
from vidrobust.results.numbers.selection import MissingRowsError, model_order, of_kind
from vidrobust.results.published import numbers as published
from vidrobust.runs.rows import Row

if TYPE_CHECKING:
    import plotly.graph_objects as go


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
]


# --------------------------------------------------------------------------------------------------- accuracies


def robustness(rows: Iterable[Row]) -> go.Figure:
    """Accuracy against ε of every model, with a slider over the iterations of the evaluating PGD."""
    curves = robustness_curves(rows)
    if not curves:
        raise MissingRowsError(f"no accuracies under attack: step 6 (accuracy against ε) is missing. {MISSING_STEP}")
    models, every = model_order(curve.model for curve in curves), sorted({curve.steps for curve in curves})
    looks, found = style(models), {(curve.model, curve.steps): curve for curve in curves}
    shown = [name for name in model_order(key[0] for key in published.robustness()) if name in models]
    states = {}
    for steps in every:
        ours = [accuracy_data(_points(found.get((model, steps))), model, "ε") for model in models]
        theirs = [published_data(published.robustness().get((model, steps), {}), model) for model in shown]
        states[f"i={steps}"] = (ours + theirs, {})
    clips = max(point.clips // len(point.per_seed) for curve in curves for point in curve.points)
    alt = f"Accuracy against ε under PGD(i={every[-1]}), {clips} test clips for each seed. " + " ".join(
        _alt_line(found[model, every[-1]]) for model in models if (model, every[-1]) in found
    )
    figure = new_figure("Accuracy under attack", alt, "ε (1/255)", "accuracy (%)", yaxis_range=[-2, 102])
    add(figure, [accuracy_trace(model, model, **looks[model]) for model in models])
    for model in shown:
        marker = {"symbol": f"{looks[model]['symbol']}-open", "color": GREY, "size": 8}
        add(figure, [published_trace(model, model, marker=marker, hovertemplate="%{text}<extra></extra>")])
    slide(figure, "evaluated under PGD with ", states, len(states) - 1)
    return figure


def _points(curve: Curve | None) -> tuple[Point, ...]:
    return curve.points if curve else ()


def _alt_line(curve: Curve) -> str:
    first, last = curve.points[0], curve.points[-1]
    return f"{curve.model}: {100 * first.accuracy:.0f} % at ε={first.x:g} to {100 * last.accuracy:.0f} % at {last.x:g}."


def gap(rows: Iterable[Row]) -> go.Figure:
    """Train and validation accuracy by epoch, with a slider over ε.

    The published run took 175 epochs: its curves are drawn on an axis of their own, at the top.
    """
    curves = gap_curves(rows)
    if not curves:
        raise MissingRowsError(f"no accuracies by epoch: step 7 (generalisation gap) is missing. {MISSING_STEP}")
    models, every = model_order(curve.model for curve in curves), sorted({curve.eps or 0.0 for curve in curves})
    pairs = [(model, split) for model in models for split in ("train", "val")]
    found = {(curve.model, curve.split, curve.eps): curve for curve in curves}
    names = {"train": "training clips", "val": "validation clips"}
    states = {}
    for eps in every:
        ours = [
            accuracy_data(_points(found.get((*pair, eps))), f"{pair[0]}, {names[pair[1]]}", "epoch") for pair in pairs
        ]
        theirs = [published_data(published.gap().get((eps, split), {}), names[split]) for split in names]
        states[f"ε={eps:g}"] = (ours + theirs, {})
    last = [curve for curve in curves if curve.eps == every[-1]]
    alt = (
        f"Accuracy by epoch on training and validation clips, under PGD(i={curves[0].steps}) at ε={every[-1]:g}. "
        + " ".join(
            f"{curve.model}, {names.get(curve.split, curve.split)}: {100 * curve.points[-1].accuracy:.0f} % at the end."
            for curve in last
        )
    )
    figure = new_figure("Generalisation gap", alt, "epoch", "accuracy (%)", yaxis_range=[-2, 102])
    for number, (model, split) in enumerate(pairs):
        colour, symbol = COLOURS[number // 2 % len(COLOURS)], ("circle", "diamond-open")[number % 2]
        add(figure, [accuracy_trace(f"{model}, {names[split]}", model, colour, symbol, ("solid", "dash")[number % 2])])
    top = {"overlaying": "x", "side": "top", "title": {"text": "epoch (published)"}, "showgrid": False, "dtick": 25}
    for split, dash in (("train", "dash"), ("val", "dot")):
        line = {"color": GREY, "dash": dash, "width": 1.5}
        add(
            figure,
            [
                published_trace(
                    names[split], published.GAP_MODEL, xaxis="x2", line=line, hovertemplate="%{text}<extra></extra>"
                )
            ],
        )
    figure.update_layout(xaxis2=top)
    slide(figure, "under PGD at ", states, 0)
    return figure


def difficulty(rows: Iterable[Row]) -> go.Figure:
    """Advantage of a rising over a fixed ε, and of a small over a large one, against the contrast of the data."""
    rows = of_kind(rows, "difficulty")
    pairs = {label: difficulty_points(rows, first, second) for label, first, second in DIFFICULTY}
    pairs = {label: points for label, points in pairs.items() if points}
    if not pairs:
        raise MissingRowsError(
            "no accuracies at several contrasts: this run has no difficulty rows; the full profile measures them."
        )
    every = [None, *sorted({point.eps for points in pairs.values() for point in points if point.eps is not None})]
    states = {}
    for eps in every:
        label = "mean over ε" if eps is None else f"ε={eps:g}"
        states[label] = ([_advantage_data([p for p in points if p.eps == eps]) for points in pairs.values()], {})
    said = []
    for label, points in pairs.items():
        mean = [f"{100 * p.advantage.value:+.1f} points at contrast {p.contrast:g}" for p in points if p.eps is None]
        said.append(f"{label}: {', '.join(mean)}.")
    alt = "Difference of accuracy under attack against the contrast of the clips. " + " ".join(said)
    figure = new_figure(
        "Advantage against difficulty", alt, "mean contrast (less is harder)", "difference of accuracy (points)"
    )
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    for label, colour, symbol in zip(pairs, COLOURS, SYMBOLS, strict=False):
        add(figure, [accuracy_trace(label, label, colour, symbol)])
    slide(figure, "", states, 0)
    return figure


def _advantage_data(points: Sequence[Any]) -> Trace:
    found = [(point.contrast, point.advantage) for point in points]
    return {
        "x": [contrast for contrast, _ in found], "y": [100 * one.value for _, one in found],
        "error_y.array": [100 * (one.high - one.value) for _, one in found],
        "error_y.arrayminus": [100 * (one.value - one.low) for _, one in found],
        "text": [
            f"contrast {contrast:g}: {100 * one.value:+.1f} points ({100 * one.low:+.1f} to {100 * one.high:+.1f})"
            f"<br>{len(one.per_seed)} seeds, {one.clips} clips each, "
            f"interval over {'seeds' if one.over_seeds else 'clips'}"
            for contrast, one in found
        ],
    }  # fmt: skip


def training(rows: Iterable[Row]) -> go.Figure:
    """Training by epoch, with a slider over what is drawn: the loss, or the accuracy as attacked."""
    found = of_kind(rows, "epoch")
    if not found:
        raise MissingRowsError(f"no training epochs: steps 2 and 5 (training) are missing. {MISSING_STEP}")
    alt = _epochs_said("Training curves", found)
    return _by_epoch("Training", alt, found, _TRAINED)


def schedules(rows: Iterable[Row]) -> go.Figure:
    """What the training attack was in every epoch, with a slider over ε, α and the iterations."""
    found = [row for row in of_kind(rows, "epoch") if row["eps"] or row["alpha"]]
    attacked = {row["model"] for row in found}
    found = [row for row in of_kind(rows, "epoch") if row["model"] in attacked]
    if not found:
        raise MissingRowsError(f"no epochs under attack: step 5 (adversarial training) is missing. {MISSING_STEP}")
    return _by_epoch("Schedules", _epochs_said("Schedules of the training attack", found), found, _SCHEDULED)


def _epochs_said(what: str, rows: Sequence[Row]) -> str:
    models, epochs = model_order(row["model"] for row in rows), max(row["epoch"] for row in rows)
    ends = [
        f"{model}: ε {mine[0]['eps']:g} to {mine[-1]['eps']:g}, loss {mine[0]['loss']:.2f} to {mine[-1]['loss']:.2f}."
        for model in models
        for mine in [sorted((row for row in rows if row["model"] == model), key=lambda row: row["epoch"])]
    ]
    counted = f"{len(models)} models" if len(models) != 1 else "one model"
    return f"{what} of {counted} over up to {epochs} epochs of {max(row['clips'] for row in rows)} clips. " + " ".join(
        ends
    )


_TRAINED = (
    ("loss", "loss on the training batches", lambda row: row["loss"]),
    ("accuracy", "accuracy on the training batches as attacked (%)", lambda row: 100 * row["correct"] / row["clips"]),
)
_SCHEDULED = (
    ("ε", "ε as drawn (1/255)", lambda row: row["eps"]),
    ("α", "α as drawn (1/255)", lambda row: row["alpha"] if row["eps"] else None),
    ("i", "iterations as drawn", lambda row: row["steps"] if row["eps"] else None),
)


def watched(rows: Iterable[Row]) -> go.Figure:
    """Train and validation by epoch on the same footing, with a slider over what is drawn.

    Raises:
        MissingRowsError: no training was watched.
    """
    found = of_kind(rows, "watch")
    if not found:
        raise MissingRowsError("no training was watched: `vidrobust train` does so unless --watch.every is 0.")
    models = model_order(row["model"] for row in found)
    pairs = [(model, split) for model in models for split in ("train", "val")]
    lines = {pair: [row for row in found if (row["model"], row["split"]) == pair] for pair in pairs}
    states = {
        label: ([_watched_data(lines[pair], name) for pair in pairs], {"yaxis.title.text": axis})
        for name, label, axis in _WATCHED
    }
    last = {pair: max(line, key=lambda row: row["epoch"]) for pair, line in lines.items() if line}
    said = [f"{model}, {split}: {row['robust']} of {row['clips']} at the end." for (model, split), row in last.items()]
    attack = f"PGD(ε={found[0]['eps']:g},α={found[0]['alpha']:g},i={found[0]['steps']})"
    alt = f"Clips that withstand {attack} by epoch. {' '.join(said)}"
    figure = new_figure(f"Watched under {attack}", alt, "epoch", _WATCHED[0][2])
    for number, (model, split) in enumerate(pairs):
        colour, symbol = COLOURS[number // 2 % len(COLOURS)], ("circle", "diamond-open")[number % 2]
        dash = ("solid", "dash")[number % 2]
        add(figure, [accuracy_trace(f"{model}, {split}", model, colour, symbol, dash)])
    slide(figure, "showing ", states, 0)
    return figure


_WATCHED = (
    ("robust", "several steps", "accuracy under PGD (%)"),
    ("single", "one step", "accuracy under one step of ε (%)"),
    ("clean", "clean", "clean accuracy (%)"),
    ("robust_loss", "robust loss", "loss under PGD"),
    ("loss", "clean loss", "clean loss"),
)


def _watched_data(rows: Sequence[Row], name: str) -> Trace:
    """Counts of all seeds with their Wilson interval, or mean losses, epoch by epoch."""
    epochs = sorted({row["epoch"] for row in rows})
    by_epoch = [[row for row in rows if row["epoch"] == epoch] for epoch in epochs]
    if name.endswith("loss"):
        means = [float(np.mean([row[name] for row in some])) for some in by_epoch]
        texts = [f"epoch {epoch}: {mean:.3f}" for epoch, mean in zip(epochs, means, strict=True)]
        none = [0.0] * len(epochs)
        return {"x": epochs, "y": means, "error_y.array": none, "error_y.arrayminus": none, "text": texts}
    counts = [(sum(row[name] for row in some), sum(row["clips"] for row in some)) for some in by_epoch]
    bounds = [interval(*pair) for pair in counts]
    shares = [correct / clips for correct, clips in counts]
    return {
        "x": epochs, "y": [100 * share for share in shares],
        "error_y.array": [100 * (high - share) for (_, high), share in zip(bounds, shares, strict=True)],
        "error_y.arrayminus": [100 * (share - low) for (low, _), share in zip(bounds, shares, strict=True)],
        "text": [
            f"epoch {epoch}: {100 * correct / clips:.1f} % ({100 * low:.1f} to {100 * high:.1f}), {clips} clips"
            for epoch, (correct, clips), (low, high) in zip(epochs, counts, bounds, strict=True)
        ],
    }  # fmt: skip


def _by_epoch(title: str, alt: str, rows: Sequence[Row], shown: Sequence[tuple[str, str, Any]]) -> go.Figure:
    models = model_order(row["model"] for row in rows)
    looks, states = style(models), {}
    for label, axis, value in shown:
        data = [_epoch_data([row for row in rows if row["model"] == model], value) for model in models]
        states[label] = (data, {"yaxis.title.text": axis})
    figure = new_figure(title, alt, "epoch", shown[0][1])
    for model in models:
        trace = accuracy_trace(model, model, **looks[model])
        del trace["error_y"]
        add(figure, [trace | {"hovertemplate": f"{escape(model)}<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>"}])
    slide(figure, "showing ", states, 0)
    return figure


def _epoch_data(rows: Sequence[Row], value: Any) -> Trace:
    """Mean over the seeds, epoch by epoch; an epoch without an attack has no ε, α and i."""
    epochs, means = sorted({row["epoch"] for row in rows}), []
    for epoch in epochs:
        values = [value(row) for row in rows if row["epoch"] == epoch]
        values = [one for one in values if one is not None]
        means.append(float(np.mean(values)) if values else None)
    return {"x": epochs, "y": means}


# ------------------------------------------------------------------------------------------------------- attacks


def radar(rows: Iterable[Row]) -> go.Figure:
    """Accuracy of every model under each of several attacks, an axis for each attack.

    Raises:
        MissingRowsError: fewer than three attacks were evaluated.
    """
    points = attack_points(rows)
    attacks = list(dict.fromkeys(attack for by_attack in points.values() for attack in by_attack))
    if len(attacks) < 3:
        raise MissingRowsError(
            f"{len(attacks)} attacks evaluated: a radar needs three, the clean clips counted. "
            "`vidrobust evaluate RUN --attack …` adds them."
        )
    looks = style(model_order(points))
    said = [
        f"{m}: {', '.join(f'{a} {100 * p.accuracy:.0f} %' for a, p in mine.items())}." for m, mine in points.items()
    ]
    figure = _polar("Accuracy under several attacks", f"Radar of {len(attacks)} attacks. {' '.join(said)}")
    for model, mine in points.items():
        met = [attack for attack in attacks if attack in mine]
        data = accuracy_data([mine[attack] for attack in met], model, "ε")
        texts = [f"{escape(attack)}<br>{text}" for attack, text in zip(met, data["text"], strict=True)]
        look = looks[model]
        _add_polar(figure, {
            "theta": met, "r": data["y"], "text": texts, "name": escape(model),
            "meta": {"key": model, "published": False}, "line": {"color": look["colour"], "width": 2},
            "marker": {"symbol": look["symbol"], "size": 8, "color": look["colour"]},
        })  # fmt: skip
    return figure


def published_radar() -> go.Figure:
    """The published radar: other models under other attacks, so a figure of its own."""
    figure = _polar("published (slides): several attacks", "Published accuracy of six defences under several attacks.")
    tables = {
        name: mine for name, mine in published.multiple_attacks().items() if name != "Ideal"
    }  # 100 % by definition
    for number, (name, mine) in enumerate(tables.items()):
        text = [f"published (slides): {escape(name)}<br>{escape(a)}<br>{100 * v:.1f} %" for a, v in mine.items()]
        _add_polar(figure, {
            "theta": list(mine), "r": [100 * value for value in mine.values()], "text": text,
            "name": f"published (slides): {escape(name)}", "meta": {"key": name, "published": False},
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
    import textwrap

    return "<br>".join(escape(line) for line in textwrap.wrap(name, width, break_long_words=True))
