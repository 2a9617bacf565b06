"""The slides, live: the seed's deck rebuilt from a run, as one offline file that presents and prints.

reveal.js comes from the sphinx-revealjs wheel (``pip install "vidrobust[deck]"``) when a deck is made.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from vidrobust.errors import InputError, RunError
from vidrobust.results import figures
from vidrobust.results.numbers.accuracy import share
from vidrobust.results.numbers.claims import claims
from vidrobust.results.numbers.selection import of_kind
from vidrobust.results.numbers.sensitivity import surface_eps
from vidrobust.results.pages.drawings import Board, resource, scripts
from vidrobust.results.pages.formulas import FORMULAS
from vidrobust.results.pages.markup import Html, missing, table, tag, text
from vidrobust.results.pages.overview import single_frame
from vidrobust.results.pages.slides import Slide, Writer, split
from vidrobust.runs.directory import Run
from vidrobust.runs.files import write_atomic
from vidrobust.runs.provenance import package_version
from vidrobust.runs.rows import Row


def deck(run: str | Path, out: str | Path | None = None, script: str | Path | None = None) -> Path:
    """Write the slides of a run as one offline HTML file.

    Args:
        run: the run directory; what it lacks is said on its slide.
        out: the file to write; ``deck.html`` in the run directory if not given.
        script: the Markdown file with the order and the words of the slides. It is read where it exists, else written
            with the standard slides, to be edited.

    Returns:
        The deck.

    Raises:
        RunError: the folder is not a run directory, or a file cannot be written.
        InputError: the script asks for something that there is not, or reveal.js is not installed.
    """
    opened = Run.open(run)
    rows = opened.rows()
    words, folder = standard_script(rows), None
    if script is not None:
        path = Path(script)
        folder = path.parent
        if path.exists():
            words = _read(path)
        else:
            write_atomic(path, words.encode())
    board = Board()
    writer = Writer(_blocks(opened, rows, board), _values(opened, rows), folder)
    slides = "\n".join(writer.section(slide) for slide in _checked(split(words), script))
    target = Path(out) if out is not None else opened.path / "deck.html"
    write_atomic(target, _assemble(opened, slides, board).encode())
    return target


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the script {path} cannot be read ({error}). Give a Markdown file in UTF-8.") from error


def _checked(slides: list[Slide], script: object) -> list[Slide]:
    if not slides:
        raise InputError(f"the script {script} has no slides. Delete it to get the standard ones, or write one.")
    return slides


def standard_script(rows: Sequence[Row]) -> str:
    """The seed's slides as a script, with a slide on sensitivity for each ε that was swept.

    >>> standard_script([]).count("{{figure sensitivity")
    2
    """
    title, shown = "# Sensitivity of PGD parameters\n\nε = {eps:g}", "{{{{figure sensitivity {eps:g}}}}}"
    one = f"{title}\n\n{shown}\n\nNote:\n{{note}}\n\n---\n\n"
    note = (
        "Left the loss as a surface that turns, right the same from above. The red line is the best α after each step."
    )
    every = "".join(one.format(eps=eps, note=note) for eps in surface_eps(rows) or [4.0, 8.0])
    return resource("deck.md").replace("{{sensitivity slides}}\n\n", every)


# ------------------------------------------------------------------------------------------------------ directives


def _blocks(run: Run, rows: Sequence[Row], board: Board) -> dict[str, Callable[[str], Html]]:
    return {
        "figure": lambda words: _figure(run, rows, board, words),
        "formula": lambda words: _named(FORMULAS, words, "formula"),
        "accuracies": lambda words: _accuracies(rows),
        "claims": lambda words: _claims(rows),
        "player": lambda words: board.player(run, rows),
    }


_DRAWN: dict[str, Callable[..., Any]] = {
    "step-size": figures.step_size, "robustness": figures.robustness, "gap": figures.gap, "training": figures.training,
    "schedules": figures.schedules, "radar": figures.radar, "views": figures.views, "difficulty": figures.difficulty,
}  # fmt: skip


def _figure(run: Run, rows: Sequence[Row], board: Board, words: str) -> Html:
    name, *rest = words.split() or [""]
    if name == "sensitivity":
        try:
            (eps,) = map(float, rest)
        except ValueError:
            raise InputError(f"{{{{figure {words}}}}} needs one ε, such as {{{{figure sensitivity 8}}}}.") from None
        both = (figures.sensitivity, figures.sensitivity_map)
        drawn = [board.figure(f"sensitivity {eps:g}", draw, run, rows, eps, caption=False) for draw in both]
        same = drawn[0].startswith('<p class="missing">')
        return drawn[0] if same else Html(f'<div class="pair">{drawn[0]}{drawn[1]}</div>')
    draw = _named(_DRAWN | {"sensitivity": figures.sensitivity}, name, "figure")
    return board.figure(name, draw, run, rows, caption=False)


def _named(known: dict[str, Any], name: str, what: str) -> Any:
    if name not in known:
        raise InputError(f"there is no {what} {name!r} for a slide. Choose one of: {', '.join(known)}.")
    return known[name]


def _values(run: Run, rows: Sequence[Row]) -> dict[str, str]:
    found = next(iter(of_kind(rows, "dataset")), None)
    about = "no data row: step 1 (data) is missing"
    if found is not None:
        clips = ", ".join(
            f"{found['clips'][name]} {name}" for name in ("train", "val", "test") if name in found["clips"]
        )
        about = (
            f"Data: {found['name']}, {len(found['classes'])} classes, {found['frames']} frames of "
            f"{found['size']}×{found['size']} pixels; clips: {clips}"
        )
    return {"run": run.path.resolve().name, "data": about, "architecture": str(run.config.get("model", "unknown"))}


def _accuracies(rows: Sequence[Row]) -> Html:
    """Train and test accuracy of the standard-trained model, as the slides give them."""
    found = [row for row in of_kind(rows, "accuracy") if row["model"] == "standard"]
    if not found:
        return missing("no clean accuracies: step 2 (standard training) is missing.")
    items = []
    for split_, name in (("train", "Train"), ("test", "Test")):
        mine = [row for row in found if row["split"] == split_]
        if mine:
            clips = sum(row["clips"] for row in mine)
            first, more = (share(sum(row[key] for row in mine), clips) for key in ("top1", "top5"))
            items.append(
                f"<li>{name} accuracy: <b>top-1 = {text(first)}</b>; <i>top-{mine[0]['k']} = {text(more)}</i></li>"
            )
    return Html(f"<ul>{''.join(items)}</ul>{single_frame(rows)}")


def _claims(rows: Sequence[Row]) -> Html:
    lines = []
    for one in claims(rows):
        verdict = tag("span", one.verdict, f"verdict {one.verdict.replace(' ', '-')}")
        lines.append((one.statement, verdict, one.reason))
    kind = "stack many" if len(lines) > 10 else "stack"  # all of them shall be seen, also on paper
    return table(("Claim", "Verdict", "Why"), lines, "Claims of the slides and what this run says of them", kind)


# -------------------------------------------------------------------------------------------------------- the file


def _assemble(run: Run, slides: str, board: Board) -> str:
    values = {
        "title": escape(f"Challenges on Adversarial Training for Videos: {run.path.resolve().name}"),
        "version": escape(package_version()), "slides": slides,
        "css": "\n".join([resource("page.css"), _reveal("dist/reveal.css"), resource("deck.css")]),
        "reveal": _script("dist/reveal.js"), "notes": _script("plugin/notes/notes.js"),
        "js": scripts("common.js", "figures.js", "player.js", "deck.js"), **board.data(),
    }  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], resource("deck.html"))


def _reveal(name: str) -> str:
    """A file of reveal.js, from the wheel that carries it."""
    try:
        found = importlib.metadata.distribution("sphinx-revealjs").locate_file(
            f"sphinx_revealjs/_static/revealjs/{name}"
        )
        return Path(str(found)).read_text(encoding="utf-8")
    except importlib.metadata.PackageNotFoundError:
        raise InputError('a deck needs reveal.js: pip install "vidrobust[deck]"') from None
    except OSError as error:
        raise RunError(
            f"the installed sphinx-revealjs has no {name} ({error}). Install another version of it."
        ) from error


def _script(name: str) -> str:
    """A script that may stand inside a script element."""
    return _reveal(name).replace("</script", "<\\/script").replace("<!--", "<\\!--")
