"""One offline page of a run: what was studied, how robust it is, whether to trust it, figures and clips to watch.

The page is made from the run directory alone, without torch, and makes no network request. Everything that comes from a
run (class and file names above all) reaches the page through :func:`text` or :func:`embedded_json`, as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from vidrobust import figures, published
from vidrobust.analysis import CONTROLS, MissingRowsError, interval, surface_eps
from vidrobust.claims import Claim, claims
from vidrobust.curves import (
    Point,
    evaluated,
    evaluated_split,
    evaluation_steps,
    masking_flags,
    model_order,
    of_kind,
    pooled,
    robustness_curves,
)
from vidrobust.errors import RunError
from vidrobust.gallery import watchable
from vidrobust.markup import Html, embedded_json, packed_plotly, table, tag, text
from vidrobust.runs import Run, package_version, read_lines, write_atomic

Row = dict[str, Any]


class _Page:
    """What the sections of a page have in common: its figures and clips, each stored once."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.clips: list[list[Row]] = []


def report(run_dirs: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write one offline HTML page of one or several runs.

    Args:
        run_dirs: run directories, one section each; runs that are not finished show what they have.
        out: the file to write; ``report.html`` in the first run directory if not given.

    Returns:
        The file written.

    Raises:
        RunError: a folder is not a run directory or damaged, or the page cannot be written.
    """
    runs = [Run.open(path) for path in ([run_dirs] if isinstance(run_dirs, (str, Path)) else run_dirs)]
    if not runs:
        raise RunError("no run directory given. Give at least one folder that a vidrobust command wrote with --out.")
    page = _Page()
    body = "\n".join(_section(run, page) for run in runs)
    target = Path(out) if out is not None else runs[0].path / "report.html"
    write_atomic(target, _assemble(runs, body, page).encode())
    return target


def _assemble(runs: Sequence[Run], body: str, page: _Page) -> str:
    resources = files("vidrobust") / "page"
    template, css, js = (
        (resources / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")
    )
    names = ", ".join(run.path.resolve().name for run in runs)
    values = {
        "version": escape(package_version()), "title": escape(f"vidrobust: {names}"), "css": css, "js": js,
        "body": body, "source": escape(published.SOURCE), "figures": embedded_json(page.figures),
        "clips": embedded_json(page.clips), "plotly": packed_plotly() if page.figures else "",
    }  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], template)  # one pass: braces inside the values stay


def _policy(model: str) -> Html:
    """A model's name, which a narrow column may break between its parameters only."""
    return tag("span", Html(re.sub(r",(?=[αi])", ",<wbr>", text(model))), "policy")


def _missing(what: object) -> Html:
    told = str(what)
    return tag("p", told[:1].upper() + told[1:], "missing")


# ----------------------------------------------------------------------------------------------------- sections


def _section(run: Run, page: _Page) -> str:
    rows = run.rows()
    judged = claims(rows)
    parts: list[tuple[str, Callable[[], Html]]] = [
        ("Robustness", lambda: _accuracies(rows)),
        ("Claims of the slides", lambda: _claims(judged, run.kind)),
        ("Checks for masked gradients", lambda: _checks(rows)),
        ("Sensitivity of PGD's parameters", lambda: _sensitivity(rows, page)),
        ("Optimal step size", lambda: _figure(page, figures.step_size, rows)),
        ("Training", lambda: _figure(page, figures.training, rows)),
        ("Accuracy under attack", lambda: _figure(page, figures.robustness, rows)),
        ("Generalisation gap", lambda: _figure(page, figures.gap, rows)),
        ("Advantage against difficulty", lambda: _figure(page, figures.difficulty, rows)),
        ("Clips to watch", lambda: _gallery(run, rows, page)),
        ("How this was made", lambda: _made(run, rows)),
    ]
    made = [(title, part()) for title, part in parts]
    if run.kind != "study":  # a single step was never meant to have the others
        made = [(title, html) for title, html in made if not html.startswith('<p class="missing">')]
    body = "".join(f"<h2>{text(title)}</h2>\n{html}\n" for title, html in made)
    return f"<section>\n{_first_screen(run, rows, judged)}\n{body}</section>"


def _first_screen(run: Run, rows: Sequence[Row], judged: Sequence[Claim]) -> Html:
    data = next(iter(of_kind(rows, "dataset")), None)
    flags = masking_flags(rows)
    counts = [
        f"{sum(one.verdict == verdict for one in judged)} {verdict}"
        for verdict in ("reproduced", "not reproduced", "undecided")
    ]
    told = [
        tag("h1", f"Adversarial robustness of video classifiers: {data['name'] if data else run.path.resolve().name}"),
        tag("p", f"Run {run.path.resolve().name} ({run.kind}). {_studied(rows)}", "lead"),
        _data(data) if data else _missing("no data row: step 1 (data) is missing."),
    ]
    if run.kind == "study":
        told.append(tag("p", f"Claims of the slides: {', '.join(counts)}."))
    if flags:
        passed = sum(flag.passed for flag in flags)
        told.append(tag("p", f"Checks for masked gradients: {passed} of {len(flags)} passed."))
    lacking = _lacking(rows)
    if lacking and run.kind == "study":
        told.append(_missing(f"This run lacks: {', '.join(lacking)}. {figures.MISSING_STEP}"))
    return Html("\n".join(told))


_STEPS = {
    "dataset": "data", "accuracy": "standard accuracy", "trajectory": "sensitivity", "step_size": "α* against ε",
    "epoch": "training curves", "robustness": "accuracy against ε", "masking": "checks for masked gradients",
    "gap": "generalisation gap", "example": "clips to watch",
}  # fmt: skip


def _lacking(rows: Sequence[Row]) -> list[str]:
    present = {row["kind"] for row in rows}
    return [name for kind, name in _STEPS.items() if kind not in present]


def _studied(rows: Sequence[Row]) -> str:
    models = model_order(row["model"] for row in rows if "model" in row and row["kind"] in ("accuracy", "robustness"))
    if not models:
        return "No model has been evaluated yet."
    told = f"{len(models)} models, {len(models) - len(set(models) & set(CONTROLS))} of them adversarially trained."
    steps = evaluation_steps(rows)
    curves = [c for c in robustness_curves(rows) if c.steps == steps[-1] and c.model not in CONTROLS] if steps else []
    common = [eps for eps in (4, 8, 2) if curves and all(any(p.x == eps for p in c.points) for c in curves)]
    if common:
        best = max(curves, key=lambda curve: next(p.accuracy for p in curve.points if p.x == common[0]))
        point = next(p for p in best.points if p.x == common[0])
        share = _share(point.correct, point.clips)
        told += f" Most robust at ε={common[0]}/255 under PGD(i={steps[-1]}): {best.model}, {share}."
    return told


def _share(correct: int, clips: int) -> str:
    low, high = interval(correct, clips)
    return f"{100 * correct / clips:.1f} % ({100 * low:.1f} to {100 * high:.1f}, {clips} clips)"


def _data(row: Row) -> Html:
    clips = ", ".join(f"{count} {split}" for split, count in row["clips"].items())
    groups = ", ".join(f"{count} {split}" for split, count in (row.get("groups") or {}).items())
    contrast = row.get("contrast")
    told = f"Data: {len(row['classes'])} classes ({', '.join(map(str, row['classes']))}); clips: {clips}"
    told += f" from groups: {groups}" if groups else ""
    told += f"; {row['frames']} frames of {row['size']}×{row['size']} pixels"
    told += f", contrast {contrast[0]:g} to {contrast[1]:g}." if contrast else "."
    skipped = row.get("skipped") or []
    if not skipped:
        return Html(tag("p", told) + tag("p", "No file was skipped.", "soft"))
    listed = table(("File", "Reason"), [(one["file"], one["reason"]) for one in skipped], "Skipped files")
    return Html(f"{tag('p', told)}<details><summary>Skipped files: {len(skipped)}</summary>{listed}</details>")


def _accuracies(rows: Sequence[Row]) -> Html:
    told, split = [_clean_table(rows)], evaluated_split(rows)
    for steps in evaluation_steps(rows):
        chosen = evaluated(rows, steps, split=split)
        eps = sorted({row["eps"] for row in chosen})
        lines = []
        for model in model_order(row["model"] for row in chosen):
            points = [_cell([row for row in chosen if (row["model"], row["eps"]) == (model, e)]) for e in eps]
            seeds = len({row["seed"] for row in chosen if row["model"] == model})
            lines.append([_policy(model), seeds, *points])
        caption = (
            f"Accuracy (%) on {split} clips under PGD(i={steps}) by ε in 1/255, 95 % intervals, clips; seeds pooled"
        )
        told.append(table(["Model", "Seeds", *(f"ε={e:g}" for e in eps)], lines, caption, "grid"))
    if not evaluation_steps(rows):
        told.append(
            _missing(f"No accuracies under attack: step 6 (accuracy against ε) is missing. {figures.MISSING_STEP}")
        )
    return Html("\n".join(told))


def _cell(rows: Sequence[Row]) -> Html:
    if not rows:
        return Html("–")
    point: Point = pooled(rows[0]["eps"], rows)
    low, high = point.interval
    return Html(
        f"{100 * point.accuracy:.1f} <small>({100 * low:.1f}–{100 * high:.1f})<br>"
        f"{point.correct} of {point.clips}</small>"
    )


def _clean_table(rows: Sequence[Row]) -> Html:
    found = of_kind(rows, "accuracy")
    if not found:
        return _missing("No clean accuracies: step 2 (standard training) is missing.")
    splits = [split for split in ("train", "val", "test") if any(row["split"] == split for row in found)]
    k = max(row["k"] for row in found)
    lines = []
    for model in model_order(row["model"] for row in found):
        mine = [row for row in found if row["model"] == model]
        cells = [_clean_cell([row for row in mine if row["split"] == split]) for split in splits]
        lines.append([_policy(model), len({row["seed"] for row in mine}), *cells])
    head = ["Model", "Seeds", *(f"{split}: top-1 / top-{k}" for split in splits)]
    listed = table(head, lines, "Accuracy (%) on clean clips, with 95 % intervals and clips, seeds pooled", "grid")
    return Html(listed + _single_frame(rows, found))


def _clean_cell(rows: Sequence[Row]) -> Html:
    if not rows:
        return Html("–")
    clips = sum(row["clips"] for row in rows)
    shares = []
    for name in ("top1", "top5"):
        correct = sum(row[name] for row in rows)
        low, high = interval(correct, clips)
        shares.append(f"{100 * correct / clips:.1f} <small>({100 * low:.1f}–{100 * high:.1f})</small>")
    return Html(f"{' / '.join(shares)}<br><small>{clips} clips</small>")


def _single_frame(rows: Sequence[Row], found: Sequence[Row]) -> Html:
    control = [row for row in found if row["model"] == "single frame" and row["split"] == "test"]
    data = next(iter(of_kind(rows, "dataset")), None)
    if not control or not data:
        return _missing("The single-frame control, which shows whether motion is needed, is missing.")
    correct, clips, chance = sum(r["top1"] for r in control), sum(r["clips"] for r in control), 1 / len(data["classes"])
    low, high = interval(correct, clips)
    verdict = (
        "above chance: part of the task can be told from one frame"
        if low > chance
        else "not above chance: motion is needed"
    )
    share = _share(correct, clips)
    told = f"Single-frame control (sees no motion): {share}; chance is {100 * chance:.1f} %, so it is {verdict}."
    return tag("p", told if high >= chance else told + " It is below chance.")


def _claims(judged: Sequence[Claim], kind: str) -> Html:
    if kind != "study":
        judged = [one for one in judged if one.value is not None]
    if not judged:
        return _missing("this run has no rows that any claim is about.")
    lines = []
    for one in judged:
        over = (f"seeds: {one.seeds}, " if one.seeds else "") + f"clips: {one.clips}"
        verdict = tag("span", one.verdict, f"verdict {one.verdict.replace(' ', '-')}")
        lines.append((
            one.statement,
            Html(f"{verdict}<br><small>{text(one.reason)}</small>"),
            Html(f"{text(one.statistic)}<br><small>{text(over)}</small>"),
            one.published,
        ))  # fmt: skip
    head = ("Claim", "Verdict", "Statistic (95 % interval)", "Published")
    return table(
        head, lines, "What this run says of each claim; computed from its rows, the published numbers take no part"
    )


def _checks(rows: Sequence[Row]) -> Html:
    flags = masking_flags(rows)
    if not flags:
        return _missing(f"No checks: the robustness and masking rows are missing. {figures.MISSING_STEP}")
    failed = [flag for flag in flags if not flag.passed]
    lines = [
        (flag.model, flag.check, tag("span", *_PASSED[flag.passed]), flag.sentence)
        for flag in sorted(flags, key=lambda f: f.passed)
    ]
    told = "All pass."
    if failed:
        models = ", ".join(model_order(flag.model for flag in failed))
        told = f"{len(failed)} of {len(flags)} do not pass: the accuracies of {models} may overstate robustness."
    listed = table(
        ("Model", "Check", "Outcome", "Measured"), lines, "Checks; 3 % of the clips may go against one by chance"
    )
    return Html(f"{tag('p', told)}<details><summary>{len(flags)} checks</summary>{listed}</details>")


_PASSED = {True: ("passed", "verdict passed"), False: ("not passed", "verdict failed")}


# ------------------------------------------------------------------------------------------------------ figures


def _figure(page: _Page, draw: Callable[..., Any], *arguments: Any) -> Html:
    """Store a figure in the page and give the element that it is drawn into, or say what is missing."""
    try:
        figure = draw(*arguments)
    except MissingRowsError as error:
        return _missing(error)
    spec = json.loads(figure.to_json())
    spec["layout"].pop("template", None)  # the page's script brings light and dark ones
    key, alt = f"figure-{len(page.figures)}", spec["layout"]["meta"]["alt"]
    caption = alt if len(alt) < 300 else alt.split(". ")[0] + "."  # a sentence for every model is for screen readers
    page.figures[key] = spec
    return Html(
        f'<figure data-figure="{key}"><div class="slide"></div>'
        f'<div class="plot waiting" role="img" aria-label="{text(alt)}"></div>'
        '<ul class="legend" aria-label="legend: press to isolate"></ul>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _sensitivity(rows: Sequence[Row], page: _Page) -> Html:
    every = surface_eps(rows)
    if not every:
        return _missing(f"No trajectories: step 3 (sensitivity) is missing. {figures.MISSING_STEP}")
    ours = "".join(f"<div><h3>ε = {eps:g}</h3>{_figure(page, figures.sensitivity, rows, eps)}</div>" for eps in every)
    theirs = "".join(
        f"<div><h3>published (slides): ε = {eps:g}</h3>{_figure(page, figures.published_sensitivity, eps)}</div>"
        for eps in every
        if published.sensitivity(eps)
    )
    return Html(f'<div class="pair">{ours}</div><div class="published-only"><div class="pair">{theirs}</div></div>')


def _gallery(run: Run, rows: Sequence[Row], page: _Page) -> Html:
    clips, troubles = watchable(run, of_kind(rows, "example"))
    told = "".join(_missing(trouble) for trouble in troubles)
    if not clips:
        return Html(
            told or _missing(f"no clips to watch: the step that stores examples is missing. {figures.MISSING_STEP}")
        )
    page.clips.append(clips)
    player = (files("vidrobust") / "page" / "player.html").read_text(encoding="utf-8")
    return Html(player.replace("{number}", str(len(page.clips) - 1)) + told)


# ------------------------------------------------------------------------------------------------- how it was made


def _made(run: Run, rows: Sequence[Row]) -> Html:
    source = run.provenance
    facts = [
        (name, value if not isinstance(value, dict) else ", ".join(f"{k} {v}" for k, v in value.items()))
        for name, value in source.items()
    ]
    config = json.dumps(run.config, indent=1, sort_keys=True, ensure_ascii=False)
    counts = ", ".join(
        f"{sum(row['kind'] == kind for row in rows)} {kind}" for kind in dict.fromkeys(row["kind"] for row in rows)
    )
    return Html(
        tag("p", f"Command: {source.get('command', 'unknown')}")
        + tag("p", f"Rows: {counts or 'none'}.", "soft")
        + f"<details><summary>Provenance</summary>{table(('What', 'Value'), facts, 'Where this came from')}</details>"
        + f"<details><summary>Configuration</summary><pre>{text(config)}</pre></details>"
        + _timings(run)
    )


def _timings(run: Run) -> Html:
    rows = [row for file in sorted(run.path.glob("jobs/*/timings.jsonl")) for row in read_lines(file)]
    if not rows:
        return tag("p", "No timings were kept.", "soft")
    rows.sort(key=lambda row: -row["seconds"])
    lines = [[row["title"], f"{row['seconds']:.1f}", f"{row['cpu_seconds']:.1f}", row["gradients"]] for row in rows]
    told = f"Timings and cost: {len(rows)} jobs, {sum(row['seconds'] for row in rows) / 60:.1f} minutes of work"
    listed = table(("Job", "Seconds", "CPU seconds", "Clip gradients"), lines, "What each job cost")
    return Html(f"<details><summary>{text(told)}</summary>{listed}</details>")
