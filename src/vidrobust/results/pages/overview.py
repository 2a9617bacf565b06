"""The first screen: what was studied, on what, how robust it is, and whether to trust it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vidrobust.errors import NotationError
from vidrobust.notation import parse_policy
from vidrobust.results.figures import FIGURES, MISSING_STEP
from vidrobust.results.numbers.accuracy import (
    Curve,
    Point,
    clean_point,
    intervals_of,
    main_steps,
    pooled,
    robustness_curves,
    worst_case_rows,
)
from vidrobust.results.numbers.attacks import attack_points
from vidrobust.results.numbers.certificates import contradictions
from vidrobust.results.numbers.masking import ATTACKED_CHECK, SELF_TEST_CHECK, masking_flags
from vidrobust.results.numbers.selection import CONTROLS, grouped, model_order, of_kind
from vidrobust.results.pages.content import RunContent
from vidrobust.results.pages.markup import Html, folded, missing_note, policy, tag, text
from vidrobust.runs.rows import Row
from vidrobust.runs.wording import counted

VERDICTS = ("reproduced", "not reproduced", "undecided")

_STEPS = {
    "dataset": "data", **{figure.kind: figure.step for figure in FIGURES if figure.step},
    "masking": "checks for masked gradients", "example": "clips to watch",
}  # fmt: skip
"""The kinds of rows that a study makes, and what the step that makes them is called."""

_FOR_EACH_MODEL = {"epoch": "training", "robustness": "accuracy against ε"}


def overview(content: RunContent) -> Html:
    """What was left out of the run's files, what the run lacks, and four answers."""
    rows = content.rows
    cards = [("What was studied", _studied(content)), ("On what", _data(rows))]
    if content.run.kind == "study" or not _other_models(rows):
        cards += [("How robust", _robust(rows, content.run.kind == "study")), ("Can it be trusted", _trust(content))]
    lacking = lacks(content)
    lead = missing_note(f"This run lacks: {', '.join(lacking)}. {MISSING_STEP}") if lacking else ""
    lead += _left_out(content) + _unfinished_models(content)
    body = "".join(f'<div class="card"><h3>{text(title)}</h3>{html}</div>' for title, html in cards)
    return Html(f'{lead}<div class="cards">{body}</div>')


def lacks(content: RunContent) -> list[str]:
    """What a study was asked for and has not (yet): whole steps, then models that were not trained or evaluated."""
    if content.run.kind != "study":
        return []
    present = {row["kind"] for row in content.rows}
    lead = [name for kind, name in _STEPS.items() if kind not in present]
    for kind, what in _FOR_EACH_MODEL.items():
        left = _unfinished(content, kind)
        if kind in present and left:
            lead.append(f"{what} of {len(left)} of {len(content.asked)} models and seeds")
    return lead


def _unfinished(content: RunContent, kind: str) -> list[tuple[str, int]]:
    """The models and seeds that a study was asked for and that have no rows of a kind."""
    have = {(row["model"], row["seed"]) for row in of_kind(content.rows, kind)}
    return [one for one in content.asked if one not in have]


def _unfinished_models(content: RunContent) -> str:
    """The names of the models that a killed study has not come to."""
    if content.run.kind != "study" or not content.rows:
        return ""
    lead = ""
    for kind, what in _FOR_EACH_MODEL.items():
        left = _unfinished(content, kind)
        seeds: dict[str, list[int]] = {}
        for model, seed in left:
            seeds.setdefault(model, []).append(seed)
        items = "".join(f"<li>{policy(m)}, seeds {', '.join(map(str, some))}</li>" for m, some in seeds.items())
        lead += folded(f"no {what} yet: {len(left)}", f"<ul>{items}</ul>") if left else ""
    return lead


