"""Figures over the epochs of a training: losses and accuracies, the attack as drawn, and the generalisation gap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrobust.results.figures.figure import Figure, Panel, Plot, Series
from vidrobust.results.figures.plots import (
    COLOURS,
    GREY,
    MARKERS,
    MISSING_STEP,
    SPLITS,
    Stop,
    Trace,
    accuracy_data,
    accuracy_trace,
    clip_counts,
    legible,
    new_figure,
    plot_curve,
    published_data,
    published_trace,
    slide,
    style,
)
from vidrobust.results.numbers.accuracy import Curve, Point, counted_point, gap_curves, intervals_of
from vidrobust.results.numbers.selection import MissingRowsError, grouped, model_order, of_kind
from vidrobust.results.published import numbers as published
from vidrobust.runs.wording import counted

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from vidrobust.runs.rows import Row

RowValue = Callable[["Row"], "float | None"]
"""A number of a row; None where the row has none, such as ε of an epoch without attack."""
Line = tuple[list[int], "list[float | None]"]
"""Epochs, and the mean over the seeds in each."""

_TRAINED: dict[str, tuple[str, str, RowValue]] = {
    "loss": ("loss on the training batches", "loss {:.2f}", lambda row: row["loss"]),
    "accuracy": (
        "accuracy on the training batches as attacked (%)", "{:.0f} %", lambda row: 100 * row["correct"] / row["clips"],
    ),
}  # fmt: skip
_SCHEDULED: dict[str, tuple[str, str, RowValue]] = {
    "ε": ("ε as drawn (1/255)", "ε {:.3g}", lambda row: row["eps"]),
    "α": ("α as drawn (1/255)", "α {:.3g}", lambda row: row["alpha"] if row["eps"] else None),
    "i": ("iterations as drawn", "{:.3g} iterations", lambda row: row["steps"] if row["eps"] else None),
}
"""What a slider moves between: the axis, how a value is written, and the value of a row."""


def training(rows: Iterable[Row]) -> go.Figure:
    """Training by epoch, with a slider over what is drawn: the loss, or the accuracy as attacked."""
    found = of_kind(rows, "epoch")
    if not found:
        raise MissingRowsError(f"no training epochs: steps 2 and 5 (training) are missing. {MISSING_STEP}")
    return _by_epoch("Training", "Training curves", found, _TRAINED)


def schedules(rows: Iterable[Row]) -> go.Figure:
    """What the training attack was in every epoch, with a slider over ε, α and the iterations."""
    found = _attacked(of_kind(rows, "epoch"))
    if not found:
        raise MissingRowsError(f"no epochs under attack: step 5 (adversarial training) is missing. {MISSING_STEP}")
    return _by_epoch("Schedules", "Schedules of the training attack", found, _SCHEDULED)


def _attacked(rows: Sequence[Row]) -> list[Row]:
    """The epochs of models that were trained under attack in any of them."""
    models = {row["model"] for row in rows if row["eps"] or row["alpha"]}
    return [row for row in rows if row["model"] in models]


def _by_epoch(title: str, what: str, rows: Sequence[Row], chosen: Mapping[str, tuple[str, str, RowValue]]) -> go.Figure:
    by_model = grouped(rows, "model")
    models, left = legible(by_model)
    looks, stops, about = style(models), {}, f"{left}{what} {_trainings(by_model)}."
    for label, (axis, form, value) in chosen.items():
        lines = {model: _means(by_model[model], value) for model in models}
        data: list[Trace] = [{"x": epochs, "y": means} for epochs, means in lines.values()]
        last = " ".join(_ends(model, line, form) for model, line in lines.items())
        stops[label] = Stop(data, f"{about} {last}", {"yaxis.title.text": axis})
    figure = new_figure(title, "", "epoch", next(iter(chosen.values()))[0])
    traces = []
    for model in models:
        trace = accuracy_trace(model, model, **looks[model])
        del trace["error_y"]
        traces.append(trace | {"hovertemplate": f"{escape(model)}<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>"})
    slide(figure, traces, "showing ", stops, 0)
    return figure


def _trainings(by_model: Mapping[str, Sequence[Row]]) -> str:
    """How many models were trained for how long, those of another length apart.

    >>> _trainings({"a": [{"epoch": 16, "clips": 100}], "b": [{"epoch": 12, "clips": 400}]})
    'of 2 models: 1 over 16 epochs of 100 clips, 1 over 12 epochs of 400 clips'
    >>> _trainings({"a": [{"epoch": 1, "clips": 96}]})
    'of one model over 1 epoch of 96 clips'
    """
    lengths: dict[tuple[int, int], int] = {}
    for rows in by_model.values():
        length = max(row["epoch"] for row in rows), max(row["clips"] for row in rows)
        lengths[length] = lengths.get(length, 0) + 1
    of = f"of {len(by_model)} models" if len(by_model) != 1 else "of one model"
    parts = [
        (number, f"over {counted(epochs, 'epoch')} of {counted(clips, 'clip')}")
        for (epochs, clips), number in lengths.items()
    ]
    if len(parts) == 1:
        return f"{of} {parts[0][1]}"
    return f"{of}: " + ", ".join(f"{number} {length}" for number, length in parts)


def _means(rows: Sequence[Row], value: RowValue) -> Line:
    """Mean over the seeds, epoch by epoch; an epoch without an attack has no ε, α and i."""
    by_epoch = grouped(rows, "epoch")
    epochs, means = sorted(by_epoch), []
    for epoch in epochs:
        values = [one for row in by_epoch[epoch] if (one := value(row)) is not None]
        means.append(float(np.mean(values)) if values else None)
    return epochs, means


def _ends(model: str, line: Line, form: str) -> str:
    known = [value for value in line[1] if value is not None]
    if not known:
        return f"{model}: none."
    return f"{model}: {form.format(known[0])} to {form.format(known[-1])}."


def epoch_plots(kind: str) -> Callable[[Sequence[Row]], list[Plot]]:
    """The training loss, or the ε as drawn, for papers."""
    name, chosen = {"loss": ("training-loss", _TRAINED["loss"]), "eps": ("schedules-eps", _SCHEDULED["ε"])}[kind]
    axis, _, value = chosen

    def plots(rows: Sequence[Row]) -> list[Plot]:
        found = of_kind(rows, "epoch")
        found = _attacked(found) if kind == "eps" else found
        by_model = grouped(found, "model")
        looks = style(model_order(by_model))

        def draw(axes: Any) -> None:
            for model in model_order(by_model):
                epochs, means = _means(by_model[model], value)
                look = looks[model]
                axes.plot(epochs, means, label=model, color=look["colour"], marker=MARKERS[look["symbol"]])
            axes.set(xlabel="epoch", ylabel=axis)

        return [Plot(name, draw)] if found else []

    return plots


def training_series(rows: Sequence[Row]) -> list[Series]:
    """The training loss of each model's first seed."""
    by_model = grouped(of_kind(rows, "epoch"), "model")
    found = []
    for model in model_order(by_model):
        seed = min(row["seed"] for row in by_model[model])
        mine = sorted((row for row in by_model[model] if row["seed"] == seed), key=lambda row: row["epoch"])
        found.append(Series(f"training loss, {model}, seed {seed}", [row["loss"] for row in mine]))
    return found


