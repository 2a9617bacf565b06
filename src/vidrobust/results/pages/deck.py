"""The slides, live: the seed's deck rebuilt from a run, as one offline file that presents and prints.

reveal.js comes from the sphinx-revealjs wheel (``pip install "vidrobust[deck]"``) when a deck is made.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from vidrobust.errors import InputError, MissingExtraError, RunError
from vidrobust.results.figures import FIGURES
from vidrobust.results.figures.figure import Figure
from vidrobust.results.figures.iterations import SENSITIVITY_FIGURE, surface_panels
from vidrobust.results.numbers.accuracy import TOPS, Point, clean_point, intervals_of
from vidrobust.results.numbers.deciding import Claim
from vidrobust.results.numbers.selection import MissingRowsError, grouped, of_kind
from vidrobust.results.numbers.sensitivity import surface, surface_eps
from vidrobust.results.pages.content import RunContent
from vidrobust.results.pages.embedded import Embedded, resource, scripts
from vidrobust.results.pages.formulas import FORMULAS
from vidrobust.results.pages.markup import Html, html_table, missing_note, tag, text
from vidrobust.results.pages.overview import note_of, single_frame_note
from vidrobust.results.pages.slides import Slide, Writer, split
from vidrobust.results.published import numbers as published
from vidrobust.runs.directory import Run
from vidrobust.runs.files import write_atomic
from vidrobust.runs.provenance import package_version
from vidrobust.runs.rows import Row
from vidrobust.runs.wording import counted


def deck(
    run: str | Path,
    out: str | Path | None = None,
    script: str | Path | None = None,
    figures: Sequence[Figure] | None = None,
) -> Path:
    """Write the slides of a run as one offline HTML file.

    Args:
        run: the run directory; its slide says what is missing.
        out: the file to write; ``deck.html`` in the run directory if not given.
        script: the Markdown file with the order and the words of the slides. It is read where it exists, else written
            with the standard slides, to be edited.
        figures: what ``{{figure KEY}}`` may ask for; by default ``vr.figures.FIGURES``, to which you may add yours.

    Returns:
        The deck.

    Raises:
        RunError: the folder is not a run directory, or a file cannot be written.
        InputError: the script asks for something that there is not.
        MissingExtraError: reveal.js is not installed.
    """
    content = RunContent(Run.open(run))
    words, folder = standard_script(content.rows), None
    if script is not None:
        path = Path(script)
        folder = path.parent
        if path.exists():
            words = _read(path)
        else:
            write_atomic(path, words.encode())
    page = Embedded()
    writer = Writer(_blocks(content, page, FIGURES if figures is None else figures), _values(content), folder)
    slides = "\n".join(writer.section(slide) for slide in _checked(split(words), script))
    target = Path(out) if out is not None else content.run.path / "deck.html"
    write_atomic(target, _assemble(content, slides, page).encode("utf-8", "replace"))
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
    title, placeholder = "# Sensitivity of PGD parameters\n\nε = {eps:g}", "{{{{figure sensitivity {eps:g}}}}}"
    one = f"{title}\n\n{placeholder}\n\nNote:\n{{note}}\n\n---\n\n"
    note = (
        "Left the loss as a surface that turns, right the same from above. The red line is the best α after each step."
    )
    every = "".join(one.format(eps=eps, note=note) for eps in surface_eps(rows) or [4.0, 8.0])
    return resource("deck.md").replace("{{sensitivity slides}}\n\n", every)


# ------------------------------------------------------------------------------------------------------ directives


def _blocks(content: RunContent, page: Embedded, figures: Sequence[Figure]) -> dict[str, Callable[[str], Html]]:
    return {
        "figure": lambda words: _figure(content, page, figures, words),
        "formula": lambda words: _named(FORMULAS, words, "formula"),
        "accuracies": lambda words: _accuracies(content.rows),
        "claims": lambda words: _claims(content),
        "player": lambda words: _or_missing(lambda: page.player(content)),
    }


def _figure(content: RunContent, page: Embedded, figures: Sequence[Figure], words: str) -> Html:
    """A figure by its key; of the sensitivity the drawings at one ε."""
    name, *rest = words.split() or [""]
    figure = _named({figure.key: figure for figure in figures if figure.panels is not None}, name, "figure")
    if name == SENSITIVITY_FIGURE.key:
        try:
            (eps,) = map(float, rest)
        except ValueError:
            raise InputError(f"{{{{figure {words}}}}} needs one ε, such as {{{{figure sensitivity 8}}}}.") from None
        figure = replace(figure, panels=lambda rows: surface_panels(surface(rows, eps)))
    return _or_missing(lambda: page.figure(figure, content, caption=False) or Html(""))


def _or_missing(draw: Callable[[], Html]) -> Html:
    """What the run has, or what it lacks."""
    try:
        return draw()
    except MissingRowsError as error:
        return missing_note(error)


def _named(known: dict[str, Any], name: str, what: str) -> Any:
    if name not in known:
        raise InputError(f"there is no {what} {name!r} for a slide. Choose one of: {', '.join(known)}.")
    return known[name]


def _values(content: RunContent) -> dict[str, str]:
    found = next(iter(of_kind(content.rows, "dataset")), None)
    about = "no data row: step 1 (data) is missing"
    if found is not None:
        clips = ", ".join(
            f"{found['clips'][name]} {name}" for name in ("train", "val", "test") if name in found["clips"]
        )
        about = (
            f"Data: {found['name']}, {counted(len(found['classes']), 'class')}, {counted(found['frames'], 'frame')} of "
            f"{found['size']}×{found['size']} pixels; clips: {clips}"
        )
    gaps = list(dict.fromkeys(row["model"] for row in of_kind(content.rows, "gap")))
    return {
        "run": content.name,
        "data": about,
        "architecture": str(content.config.get("model", "unknown")),
        "training": _stages(content),
        "intervals": _intervals(content.rows),
        "gap-model": ", ".join(gaps) or f"{published.GAP_MODEL} (not measured)",
        "published-model": published.MODEL,
        "published-training": published.TRAINING,
        "published-gap-model": published.GAP_MODEL_AS_PUBLISHED,
    }


def _stages(content: RunContent) -> str:
    """How the standard model of a run was trained, in words: in one stage, or from the weights of another data set."""
    epochs = [row for row in of_kind(content.rows, "epoch") if row["model"] == "standard"]
    length = counted(max(row["epoch"] for row in epochs), "epoch") if epochs else "no epochs yet"
    weights = content.config.get("weights")
    if weights:
        return f"Two stages: pretrained weights {weights}, fine-tuned here for {length}"
    return f"One stage: trained here from random weights for {length}"


def _accuracies(rows: Sequence[Row]) -> Html:
    """Train and test accuracy of the standard-trained model, as the slides give them, beside the published ones."""
    found, items = _standard_points(rows), []
    for name, theirs in published.STANDARD_ACCURACY.items():
        ours = "not measured: step 2 (standard training) is missing"
        if name in found:
            first, more = found[name]
            ours = Html(f"<b>top-1 = {text(first)}</b>; <i>top-{first.rows[0]['k']} = {text(more)}</i>")
        beside = f"published (slides): top-1 = {theirs['top1']:g} %; top-5 = {theirs['top5']:g} %"
        items.append(f"<li>{name.capitalize()} accuracy: {text(ours)}<br>{tag('span', beside, 'soft')}</li>")
    return Html(f"<ul>{''.join(items)}</ul>{single_frame_note(rows)}")


def _standard_points(rows: Sequence[Row]) -> dict[str, list[Point]]:
    """Top-1 and top-k accuracy of the standard-trained model by split; without the splits that were not measured."""
    found = grouped([row for row in of_kind(rows, "accuracy") if row["model"] == "standard"], "split")
    return {
        name: [clean_point(found[name], top) for top in TOPS] for name in published.STANDARD_ACCURACY if name in found
    }


def _intervals(rows: Sequence[Row]) -> str:
    """What the intervals of the standard-trained model's accuracies are, in words."""
    points = [point for both in _standard_points(rows).values() for point in both]
    return intervals_of(points) if points else "none, for nothing was measured"