def _left_out(content: RunContent, most: int = 50) -> str:
    """Which lines of the run's files no number is made of, and why."""
    if not content.left_out:
        return ""
    listed = "".join(tag("li", one) for one in content.left_out[:most])
    if len(content.left_out) > most:
        listed += tag("li", f"and {len(content.left_out) - most} more")
    lead = f"Left out of this page, as damaged or measured anew: {len(content.left_out)} lines."
    return Html(f'<div class="missing">{tag("p", lead)}{folded("which lines, and why", f"<ul>{listed}</ul>")}</div>')


def hardened(name: str) -> bool:
    """Does a model's name say that it was trained under attack? A model of one's own has a name that says nothing.

    >>> hardened("TRADES(ε=8,α=2,i=7), contrast 0.15–0.5"), hardened("mine:make"), hardened("standard(smooth=0.1)")
    (True, False, False)
    """
    method = name.partition(", contrast ")[0].partition(" behind ")[0]
    try:
        return parse_policy(method).family != "standard"
    except NotationError:
        return False


def _other_models(rows: Sequence[Row]) -> list[str]:
    """The models of a run that measured something else than accuracies of its own, such as transfer between models."""
    if any(of_kind(rows, kind) for kind in ("accuracy", "robustness", "epoch")):
        return []
    return model_order(row["model"] for row in rows if "model" in row)


def _studied(content: RunContent) -> Html:
    """How many models were evaluated, attacked and trained: the figures below show no others."""
    rows, config = content.rows, content.config
    of = {kind: {row["model"] for row in of_kind(rows, kind)} for kind in ("accuracy", "robustness", "epoch")}
    attacked = {row["model"] for row in of_kind(rows, "robustness") if row["eps"] > 0}
    models = model_order(row["model"] for row in rows if row["kind"] in ("accuracy", "robustness"))
    profile = f", profile {config['profile']}" if "profile" in config else ""
    lead = f"Run {content.name}: {content.run.kind}{profile}."
    others = _other_models(rows)
    if others:
        found = dict.fromkeys(figure.title for figure in FIGURES if of_kind(rows, figure.kind))
        titles = ", ".join(found) or "Clips to watch"
        listed = "".join(f"<li>{policy(name)}</li>" for name in others)
        return Html(tag("p", f"{lead} {titles}: {counted(len(others), 'model')}.") + f"<ul>{listed}</ul>")
    if not models:
        return Html(tag("p", lead) + tag("p", "No model has been evaluated yet."))
    known = set(models)
    seeds = {row["seed"] for row in rows if row.get("model") in known and "seed" in row}
    hard = sum(map(hardened, models))
    lead += f" {len(models)} model{'s' if len(models) > 1 else ''} evaluated, {hard} of them adversarially trained, "
    lead += f"{len(attacked)} attacked; " if len(attacked) != len(models) else "all attacked; "
    lead += "one seed each." if len(seeds) == 1 else f"up to {len(seeds)} seeds each."
    further = model_order(of["epoch"] - known)
    if further:
        lead += f" {len(further)} more trained, and not evaluated as such: {', '.join(further[:5])}"
        lead += f" and {len(further) - 5} others." if len(further) > 5 else "."
    listed = "".join(f"<li>{policy(name)}</li>" for name in models)
    return Html(f"{tag('p', lead)}<details><summary>the models</summary><ul>{listed}</ul></details>")


def _files(what: str, files: list[dict[str, str]]) -> str:
    """A folded list of files, each with its reason; nothing if there is none."""
    listed = "".join(tag("li", f"{one['file']}: {one['reason']}") for one in files)
    return f"<details><summary>{what}: {len(files)}</summary><ul>{listed}</ul></details>" if files else ""


