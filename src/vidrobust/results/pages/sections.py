"""The tables of the page: accuracies, claims, checks, costs, and where it all came from."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vidrobust.results.figures.plots import MISSING_STEP
from vidrobust.results.numbers.accuracy import Point, evaluated, evaluated_split, evaluation_steps, pooled
from vidrobust.results.numbers.claims import Claim
from vidrobust.results.numbers.costs import costs
from vidrobust.results.numbers.intervals import interval
from vidrobust.results.numbers.masking import masking_flags
from vidrobust.results.numbers.selection import model_order, of_kind
from vidrobust.results.numbers.views import WAYS, Way, by_way, view_cells, viewings
from vidrobust.results.pages.markup import Html, folded, missing, policy, table, tag, text
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import Row

_PASSED = {True: ("passed", "verdict passed"), False: ("not passed", "verdict failed")}


def clean_table(rows: Sequence[Row]) -> Html:
    """Top-1 and top-k of every model on each split."""
    found = of_kind(rows, "accuracy")
    if not found:
        return missing("No clean accuracies: step 2 (standard training) is missing.")
    splits = [split for split in ("train", "val", "test") if any(row["split"] == split for row in found)]
    k = max(row["k"] for row in found)
    lines = []
    for model in model_order(row["model"] for row in found):
        mine = [row for row in found if row["model"] == model]
        cells = [_clean_cell([row for row in mine if row["split"] == split]) for split in splits]
        lines.append([policy(model), len({row["seed"] for row in mine}), *cells])
    head = ["Model", "Seeds", *(f"{split}: top-1 / top-{k}" for split in splits)]
    return table(head, lines, "Accuracy (%) on clean clips, with 95 % intervals and clips, seeds pooled", "grid")


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


def robust_tables(rows: Sequence[Row]) -> Html:
    """Accuracy by model and ε, a table for every evaluation, the strongest first and open."""
    told, split = [], evaluated_split(rows)
    every = evaluation_steps(rows)
    for steps in reversed(every):
        chosen = evaluated(rows, steps, split=split)
        eps = sorted({row["eps"] for row in chosen})
        lines = []
        for model in model_order(row["model"] for row in chosen):
            points = [_cell([row for row in chosen if (row["model"], row["eps"]) == (model, e)]) for e in eps]
            lines.append([policy(model), len({row["seed"] for row in chosen if row["model"] == model}), *points])
        caption = (
            f"Accuracy (%) on {split} clips under PGD(i={steps}) by ε in 1/255, 95 % intervals, clips; seeds pooled"
        )
        listed = table(["Model", "Seeds", *(f"ε={e:g}" for e in eps)], lines, caption, "grid")
        told.append(listed if steps == every[-1] else folded(f"The same under PGD(i={steps})", listed))
    if not every:
        return missing(f"No accuracies under attack: step 6 (accuracy against ε) is missing. {MISSING_STEP}")
    return Html("\n".join(told))


def _cell(rows: Sequence[Row]) -> Html:
    if not rows:
        return Html("–")
    return _count(pooled(rows[0]["eps"], rows))


def _count(point: Point, of: str = "") -> Html:
    low, high = point.interval
    return Html(
        f"{100 * point.accuracy:.1f} <small>({100 * low:.1f}–{100 * high:.1f})<br>"
        f"{point.correct} of {point.clips}{of}</small>"
    )


def views_tables(rows: Sequence[Row]) -> Html:
    """Accuracy of clips and of videos under each attack, a table for each way of looking at videos."""
    told = []
    for viewing, some in viewings(rows).items():
        lines = {key: (view_cells(mine), mine) for key, mine in by_way(some).items()}
        attacks = list(dict.fromkeys(attack for cells, _ in lines.values() for attack in cells))
        filled = [
            [policy(model), WAYS[way], len({row["seed"] for row in mine}), *(_told(cells.get(a), way) for a in attacks)]
            for (model, way), (cells, mine) in lines.items()
        ]
        caption = f"Accuracy (%) on {evaluated_split(some, 'views')} clips or videos, {viewing}; 95 % intervals, counts"
        told.append(table(["Model", "Counted", "Seeds", *attacks], filled, caption, "grid"))
    return Html("\n".join(told))


def _told(point: Point | None, way: Way) -> Html:
    return _count(point, f" {way[0]}s") if point else Html("–")


def claim_table(judged: Sequence[Claim], kind: str) -> Html:
    """Each claim with its verdict and the statistic that decided it."""
    if kind != "study":
        judged = [one for one in judged if one.value is not None]
    if not judged:
        return missing("this run has no rows that any claim is about.")
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
    caption = "What this run says of each claim; computed from its rows, the published numbers take no part"
    return table(head, lines, caption)


def checks(rows: Sequence[Row]) -> Html:
    """The checks for masked gradients, those that do not pass first."""
    flags = masking_flags(rows)
    if not flags:
        return missing(f"No checks: the robustness and masking rows are missing. {MISSING_STEP}")
    failed = [flag for flag in flags if not flag.passed]
    lines = [
        (flag.model, flag.check, tag("span", *_PASSED[flag.passed]), flag.sentence)
        for flag in sorted(flags, key=lambda f: f.passed)
    ]
    told = "All pass."
    if failed:
        models = ", ".join(model_order(flag.model for flag in failed))
        told = f"{len(failed)} of {len(flags)} do not pass: the accuracies of {models} may overstate robustness."
    caption = "Checks; 3 % of the clips may go against one by chance"
    listed = table(("Model", "Check", "Outcome", "Measured"), lines, caption)
    return Html(tag("p", told) + folded(f"{len(flags)} checks", listed))


def cost_table(run: Run) -> Html:
    """Gradients and minutes of everything that was trained, attacked and evaluated."""
    found = costs(run)
    if not found:
        return tag("p", "No timings were kept.", "soft")
    total = [sum(getattr(one, name) for one in found) for name in ("jobs", "gradients", "seconds", "cpu_seconds")]
    lines = [
        (one.what, one.jobs, f"{one.gradients:,}", f"{one.seconds / 60:.2f}", f"{one.cpu_seconds / 60:.2f}")
        for one in found
    ]
    told = (
        f"{total[0]} jobs took {total[1]:,} gradients of single clips, {total[2] / 60:.1f} minutes of work and "
        f"{total[3] / 60:.1f} minutes of processor time."
    )
    head = ("Job (its seeds together)", "Jobs", "Clip gradients", "Minutes", "CPU minutes")
    listed = table(head, lines, "What each row cost, the dearest first; minutes include waiting for other work")
    return Html(tag("p", told) + folded(f"cost of each of {len(found)} rows", listed))


def origin(run: Run, rows: Sequence[Row]) -> Html:
    """Command, provenance and configuration."""
    source = run.provenance
    facts = [
        (name, value if not isinstance(value, dict) else ", ".join(f"{k} {v}" for k, v in value.items()))
        for name, value in source.items()
    ]
    config = json.dumps(run.config, indent=1, sort_keys=True, ensure_ascii=False)
    kinds = dict.fromkeys(row["kind"] for row in rows)
    counts = ", ".join(f"{sum(row['kind'] == kind for row in rows)} {kind}" for kind in kinds)
    return Html(
        tag("p", Html(f"Command: {tag('code', source.get('command', 'unknown'))}"))
        + tag("p", f"Rows: {counts or 'none'}.", "soft")
        + folded("Provenance", table(("What", "Value"), facts, "Where this came from"))
        + folded("Configuration", f"<pre>{text(config)}</pre>")
    )