SCHEDULES_FIGURE = Figure(
    "schedules",
    "Schedules as drawn",
    "Schedules",
    "epoch",
    "The attack that the batches of each epoch were trained under, mean over the seeds.",
    lambda rows: [Panel("schedules", schedules(rows))],
    plots=epoch_plots("eps"),
    step="training curves",
)
TRAINING_FIGURE = Figure(
    "training",
    "Training",
    "Training",
    "epoch",
    "Mean over the batches of each epoch, as the attack left them, then over the seeds.",
    lambda rows: [Panel("training", training(rows))],
    plots=epoch_plots("loss"),
    series=training_series,
    step="training curves",
)


# ------------------------------------------------------------------------------------------------------- watched


def watched(rows: Iterable[Row]) -> go.Figure:
    """Train and validation by epoch on the same footing, with a slider over what is drawn.

    Raises:
        MissingRowsError: no training was watched.
    """
    found = of_kind(rows, "watch")
    if not found:
        raise MissingRowsError("no training was watched: `vidrobust train` does so unless --watch.every is 0.")
    by_pair = grouped(found, "model", "split")
    models, left = legible(model for model, _ in by_pair)
    pairs = [(model, split) for model in models for split in SPLITS]
    lines = {pair: grouped(by_pair.get(pair, ()), "epoch") for pair in pairs}
    attacks = list(dict.fromkeys(f"PGD(ε={row['eps']:g},α={row['alpha']:g},i={row['steps']})" for row in found))
    attack = attacks[0] if len(attacks) == 1 else "PGD, of each training its own,"
    stops = {}
    for name, (label, axis, what) in _WATCHED.items():
        points = [] if name.endswith("loss") else [_watched_points(lines[pair], name) for pair in pairs]
        data = [_watched_shares(some) for some in points] or [_watched_losses(lines[pair], name) for pair in pairs]
        bars = f"; bars: {intervals_of(chain(*points))}" if points else ""
        ends = zip(pairs, data, strict=True)
        last = " ".join(f"{model}, {split}: {one['text'][-1]}." for (model, split), one in ends if one["text"])
        alt = f"{left}{what.format(attack=attack)} by epoch{bars}. {last}"
        stops[label] = Stop(data, alt, {"yaxis.title.text": axis})
    figure = new_figure(f"Watched under {attack}", "", "epoch", _WATCHED["robust"][1])
    slide(figure, _pair_traces(pairs, lambda model, split: f"{model}, {split}"), "showing ", stops, 0)
    return figure


