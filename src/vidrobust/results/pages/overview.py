"""The first screen: what was studied, on what, how robust it is, and whether to trust it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vidrobust.errors import NotationError
from vidrobust.notation import parse_policy
from vidrobust.results.figures.plots import MISSING_STEP
from vidrobust.results.numbers.accuracy import Curve, Point, main_steps, robustness_curves, share
from vidrobust.results.numbers.attacks import attack_points
from vidrobust.results.numbers.claims import Claim
from vidrobust.results.numbers.intervals import interval
from vidrobust.results.numbers.masking import masking_flags
from vidrobust.results.numbers.selection import CONTROLS, model_order, of_kind
from vidrobust.results.pages.markup import Html, folded, missing, policy, tag, text
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import Row

VERDICTS = ("reproduced", "not reproduced", "undecided")

_STEPS = {
    "dataset": "data", "accuracy": "standard accuracy", "trajectory": "sensitivity", "step_size": "α* against ε",
    "epoch": "training curves", "robustness": "accuracy against ε", "masking": "checks for masked gradients",
    "gap": "generalisation gap", "example": "clips to watch",
}  # fmt: skip


def overview(run: Run, rows: Sequence[Row], judged: Sequence[Claim]) -> Html:
    """Four answers, and what the run lacks."""
    cards = [
        ("What was studied", _studied(run, rows)),
        ("On what", _data(rows)),
        ("How robust", _robust(rows)),
        ("Can it be trusted", _trust(run, rows, judged)),
    ]
    lacking = lacks(run, rows)
    told = missing(f"This run lacks: {', '.join(lacking)}. {MISSING_STEP}") if lacking else ""
    told += _left(run, rows)
    body = "".join(f'<div class="card"><h3>{text(title)}</h3>{html}</div>' for title, html in cards)
    return Html(f'{told}<div class="cards">{body}</div>')


def lacks(run: Run, rows: Sequence[Row]) -> list[str]:
    """What a study was asked for and has not (yet): whole steps, then models that were not trained or evaluated."""
    if run.kind != "study":
        return []
    present = {row["kind"] for row in rows}
    told = [name for kind, name in _STEPS.items() if kind not in present]
    wanted = len(run.config.get("policies", ())) * run.config.get("seeds", 1)
    for kind, what in _PARTS.items():
        left = _unfinished(run, rows, kind)
        if kind in present and left:
            told.append(f"{what} of {len(left)} of {wanted} models and seeds")
    return told


_PARTS = {"epoch": "training", "robustness": "accuracy against ε"}


def _unfinished(run: Run, rows: Sequence[Row], kind: str) -> list[tuple[str, int]]:
    """The models and seeds that a study was asked for and that have no rows of a kind."""
    have = {(row["model"], row["seed"]) for row in of_kind(rows, kind)}
    seeds = range(run.config.get("seeds", 1))
    return [one for model in run.config.get("policies", ()) for seed in seeds if (one := (model, seed)) not in have]


def _left(run: Run, rows: Sequence[Row]) -> str:
    """The names of the models that a killed study has not come to."""
    if run.kind != "study" or not rows:
        return ""
    told = ""
    for kind, what in _PARTS.items():
        left = _unfinished(run, rows, kind)
        seeds = {model: [seed for name, seed in left if name == model] for model, _ in left}
        items = "".join(f"<li>{policy(m)}, seeds {', '.join(map(str, some))}</li>" for m, some in seeds.items())
        told += folded(f"no {what} yet: {len(left)}", f"<ul>{items}</ul>") if left else ""
    return told


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


def _studied(run: Run, rows: Sequence[Row]) -> Html:
    models = model_order(row["model"] for row in rows if "model" in row and row["kind"] in ("accuracy", "robustness"))
    seeds = {row["seed"] for row in rows if row.get("model") in models and "seed" in row}
    profile = f", profile {run.config['profile']}" if "profile" in run.config else ""
    told = f"Run {run.path.resolve().name}: {run.kind}{profile}."
    if not models:
        return Html(tag("p", told) + tag("p", "No model has been evaluated yet."))
    trained = [name for name in models if hardened(name)]
    told += f" {len(models)} model{'s' if len(models) > 1 else ''}, {len(trained)} of them adversarially trained, "
    told += "one seed each." if len(seeds) == 1 else f"up to {len(seeds)} seeds each."
    listed = "".join(f"<li>{policy(name)}</li>" for name in models)
    return Html(f"{tag('p', told)}<details><summary>the models</summary><ul>{listed}</ul></details>")


def _files(what: str, files: list[dict[str, str]]) -> str:
    """A folded list of files, each with what is said of it; nothing if there is none."""
    listed = "".join(tag("li", f"{one['file']}: {one['reason']}") for one in files)
    return f"<details><summary>{what}: {len(files)}</summary><ul>{listed}</ul></details>" if files else ""


def _data(rows: Sequence[Row]) -> Html:
    row = next(iter(of_kind(rows, "dataset")), None)
    if row is None:
        return missing("no data row: step 1 (data) is missing.")
    clips, groups = (
        ", ".join(f"{row[name][split]} {split}" for split in ("train", "val", "test") if split in (row.get(name) or {}))
        for name in ("clips", "groups")
    )
    told = f"Data set {row['name']}: {len(row['classes'])} classes; clips: {clips}"
    told += f"; from groups: {groups}." if groups else "."
    contrast = row.get("contrast")
    told += f" {row['frames']} frames of {row['size']}×{row['size']} pixels"
    told += f", contrast {contrast[0]:g} to {contrast[1]:g}." if contrast else "."
    names = "".join(tag("li", name) for name in row["classes"])
    skipped = row.get("skipped") or []
    left = _files("Skipped files", skipped) + _files("Damaged files used without some frames", row.get("damaged") or [])
    if row.get("missing"):
        left += tag("p", f"Clips of the official lists that are missing: {row['missing']}.")
    told_skipped = "" if skipped else tag("p", "No file was skipped.", "soft")
    return Html(
        f"{tag('p', told)}<details><summary>the classes</summary><ul>{names}</ul></details>{left}{told_skipped}"
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
    most = [eps for eps, number in count.items() if number == max(count.values())]
    eps = next((eps for eps in RANKED_AT if eps in most), max(most))
    found = [(point.accuracy, curve) for curve in curves if (point := at(curve, eps))]
    return steps, eps, [curve for _, curve in sorted(found, key=lambda pair: -pair[0])]


def at(curve: Curve, eps: float) -> Point | None:
    """The point of a curve at one ε."""
    return next((point for point in curve.points if point.x == eps), None)


def _robust(rows: Sequence[Row]) -> Html:
    found = headline(rows)
    if found is None:
        return _robust_otherwise(rows)
    steps, eps, ranked = found
    best = next((curve for curve in ranked if curve.model not in CONTROLS), ranked[0])
    point = at(best, eps)
    assert point is not None  # a headline has this ε in every curve
    told = Html(f"Most robust at ε={eps:g}/255: {policy(best.model)}, {text(share(point.correct, point.clips))}.")
    note = f"Dot and line: accuracy under PGD(i={steps}) at ε={eps:g}, with its 95 % interval. Ring: without attack."
    lines = "".join(_strip(curve, eps) for curve in ranked)
    return Html(f'{tag("p", told)}<div class="strip">{lines}</div>{tag("p", note, "soft")}')


def _robust_otherwise(rows: Sequence[Row]) -> Html:
    """What is known where nothing was attacked by plain PGD: under each model's strongest attack."""
    lines = []
    for model, points in attack_points(rows).items():
        label, point = min(points.items(), key=lambda pair: pair[1].accuracy)
        lines.append(tag("li", Html(f"{policy(model)}: {text(share(point.correct, point.clips))} under {text(label)}")))
    if not lines:
        return missing("No accuracies under attack yet: step 6 (accuracy against ε) is missing.")
    told = tag("p", "No model was attacked by L∞ PGD on the whole clip without a defence. Strongest on each:")
    return Html(f"{told}<ul>{''.join(lines)}</ul>")


