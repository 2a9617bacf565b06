"""The parts of a page below its first screen: every figure with its tables, clips, claims, checks, cost, origin."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vidrobust.errors import InputError
from vidrobust.results.figures import MISSING_STEP
from vidrobust.results.figures.figure import Figure
from vidrobust.results.figures.table import Table
from vidrobust.results.numbers.costs import costs
from vidrobust.results.numbers.deciding import Claim
from vidrobust.results.numbers.masking import masking_flags
from vidrobust.results.numbers.selection import MissingRowsError, model_order
from vidrobust.results.pages.content import RunContent
from vidrobust.results.pages.corrupted import corrupted_clips
from vidrobust.results.pages.embedded import Embedded
from vidrobust.results.pages.markup import Html, folded, html_table, number_table, tag, text
from vidrobust.results.pages.overview import note_of
from vidrobust.runs.wording import counted

_PASSED = {True: ("passed", "verdict passed"), False: ("not passed", "verdict failed")}


@dataclass(frozen=True)
class PagePart:
    """A part of a page.

    Attributes:
        key: the name that links lead to.
        title, short: its heading, and that in the contents.
        html: makes it of a run, and raises ``MissingRowsError`` where the run has no rows for it.
        optional: is it left out without a word where no run has rows for it?
    """

    key: str
    title: str
    short: str
    html: Callable[[RunContent, Embedded], Html]
    optional: bool = False


def _of_figure(figure: Figure) -> PagePart:
    return PagePart(
        figure.part or figure.key,
        figure.title,
        figure.short,
        lambda one, page: _figure(figure, one, page),
        optional=not figure.step,
    )


def _figure(figure: Figure, content: RunContent, page: Embedded) -> Html:
    """The drawings of a figure, its tables and the text below it."""
    tables = figure.tables(content.rows)
    try:
        drawn = page.figure(figure, content) or Html("")
    except MissingRowsError:
        if not tables:
            raise
        drawn = Html("")  # too few attacks for a radar: the table has them
    if not tables and not drawn:
        raise MissingRowsError(f"no {figure.step}: the step of the study that measures it is missing. {MISSING_STEP}")
    notes = "".join(tag("p", note) for note in figure.notes(content.rows))
    return Html(drawn + "".join(_table(one, bool(drawn)) for one in tables) + notes)


def _table(one: Table, drawn: bool) -> str:
    """A table of one stop of the slider is shown with that stop alone; others are folded where there is a drawing."""
    if one.stop:
        return f'<div data-stop="{text(one.stop)}">{number_table(one)}</div>'
    return folded(one.fold, number_table(one)) if drawn else number_table(one)


def claim_table(judged: Sequence[Claim]) -> Html:
    """Each claim with its verdict and the statistic that decided it."""
    if not judged:
        raise MissingRowsError("this run has no rows that any claim is about.")
    lines = []
    for one in judged:
        counts = {"seeds": one.seeds, "sources": one.sources, "clips": one.clips}
        over = ", ".join(f"{what}: {count}" for what, count in counts.items() if count)
        verdict = tag("span", one.verdict, f"verdict {one.verdict.replace(' ', '-')}")
        lines.append((
            one.statement,
            Html(f"{verdict}<br><small>{text(one.reason)}</small>"),
            Html(f"{text(one.statistic)}<br><small>{text(over)}</small>"),
            one.published,
        ))  # fmt: skip
    head = ("Claim", "Verdict", "Statistic (95 % interval)", "Published")
    caption = (
        "What this run says of each claim; computed from its rows, the published numbers take no part. Intervals are "
        "of each number alone; p is adjusted for the claims of one name (Holm)"
    )
    return html_table(head, lines, caption)


def _checks(content: RunContent, page: Embedded) -> Html:
    """The checks for masked gradients, those that do not pass first."""
    flags = masking_flags(content.rows)
    if not flags:
        raise MissingRowsError(f"no checks: the robustness and masking rows are missing. {MISSING_STEP}")
    failed = [flag for flag in flags if not flag.passed]
    lines = [
        (flag.model, flag.check, tag("span", *_PASSED[flag.passed]), flag.sentence)
        for flag in sorted(flags, key=lambda f: f.passed)
    ]
    lead = "All pass."
    if failed:
        models = ", ".join(model_order(flag.model for flag in failed))
        lead = f"{len(failed)} of {len(flags)} do not pass: the accuracies of {models} may overstate robustness."
    caption = "Checks; 3 % of the clips may go against one by chance"
    listed = html_table(("Model", "Check", "Outcome", "Measured"), lines, caption)
    return Html(tag("p", lead) + folded(f"{len(flags)} checks", listed))


def _costs(content: RunContent, page: Embedded) -> Html:
    """Gradients and minutes of everything that was trained, attacked and evaluated."""
    found = costs(content.run)
    if not found:
        return tag("p", "No timings were kept.", "soft")
    total = [sum(getattr(one, name) for one in found) for name in ("jobs", "gradients", "seconds", "cpu_seconds")]
    lines = [
        (one.what, one.jobs, f"{one.gradients:,}", f"{one.seconds / 60:.2f}", f"{one.cpu_seconds / 60:.2f}")
        for one in found
    ]
    lead = (
        f"{counted(total[0], 'job')} took {total[1]:,} gradients of single clips, {total[2] / 60:.1f} minutes of work "
        f"and {total[3] / 60:.1f} minutes of processor time."
    )
    head = ("Job (its seeds together)", "Jobs", "Clip gradients", "Minutes", "CPU minutes")
    listed = html_table(head, lines, "What each row cost, the dearest first; minutes include waiting for other work")
    return Html(tag("p", lead) + folded(f"cost of {counted(len(found), 'row')}", listed))


def _origin(content: RunContent, page: Embedded) -> Html:
    """Command, provenance and configuration."""
    source = content.provenance
    facts = [
        (name, value if not isinstance(value, dict) else ", ".join(f"{k} {v}" for k, v in value.items()))
        for name, value in source.items()
    ]
    config = json.dumps(content.config, indent=1, sort_keys=True, ensure_ascii=False)
    counts = ", ".join(f"{n} {kind}" for kind, n in Counter(row["kind"] for row in content.rows).items())
    return Html(
        tag("p", Html(f"Command: {tag('code', source.get('command', 'unknown'))}"))
        + tag("p", f"Rows: {counts or 'none'}.", "soft")
        + folded("Provenance", html_table(("What", "Value"), facts, "Where this came from"))
        + folded("Configuration", f"<pre>{text(config)}</pre>")
    )


def parts(figures: Sequence[Figure]) -> list[PagePart]:
    """The parts below the first screen: the figures in their order, then what every page has.

    Raises:
        InputError: two parts have the same name.
    """
    found = [
        *map(_of_figure, figures),
        PagePart("corrupted", "Corrupted clips to watch", "Corrupted clips", corrupted_clips, optional=True),
        PagePart("clips", "Clips to watch", "Clips", lambda one, page: page.player(one)),
        PagePart(
            "claims", "Claims of the slides", "Claims", lambda one, page: Html(note_of(one) + claim_table(one.judged))
        ),
        PagePart("checks", "Checks for masked gradients", "Checks", _checks),
        PagePart("cost", "Cost", "Cost", _costs),
        PagePart("origin", "How this was made", "Made how", _origin),
    ]
    for key, many in Counter(["overview", "differences", *(part.key for part in found)]).items():
        if many > 1:
            raise InputError(f"a page has two parts called {key!r}: give your figure another key.")
    return found