_WATCHED = {
    "robust": ("several steps", "accuracy under PGD (%)", "Accuracy under {attack}"),
    "single": ("one step", "accuracy under one step of ε (%)", "Accuracy under one step of ε"),
    "clean": ("clean", "clean accuracy (%)", "Clean accuracy"),
    "robust_loss": ("robust loss", "loss under PGD", "Loss under {attack}"),
    "loss": ("clean loss", "clean loss", "Clean loss"),
}
"""What the slider moves between: its label, the axis, and how the caption calls it."""


def _watched_losses(by_epoch: Mapping[int, Sequence[Row]], name: str) -> Trace:
    """Mean losses of all seeds, epoch by epoch."""
    epochs = sorted(by_epoch)
    means = [float(np.mean([row[name] for row in by_epoch[epoch]])) for epoch in epochs]
    texts = [f"epoch {epoch}: {mean:.3f}" for epoch, mean in zip(epochs, means, strict=True)]
    none = [0.0] * len(epochs)
    return {"x": epochs, "y": means, "error_y.array": none, "error_y.arrayminus": none, "text": texts}


def _watched_points(by_epoch: Mapping[int, Sequence[Row]], name: str) -> list[Point]:
    """One of the counts of all seeds, epoch by epoch."""
    return [
        counted_point(epoch, by_epoch[epoch], [row[name] for row in by_epoch[epoch]], name)
        for epoch in sorted(by_epoch)
    ]


def _watched_shares(points: Sequence[Point]) -> Trace:
    bounds = [(100 * low, 100 * high) for low, high in (point.interval for point in points)]
    shares = [100 * point.accuracy for point in points]
    return {
        "x": [point.x for point in points], "y": shares,
        "error_y.array": [high - one for (_, high), one in zip(bounds, shares, strict=True)],
        "error_y.arrayminus": [one - low for (low, _), one in zip(bounds, shares, strict=True)],
        "text": [
            f"epoch {point.x:g}: {one:.1f} % ({low:.1f} to {high:.1f} over {point.over}), {point.clips} clips"
            for point, one, (low, high) in zip(points, shares, bounds, strict=True)
        ],
    }  # fmt: skip


