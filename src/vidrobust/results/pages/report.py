"""One offline page of a run: what was studied, how robust it is, whether to trust it, figures and clips to watch.

The page is made from the run directory alone, without torch, and makes no network request. Everything that comes from a
run (class and file names above all) reaches the page through :mod:`vidrobust.results.pages.markup`, as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from vidrobust.errors import RunError
from vidrobust.results import figures
from vidrobust.results.numbers.claims import Claim, claims
from vidrobust.results.numbers.compare import config_table, differences
from vidrobust.results.numbers.selection import MissingRowsError, of_kind
from vidrobust.results.numbers.sensitivity import surface_eps
from vidrobust.results.pages import sections
from vidrobust.results.pages.drawings import Board, resource, scripts
from vidrobust.results.pages.markup import Html, missing, policy, table, tag, text
from vidrobust.results.pages.overview import overview
from vidrobust.results.published import numbers as published
from vidrobust.runs.directory import Run
from vidrobust.runs.files import write_atomic
from vidrobust.runs.provenance import package_version
from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class Shown:
    """A run with what its page needs, read once."""

    run: Run
    label: str
    """How it is told from the other runs of the page."""

    @cached_property
    def rows(self) -> list[Row]:
        return self.run.rows()

    @cached_property
    def judged(self) -> list[Claim]:
        return claims(self.rows)


Part = Callable[[Shown, Board], Html]


def report(run_dirs: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write one offline HTML page of one or several runs.

    Args:
        run_dirs: run directories, side by side in every part; runs that are not finished show what they have.
        out: the file to write; ``report.html`` in the first run directory if not given.

    Returns:
        The file written.

    Raises:
        RunError: a folder is not a run directory or damaged, or the page cannot be written.
    """
    runs = [Run.open(path) for path in ([run_dirs] if isinstance(run_dirs, (str, Path)) else run_dirs)]
    if not runs:
        raise RunError("no run directory given. Give at least one folder that a vidrobust command wrote with --out.")
    shown = [Shown(run, label) for run, label in zip(runs, _labels(runs), strict=True)]
    board = Board()
    body, contents = _body(shown, board)
    target = Path(out) if out is not None else runs[0].path / "report.html"
    write_atomic(target, _assemble(shown, body, contents, board).encode())
    return target


def _labels(runs: Sequence[Run]) -> list[str]:
    names = [run.path.resolve().name for run in runs]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return names if len(runs) == 1 else [f"{letters[n % 26]}: {name}" for n, name in enumerate(names)]


def _assemble(shown: Sequence[Shown], body: str, contents: str, board: Board) -> str:
    names = ", ".join(one.run.path.resolve().name for one in shown)
    values = {
        "version": escape(package_version()), "title": escape(f"vidrobust: {names}"), "css": resource("page.css"),
        "js": scripts("common.js", "figures.js", "player.js", "page.js"), "body": body, "contents": contents,
        "source": escape(published.SOURCE), "wide": " several" if len(shown) > 1 else "", **board.data(),
    }  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], resource("page.html"))  # one pass: inner braces stay


# ------------------------------------------------------------------------------------------------------- the parts


def _body(shown: Sequence[Shown], board: Board) -> tuple[str, str]:
    """The sections of the page and the links to them; a part that no run was meant to have is left out."""
    made = [("overview", _title(shown), _side_by_side(shown, board, _overview))]
    if len(shown) > 1:
        made.append(("differences", "What differs", _differences(shown)))
    for key, title, part in PARTS:
        html = _side_by_side(shown, board, part)
        if html:
            made.append((key, title, html))
    body = "\n".join(
        f'<section id="{key}">\n<h{n}>{text(title)}</h{n}>\n{html}\n</section>'
        for key, title, html in made
        for n in [1 if key == "overview" else 2]
    )
    links = [(key, "Overview" if key == "overview" else _SHORT.get(key, title)) for key, title, _ in made]
    return body, "".join(f'<li><a href="#{key}">{text(title)}</a></li>' for key, title in links)


def _title(shown: Sequence[Shown]) -> str:
    data = [next(iter(of_kind(one.rows, "dataset")), None) for one in shown]
    names = [row["name"] if row else one.run.path.resolve().name for row, one in zip(data, shown, strict=True)]
    return f"Adversarial robustness of video classifiers: {', '.join(dict.fromkeys(names))}"


def _side_by_side(shown: Sequence[Shown], board: Board, part: Part) -> str:
    """One part of every run; a single step was never meant to have those of a study."""
    made = [part(one, board) for one in shown]
    if all(
        html.startswith('<p class="missing">') and one.run.kind != "study"
        for one, html in zip(shown, made, strict=True)
    ):
        return ""
    if not any(made):
        return ""
    if len(shown) == 1:
        return made[0]
    columns = (
        f'<div class="run"><h3 class="run-name">{text(one.label)}</h3>{html or missing("Not in this run.")}</div>'
        for one, html in zip(shown, made, strict=True)
    )
    return f'<div class="runs">{"".join(columns)}</div>'


def _overview(one: Shown, board: Board) -> Html:
    return overview(one.run, one.rows, one.judged)


def _drawn(name: str, draw: Callable[..., Any]) -> Part:
    return lambda one, board: board.figure(name, draw, one.run, one.rows)