MOST_LINES = 10
"""Claims that a slide can show one by one."""


def _claims(content: RunContent) -> Html:
    """A line a claim; of many, a line for all comparisons that the same sentence of the slides is judged by."""
    groups: dict[str, list[Claim]] = {}
    for number, one in enumerate(content.claims):
        sentence = one.statement.partition(". ")[0]
        groups.setdefault(sentence if len(content.claims) > MOST_LINES else str(number), []).append(one)
    lines = [_claims_line(of) for of in groups.values()]
    caption = "Claims of the slides and what this run says of them"
    return Html(note_of(content) + html_table(("Claim", "Verdict", "Why"), lines, caption, "stack"))


def _claims_line(of: Sequence[Claim]) -> tuple[str, Html, str]:
    """Statement, verdicts and reason; of several claims the reason of the first one that is decided."""
    if len(of) == 1:
        return of[0].statement, _verdict(of[0].verdict, of[0].verdict), of[0].reason
    counts = Counter(one.verdict for one in of)
    verdicts = Html("<br>".join(_verdict(verdict, f"{count} {verdict}") for verdict, count in counts.items()))
    sentence = of[0].statement.partition(". ")[0].rstrip(".") + "."
    decided = next((one for one in of if one.verdict != "undecided"), None)
    if decided is None:
        return sentence, verdicts, f"{len(of)} comparisons, none of them decided"
    return sentence, verdicts, f"{decided.statement.removeprefix(sentence).strip()}: {decided.reason}"


def _verdict(verdict: str, words: str) -> Html:
    return tag("span", words, f"verdict {verdict.replace(' ', '-')}")


# -------------------------------------------------------------------------------------------------------- the file


def _assemble(content: RunContent, slides: str, page: Embedded) -> str:
    values = {
        "title": text(f"Challenges on Adversarial Training for Videos: {content.name}"),
        "version": escape(package_version()), "slides": slides,
        "css": "\n".join([resource("page.css"), _reveal("dist/reveal.css"), resource("deck.css")]),
        "reveal": _script("dist/reveal.js"), "notes": _script("plugin/notes/notes.js"),
        "js": scripts("theme.js", "figures.js", "player.js", "deck.js"), **page.data(),
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
        raise MissingExtraError("reveal.js", "deck", "a deck") from None
    except OSError as error:
        raise RunError(
            f"the installed sphinx-revealjs has no {name} ({error}). Install another version of it."
        ) from error


def _script(name: str) -> str:
    """A script that may stand inside a script element."""
    return _reveal(name).replace("</script", "<\\/script").replace("<!--", "<\\!--")