def _pair_traces(pairs: Sequence[tuple[str, str]], name: Callable[[str, str], str]) -> list[Trace]:
    """A trace for training and one for validation of each model: one colour, told apart by symbol and dash."""
    looks = (("circle", "solid"), ("diamond-open", "dash"))
    return [
        accuracy_trace(name(model, split), model, COLOURS[number // 2 % len(COLOURS)], *looks[number % 2])
        for number, (model, split) in enumerate(pairs)
    ]


def _endings(rows: Sequence[Row]) -> list[str]:
    """How trainings ended that did not run to their last epoch."""
    ended = [row for row in rows if row["kind"] in ("stopped", "fallback")]
    return [f"{row['kind']} after epoch {row['epoch']}: {row['reason']}" for row in ended]


WATCHED_FIGURE = Figure(
    "watched",
    "Training, watched",
    "Watched",
    "watch",
    "After each epoch, in evaluation mode, on the same centre clips of train and validation, under the same attack. "
    "Bars: 95 % intervals, clustered by source and seed where the rows tell the sources. Test clips are not looked at.",
    lambda rows: [Panel("watched", watched(rows))],
    notes=_endings,
)


# ----------------------------------------------------------------------------------------------------------- gap


def gap(rows: Iterable[Row]) -> go.Figure:
    """Train and validation accuracy by epoch, with a slider over ε.

    The published run took 175 epochs: its curves are drawn on an axis of their own, at the top.
    """
    curves = gap_curves(rows)
    if not curves:
        raise MissingRowsError(f"no accuracies by epoch: step 7 (generalisation gap) is missing. {MISSING_STEP}")
    (models, left), every = legible(curve.model for curve in curves), sorted({curve.eps or 0.0 for curve in curves})
    pairs = [(model, split) for model in models for split in SPLITS]
    found = {((curve.model, curve.split), curve.eps or 0.0): curve for curve in curves}
    stops = {}
    for eps in every:
        chosen = {pair: found[pair, eps] for pair in pairs if (pair, eps) in found}
        data = [
            accuracy_data(chosen[pair].points if pair in chosen else (), f"{pair[0]}, {SPLITS[pair[1]]}", "epoch")
            for pair in pairs
        ]
        data += [published_data(published.gap_numbers().get((eps, split), {}), name) for split, name in SPLITS.items()]
        stops[f"ε={eps:g}"] = Stop(data, left + _gap_alt(eps, list(chosen.values())))
    figure = new_figure("Generalisation gap", "", "epoch", "accuracy (%)", yaxis_range=[-2, 102])
    traces = _pair_traces(pairs, lambda model, split: f"{model}, {SPLITS[split]}")
    for (_, name), dash in zip(SPLITS.items(), ("dash", "dot"), strict=True):
        look = {"xaxis": "x2", "line": {"color": GREY, "dash": dash, "width": 1.5}}
        traces.append(published_trace(name, published.GAP_MODEL, hovertemplate="%{text}<extra></extra>", **look))
    top = {"overlaying": "x", "side": "top", "title": {"text": "epoch (published)"}, "showgrid": False, "dtick": 25}
    figure.update_layout(xaxis2=top)
    slide(figure, traces, "under PGD at ", stops, 0)
    return figure


def _gap_alt(eps: float, curves: Sequence[Curve]) -> str:
    steps = " and ".join(f"i={steps}" for steps in sorted({curve.steps for curve in curves}))
    points = [point for curve in curves for point in curve.points]
    clips, bars = clip_counts(points), intervals_of(points)
    said = " ".join(
        f"{curve.model}, {SPLITS[curve.split]}: {100 * curve.points[-1].accuracy:.0f} % at the end." for curve in curves
    )
    summary = f"Accuracy by epoch on training and validation clips, {clips} each, under PGD({steps}) at ε={eps:g}"
    return f"{summary}; bars: {bars}. {said}"


def gap_plots(rows: Sequence[Row]) -> list[Plot]:
    """Train and validation accuracy by epoch for papers, a drawing for each ε."""
    curves = gap_curves(rows)
    models = model_order(curve.model for curve in curves)

    def draw(eps: float, axes: Any) -> None:
        for curve in (curve for curve in curves if curve.eps == eps):
            colour, trained = COLOURS[models.index(curve.model) % len(COLOURS)], curve.split == "train"
            name = f"{curve.model}, {SPLITS.get(curve.split, curve.split)}"
            plot_curve(axes, curve, name, colour, "o" if trained else "D", "-" if trained else "--")
        axes.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(-2, 102))

    every = sorted({curve.eps or 0.0 for curve in curves})
    return [Plot(f"gap-eps{eps:g}", lambda axes, eps=eps: draw(eps, axes)) for eps in every]


GAP_FIGURE = Figure(
    "gap",
    "Generalisation gap",
    "Gap",
    "gap",
    "The same training and validation clips attacked after every few epochs. Bars: 95 % intervals, "
    "clustered by source and seed where the rows tell the sources.",
    lambda rows: [Panel("gap", gap(rows))],
    plots=gap_plots,
    step="generalisation gap",
)