def _data(rows: Sequence[Row]) -> Html:
    row = next(iter(of_kind(rows, "dataset")), None)
    if row is None:
        return missing_note("no data row: step 1 (data) is missing.")
    clips, groups = (
        ", ".join(f"{row[name][split]} {split}" for split in ("train", "val", "test") if split in (row.get(name) or {}))
        for name in ("clips", "groups")
    )
    lead = f"Data set {row['name']}: {counted(len(row['classes']), 'class')}; clips: {clips}"
    lead += f"; from sources: {groups}." if groups else "."
    contrast = row.get("contrast")
    lead += f" {row['frames']} frames of {row['size']}×{row['size']} pixels"
    lead += f", contrast {contrast[0]:g} to {contrast[1]:g}." if contrast else "."
    names = "".join(tag("li", name) for name in row["classes"])
    skipped = row.get("skipped") or []
    left = _files("Skipped files", skipped) + _files("Damaged files used without some frames", row.get("damaged") or [])
    if row.get("missing"):
        left += tag("p", f"Clips of the official lists that are missing: {row['missing']}.")
    told_skipped = "" if skipped else tag("p", "No file was skipped.", "soft")
    return Html(
        f"{tag('p', lead)}<details><summary>the classes</summary><ul>{names}</ul></details>{left}{told_skipped}"
    )


# --------------------------------------------------------------------------------------------------- how robust


RANKED_AT = (4.0, 8.0, 2.0)
"""The ε at which models are ranked, the first that most have; else the largest that most have."""


def headline(rows: Sequence[Row]) -> tuple[int, float, list[Curve]] | None:
    """The evaluation that most models have, the ε at which they are ranked, and their curves, most robust first."""
    steps = main_steps(rows)
    curves = [curve for curve in robustness_curves(rows) if curve.steps == steps]
    count = Counter(point.x for curve in curves for point in curve.points if point.x > 0)
    if steps is None or not count:
        return None
    models = max(count.values())
    most = [eps for eps, number in count.items() if number == models]
    eps = next((eps for eps in RANKED_AT if eps in most), max(most))
    found = [(point.accuracy, curve) for curve in curves if (point := at(curve, eps))]
    return steps, eps, [curve for _, curve in sorted(found, key=lambda pair: -pair[0])]


def at(curve: Curve, eps: float) -> Point | None:
    """The point of a curve at one ε."""
    return next((point for point in curve.points if point.x == eps), None)


def _robust(rows: Sequence[Row], of_study: bool) -> Html:
    found = headline(rows)
    if found is None:
        return _robust_otherwise(rows, of_study)
    steps, eps, ranked = found
    best = next((curve for curve in ranked if curve.model not in CONTROLS), ranked[0])
    point = at(best, eps)
    assert point is not None  # a headline has this ε in every curve
    lead = Html(f"Most robust at ε={eps:g}/255: {policy(best.model)}, {text(point)}.")
    points = [point for curve in ranked if (point := at(curve, eps))]
    note = f"Dot and line: accuracy under PGD(i={steps}) at ε={eps:g}; {intervals_of(points)}. Ring: without attack."
    lines = "".join(_line(curve.model, point, at(curve, 0.0)) for curve in ranked if (point := at(curve, eps)))
    return Html(f'{tag("p", lead)}<div class="strip">{lines}</div>{tag("p", note, "soft")}{_worst_case(rows)}')


def _worst_case(rows: Sequence[Row]) -> Html:
    """The same under all attacks of a judgement, where a run has it: PGD alone may rank models otherwise."""
    by_eps = grouped(worst_case_rows(rows), "eps")
    if not by_eps:
        return Html("")
    eps = max(by_eps, key=lambda eps: len(by_eps[eps]))
    points = {model: pooled(eps, some) for model, some in grouped(by_eps[eps], "model").items()}
    ranked = sorted(points, key=lambda model: -points[model].accuracy)
    best = next((model for model in ranked if model not in CONTROLS), ranked[0])
    lead = f"In the worst case of all attacks, at ε={eps:g}/255: {policy(best)}, {text(points[best])}."
    note = f"Dot and line: clips at ε={eps:g} that no attack breaks; {intervals_of(points.values())}."
    lines = "".join(_line(model, points[model]) for model in ranked)
    strip = f'<div class="strip">{lines}</div>{tag("p", note, "soft")}'
    return Html(tag("p", Html(lead)) + folded("every model in the worst case", strip))