def _strip(curve: Curve, eps: float) -> str:
    point, clean = at(curve, eps), at(curve, 0.0)
    assert point is not None
    low, high = point.interval
    ring = f'<i class="ring" style="left:{100 * clean.accuracy:.1f}%"></i>' if clean else ""
    words = share(point.correct, point.clips) + (f"; without attack {100 * clean.accuracy:.1f} %" if clean else "")
    return (
        f'<div>{policy(curve.model)}<span class="track" role="img" aria-label="{text(words)}" title="{text(words)}">'
        f'<i class="whisker" style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></i>'
        f'<i class="dot" style="left:{100 * point.accuracy:.1f}%"></i>{ring}</span>'
        f"<b>{100 * point.accuracy:.0f} %</b></div>"
    )


# ---------------------------------------------------------------------------------------------------- can I trust it


def _trust(run: Run, rows: Sequence[Row], judged: Sequence[Claim]) -> Html:
    told = []
    if run.kind == "study":
        chips = "".join(
            tag(
                "span",
                f"{sum(one.verdict == verdict for one in judged)} {verdict}",
                f"chip {verdict.replace(' ', '-')}",
            )
            for verdict in VERDICTS
        )
        told.append(tag("p", Html(f'Claims of the slides: {chips} <a href="#claims">why</a>')))
    flags = masking_flags(rows)
    if flags:
        passed = sum(flag.passed for flag in flags)
        kind = "passed" if passed == len(flags) else "failed"
        chip = tag("span", f"{passed} of {len(flags)} passed", f"chip {kind}")
        told.append(tag("p", Html(f'Checks for masked gradients: {chip} <a href="#checks">which</a>')))
    told.append(single_frame(rows))
    return Html("".join(told))


def single_frame(rows: Sequence[Row]) -> Html:
    """Can the task be told from one frame? Then motion is not what was attacked."""
    control = [row for row in of_kind(rows, "accuracy") if (row["model"], row["split"]) == ("single frame", "test")]
    data = next(iter(of_kind(rows, "dataset")), None)
    if not control or not data:
        return missing("The single-frame control, which shows whether motion is needed, is missing.")
    correct, clips, chance = sum(r["top1"] for r in control), sum(r["clips"] for r in control), 1 / len(data["classes"])
    low, high = interval(correct, clips)
    verdict = (
        "above chance: part of the task can be told from one frame"
        if low > chance
        else "not above chance: motion is needed"
    )
    told = f"Single-frame control (sees no motion): {share(correct, clips)}; chance is {100 * chance:.1f} %, "
    return tag("p", f"{told}so it is {verdict}." + ("" if high >= chance else " It is below chance."))
