"""One offline page of a run: what was studied, how robust it is, whether to trust it, figures and clips to watch.

The page is made from the run directory alone, without torch, and makes no network request. Everything that comes from a
run (class and file names above all) reaches the page through :mod:`vidrobust.results.pages.markup`, as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from vidrobust.errors import RunError
from vidrobust.results.figures import FIGURES
from vidrobust.results.figures.figure import Figure
from vidrobust.results.numbers.compare import accuracy_differences, config_table
from vidrobust.results.numbers.selection import MissingRowsError, of_kind
from vidrobust.results.pages.content import RunContent
from vidrobust.results.pages.embedded import Embedded, resource, scripts
from vidrobust.results.pages.markup import Html, html_table, missing_note, policy, tag, text
from vidrobust.results.pages.overview import overview
from vidrobust.results.pages.parts import PagePart, parts
from vidrobust.results.published import numbers as published
from vidrobust.runs.collector import collector_paused
from vidrobust.runs.directory import Run
from vidrobust.runs.files import write_atomic
from vidrobust.runs.provenance import package_version
from vidrobust.runs.rows import Row


def report(
    run_dirs: str | Path | Sequence[str | Path], out: str | Path | None = None, figures: Sequence[Figure] | None = None
) -> Path:
    """Write one offline HTML page of one or several runs.

    Args:
        run_dirs: run directories, side by side in every part; runs that are not finished show what they have.
        out: the file to write; ``report.html`` in the first run directory if not given.
        figures: what is shown, in this order; by default ``vr.figures.FIGURES``, to which you may add yours.

    Returns:
        The file written.

    Raises:
        RunError: a folder is not a run directory or damaged, or the page cannot be written.
        InputError: two figures have the same key.
    """
    runs = [Run.open(path) for path in ([run_dirs] if isinstance(run_dirs, (str, Path)) else run_dirs)]
    if not runs:
        raise RunError("no run directory given. Give at least one folder that a vidrobust command wrote with --out.")
    contents = [RunContent(run, label) for run, label in zip(runs, _labels(runs), strict=True)]
    target = Path(out) if out is not None else runs[0].path / PAGE
    return _write(contents, target, FIGURES if figures is None else figures)


PAGE = "report.html"

VERSION_FILE = "live.js"
"""Beside the page of a study that is running: says which version of the page lies there, and when the study lived."""


@dataclass(frozen=True)
class Live:
    """That a page will be written anew, since its study is running.

    Attributes:
        version: another one each time.
        progress: how far the study has come, in words.
    """

    version: str
    progress: str

    def script(self, now: float) -> str:
        """The content of :data:`VERSION_FILE` at a time, in seconds since 1970: a sign of life of the study."""
        return f'window.vidrobustVersion = "{self.version}"; window.vidrobustAlive = {now:.0f};\n'


def live_report(run: Run, ahead: Iterable[Row], live: Live) -> Path:
    """Write the page of a study that is running, which reloads itself when it is written anew.

    Args:
        run: the run directory.
        ahead: rows of jobs that have ended, also of those whose turn in the run's file has not come yet.
        live: its version.
    """
    return _write([RunContent(run, run.path.resolve().name, tuple(ahead))], run.path / PAGE, FIGURES, live)


def _write(contents: Sequence[RunContent], target: Path, figures: Sequence[Figure], live: Live | None = None) -> Path:
    page = Embedded()
    with collector_paused():
        body, links = _body(contents, page, parts(figures))
        write_atomic(target, _assemble(contents, body, links, page, live).encode("utf-8", "replace"))
    return target


def _labels(runs: Sequence[Run]) -> list[str]:
    names = [run.path.resolve().name for run in runs]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return names if len(runs) == 1 else [f"{letters[n % 26]}: {name}" for n, name in enumerate(names)]


def _assemble(contents: Sequence[RunContent], body: str, links: str, page: Embedded, live: Live | None) -> str:
    names = ", ".join(one.name for one in contents)
    running = _running(live) if live else ""
    values = {
        "version": escape(package_version()), "title": text(f"vidrobust: {names}"), "css": resource("page.css"),
        "js": scripts("theme.js", "figures.js", "player.js", "reload.js", "page.js"), "body": body, "contents": links,
        "live": f' data-live="{live.version}"' if live else "", "scripts": " 'self' file:" if live else "",
        "running": f'<div id="live" role="status">{running}</div>\n' if live else "",
        "source": escape(published.SOURCE), "wide": " several" if len(contents) > 1 else "", **page.data(),
    }  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], resource("page.html"))  # one pass: inner braces stay


def _running(live: Live) -> Html:
    """What a page says while its study runs, and what when that has not been heard of for long, as after a kill."""
    stopped = (
        "This study has stopped growing: nothing was heard of it since <time></time>. The page shows what it had found "
        "by then; the same command goes on from there."
    )
    growing = tag("p", f"This study is running: {live.progress} The page shows what is new by itself.")
    return Html(f"{growing}<p hidden>{stopped}</p>")


def _body(contents: Sequence[RunContent], page: Embedded, below: Sequence[PagePart]) -> tuple[str, str]:
    """The sections of the page and the links to them; a part that no run was meant to have is left out."""
    first = PagePart("overview", _title(contents), "Overview", lambda one, _: overview(one))
    sections = [(first, _side_by_side(contents, page, first))]
    if len(contents) > 1:
        what = PagePart("differences", "What differs", "Differences", lambda one, _: Html(""))
        sections.append((what, _differences(contents)))
    sections += [(part, _side_by_side(contents, page, part)) for part in below]
    body = "\n".join(
        f'<section id="{part.key}">\n<h{n}>{text(part.title)}</h{n}>\n{html}\n</section>'
        for part, html in sections
        if html is not None
        for n in [1 if part is first else 2]
    )
    links = (f'<li><a href="#{part.key}">{text(part.short)}</a></li>' for part, html in sections if html is not None)
    return body, "".join(links)


def _title(contents: Sequence[RunContent]) -> str:
    data = [next(iter(of_kind(one.rows, "dataset")), None) for one in contents]
    names = [row["name"] if row else one.name for row, one in zip(data, contents, strict=True)]
    return f"Adversarial robustness of video classifiers: {', '.join(dict.fromkeys(names))}"


def _side_by_side(contents: Sequence[RunContent], page: Embedded, part: PagePart) -> Html | None:
    """One part of every run; None where no run has it, and none was meant to (a single step is no study)."""
    found: list[Html | None] = []
    lacking = []
    for one in contents:
        try:
            found.append(part.html(one, page))
            lacking.append("")
        except MissingRowsError as error:
            found.append(None)
            lacking.append("Not in this run." if part.optional else str(error))
    if all(html is None for html in found) and (part.optional or all(one.run.kind != "study" for one in contents)):
        return None
    panels = [missing_note(words) if html is None else html for html, words in zip(found, lacking, strict=True)]
    if len(panels) == 1:
        return panels[0]
    columns = (
        f'<div class="run"><h3 class="run-name">{text(one.label)}</h3>{html}</div>'
        for one, html in zip(contents, panels, strict=True)
    )
    return Html(f'<div class="runs">{"".join(columns)}</div>')


# ------------------------------------------------------------------------------------------------------ differences


def _differences(contents: Sequence[RunContent]) -> Html:
    """What differs in the configurations, then the accuracies of each further run minus those of the first."""
    lines = [(name, *values) for name, values in config_table([one.run for one in contents])]
    labels = [one.label for one in contents]
    blocks = [
        html_table(("Setting", *labels), lines, "Settings in which the runs differ")
        if lines
        else tag("p", "The runs have the same configuration.")
    ]
    blocks += [_accuracy_differences(contents[0], other) for other in contents[1:]]
    return Html("".join(blocks))


def _accuracy_differences(first: RunContent, second: RunContent) -> Html:
    steps, found = accuracy_differences(first.rows, second.rows)
    if not found:
        return missing_note(
            f"{first.label} and {second.label} share no model that was evaluated under the same attack."
        )
    eps = sorted({e for by_eps in found.values() for e in by_eps})
    lines = [[policy(model), *(_difference(by_eps.get(e)) for e in eps)] for model, by_eps in found.items()]
    caption = (
        f"Accuracy of {second.label} minus {first.label} under PGD(i={steps}), in points, with 95 % intervals over "
        "what stands below each; bold where the interval excludes 0"
    )
    return html_table(["Model", *(f"ε={e:g}" for e in eps)], lines, caption, "grid")


def _difference(found: Any) -> Html:
    if found is None:
        return Html("–")
    clear = not found.low <= 0 <= found.high
    value = f"{100 * found.value:+.1f}"
    return Html(
        f"{f'<b>{value}</b>' if clear else value} <small>({100 * found.low:+.1f} to {100 * found.high:+.1f})<br>"
        f"over {found.over}</small>"
    )