def _robust_otherwise(rows: Sequence[Row], of_study: bool) -> Html:
    """What is known where nothing was attacked by plain PGD: under each model's strongest attack."""
    lines = []
    for model, points in attack_points(rows).items():
        label, point = min(points.items(), key=lambda pair: pair[1].accuracy)
        lines.append(tag("li", Html(f"{policy(model)}: {text(point)} under {text(label)}")))
    if not lines:
        lacking = "step 6 (accuracy against ε) is missing" if of_study else "vidrobust evaluate measures them"
        return missing_note(f"No accuracies under attack yet: {lacking}.")
    lead = tag("p", "No model was attacked by L∞ PGD on the whole clip without a defence. Strongest on each:")
    return Html(f"{lead}<ul>{''.join(lines)}</ul>")


def _line(model: str, point: Point, clean: Point | None = None) -> str:
    """An accuracy and its interval on a line from 0 to 100 %."""
    low, high = point.interval
    ring = f'<i class="ring" style="left:{100 * clean.accuracy:.1f}%"></i>' if clean else ""
    words = str(point) + (f"; without attack {100 * clean.accuracy:.1f} %" if clean else "")
    return (
        f'<div>{policy(model)}<span class="track" role="img" aria-label="{text(words)}" title="{text(words)}">'
        f'<i class="whisker" style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></i>'
        f'<i class="dot" style="left:{100 * point.accuracy:.1f}%"></i>{ring}</span>'
        f"<b>{100 * point.accuracy:.0f} %</b></div>"
    )


# ---------------------------------------------------------------------------------------------------- can I trust it


def _trust(content: RunContent) -> Html:
    rows, claims, lead = content.rows, content.claims, []
    if content.run.kind == "study":
        chips = " ".join(
            tag(
                "span",
                f"{sum(one.verdict == verdict for one in claims)} {verdict}",
                f"chip {verdict.replace(' ', '-')}",
            )
            for verdict in VERDICTS
        )
        lead.append(tag("p", Html(f'Claims of the slides: {chips} <a href="#claims">why</a>')))
    lead.append(note_of(content))
    flags = masking_flags(rows)
    if flags:
        passed = sum(flag.passed for flag in flags)
        kind = "passed" if passed == len(flags) else "failed"
        chip = tag("span", f"{passed} of {len(flags)} passed", f"chip {kind}")
        lead.append(tag("p", Html(f'Checks for masked gradients: {chip} <a href="#checks">which</a>')))
        lead += [
            missing_note(f"of {one.model}: {one.sentence}.")
            for one in flags
            if one.check in (ATTACKED_CHECK, SELF_TEST_CHECK) and not one.passed
        ]
    lead += map(missing_note, contradictions(rows))
    lead.append(single_frame_note(rows))
    return Html("".join(lead))


def note_of(content: RunContent) -> Html:
    """What who kept the run wants its readers to know; nothing if there is no note."""
    return tag("p", content.run.note, "remark") if content.run.note else Html("")


def single_frame_note(rows: Sequence[Row]) -> Html:
    """Can the task be solved from one frame? Then motion is not what was attacked."""
    control = [row for row in of_kind(rows, "accuracy") if (row["model"], row["split"]) == ("single frame", "test")]
    data = next(iter(of_kind(rows, "dataset")), None)
    if not control or not data:
        return missing_note("The single-frame control, which shows whether motion is needed, is missing.")
    point, chance = clean_point(control, "top1"), 1 / len(data["classes"])
    low, high = point.interval
    verdict = (
        "above chance: part of the task can be told from one frame"
        if low > chance
        else "not above chance: motion is needed"
    )
    sentence = f"Single-frame control (sees no motion): {point}; chance is {100 * chance:.1f} %, "
    return tag("p", f"{sentence}so it is {verdict}." + ("" if high >= chance else " It is below chance."))