def _sensitivity(one: Shown, board: Board) -> Html:
    every = surface_eps(one.rows)
    if not every:
        return missing(f"No trajectories: step 3 (sensitivity) is missing. {figures.MISSING_STEP}")
    told = []
    for eps in every:
        solid = board.figure(f"sensitivity {eps:g} surface", figures.sensitivity, one.run, one.rows, eps)
        flat = board.figure(f"sensitivity {eps:g} map", figures.sensitivity_map, one.run, one.rows, eps)
        told.append(f'<h3>ε = {eps:g}</h3><div class="pair">{solid}{flat}</div>')
        if published.sensitivity(eps):
            theirs = board.figure(f"published {eps:g}", figures.published_sensitivity, one.run, None, eps)
            told.append(f'<div class="published-only"><h4>published (slides): ε = {eps:g}</h4>{theirs}</div>')
    return Html("".join(told))


def _defences(one: Shown, board: Board) -> Html:
    return Html(board.figure("robustness", figures.robustness, one.run, one.rows) + sections.robust_tables(one.rows))


def _radar(one: Shown, board: Board) -> Html:
    try:
        figures.radar(one.rows)
    except MissingRowsError:
        return Html("")  # no step of the study: only `vidrobust evaluate` makes these rows
    theirs = board.figure("published radar", figures.published_radar, one.run, None)
    ours = board.figure("radar", figures.radar, one.run, one.rows)
    return Html(f'{ours}<div class="published-only"><h4>published (slides)</h4>{theirs}</div>')


def _training(one: Shown, board: Board) -> Html:
    drawn = board.figure("training", figures.training, one.run, one.rows)
    if not of_kind(one.rows, "watch"):
        return drawn
    ended = [f"{row['kind']} after epoch {row['epoch']}: {row['reason']}" for row in one.rows if "reason" in row]
    told = Html("".join(tag("p", text) for text in ended))
    return Html(f"{drawn}{board.figure('watched', figures.watched, one.run, one.rows)}{told}")


def _views(one: Shown, board: Board) -> Html:
    if not of_kind(one.rows, "views"):
        return Html("")  # no step of the study: only `vidrobust evaluate --views` makes these rows
    return Html(board.figure("views", figures.views, one.run, one.rows) + sections.views_tables(one.rows))


def _difficulty(one: Shown, board: Board) -> Html:
    return (
        board.figure("difficulty", figures.difficulty, one.run, one.rows)
        if of_kind(one.rows, "difficulty")
        else Html("")
    )


PARTS: tuple[tuple[str, str, Part], ...] = (
    ("standard", "Standard training, and every model without attack", lambda one, _: sections.clean_table(one.rows)),
    ("sensitivity", "Sensitivity of PGD's parameters", _sensitivity),
    ("step-size", "Optimal step size", _drawn("step-size", figures.step_size)),
    ("accuracy", "Accuracy under attack", _defences),
    ("schedules", "Schedules as drawn", _drawn("schedules", figures.schedules)),
    ("training", "Training", _training),
    ("gap", "Generalisation gap", _drawn("gap", figures.gap)),
    ("radar", "Several attacks", _radar),
    ("views", "Clips and whole videos", _views),
    ("difficulty", "Advantage against difficulty", _difficulty),
    ("clips", "Clips to watch", lambda one, board: board.player(one.run, one.rows)),
    ("claims", "Claims of the slides", lambda one, board: sections.claim_table(one.judged, one.run.kind)),
    ("checks", "Checks for masked gradients", lambda one, board: sections.checks(one.rows)),
    ("cost", "Cost", lambda one, board: sections.cost_table(one.run)),
    ("origin", "How this was made", lambda one, board: sections.origin(one.run, one.rows)),
)  # fmt: skip
"""The parts below the first screen, in the order of the slides."""

_SHORT = {
    "differences": "Differences", "standard": "Standard", "sensitivity": "Sensitivity", "step-size": "α*",
    "accuracy": "Defences", "schedules": "Schedules", "gap": "Gap", "radar": "Attacks", "views": "Videos",
    "difficulty": "Difficulty", "clips": "Clips", "claims": "Claims", "checks": "Checks", "origin": "Made how",
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------ differences


def _differences(shown: Sequence[Shown]) -> str:
    """What differs in the configurations, then the accuracies of each further run minus those of the first."""
    lines = [(name, *values) for name, values in config_table([one.run for one in shown])]
    labels = [one.label for one in shown]
    told = [
        table(("Setting", *labels), lines, "Settings in which the runs differ")
        if lines
        else tag("p", "The runs have the same configuration.")
    ]
    told += [_accuracy_differences(shown[0], other) for other in shown[1:]]
    return "".join(told)


def _accuracy_differences(first: Shown, second: Shown) -> Html:
    steps, found = differences(first.rows, second.rows)
    if not found:
        return missing(f"{first.label} and {second.label} share no model that was evaluated under the same attack.")
    eps = sorted({e for by_eps in found.values() for e in by_eps})
    lines = [[policy(model), *(_difference(by_eps.get(e)) for e in eps)] for model, by_eps in found.items()]
    caption = (
        f"Accuracy of {second.label} minus {first.label} under PGD(i={steps}), in points, 95 % intervals: over seeds "
        "where both have three, else over clips, taken as unrelated; bold where the interval excludes 0"
    )
    return table(["Model", *(f"ε={e:g}" for e in eps)], lines, caption, "grid")


def _difference(found: Any) -> Html:
    if found is None:
        return Html("–")
    clear = not found.low <= 0 <= found.high
    value = f"{100 * found.value:+.1f}"
    over = "seeds" if found.over_seeds else "clips"
    return Html(
        f"{f'<b>{value}</b>' if clear else value} <small>({100 * found.low:+.1f} to {100 * found.high:+.1f})<br>"
        f"over {over}</small>"
    )
