"""The page of a judgement, and its lines in the terminal: the verdict first. Made from the record alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from vidrobust.results.judgements.record import Judgement, threat_name
from vidrobust.results.pages.console import printable
from vidrobust.results.pages.embedded import resource
from vidrobust.results.pages.judged_corruptions import corruption_lines, corruption_part
from vidrobust.results.pages.markup import Html, folded, html_table, tag, text
from vidrobust.runs.files import write_atomic
from vidrobust.runs.provenance import package_version
from vidrobust.runs.wording import counted

CURVE = (320, 140)
"""Width and height of a curve, in pixels."""


def percent(share: dict[str, Any]) -> str:
    """A count with its interval.

    >>> percent({"correct": 5, "clips": 20, "low": 0.1, "high": 0.47, "sources": 20})
    '25.0 % [10.0 %, 47.0 %] of 20 clips of 20 sources'
    >>> percent({"correct": 1, "clips": 1, "low": 0.02, "high": 1.0, "sources": 1})
    '100.0 % [2.0 %, 100.0 %] of 1 clip of 1 source'
    """
    value = share["correct"] / share["clips"]
    low, high = share["low"], share["high"]
    return (
        f"{value:.1%} [{low:.1%}, {high:.1%}] of {counted(share['clips'], 'clip')} of "
        f"{counted(share['sources'], 'source')}".replace("%", " %")
    )


def lines(judgement: Judgement) -> list[str]:
    """The judgement for a terminal: the verdict, why, and the numbers."""
    record = judgement.record
    found = [f"verdict on {judgement.name}: {record['verdict']}"]
    found += [f"  because {reason}" for reason in record["reasons"]]
    found += [f"  it would help to {remedy}" for remedy in record.get("remedies", [])]
    found += [f"note: {note}" for note in record.get("notes", [])]
    found.append(f"clean: {percent(record['clean'])}")
    if "videos" in record:
        found.append(f"clean, whole videos: {percent(record['videos'])}".replace("clip", "video"))
    for threat in record["threats"]:
        found.append(f"{_name(threat)}, worst case: {percent(threat['worst_case'])}")
    found += corruption_lines(record)
    return [printable(line) for line in found]


def page(judgement: Judgement, out: Path | None = None) -> Path:
    """Write the page of a judgement, by default beside its record.

    Raises:
        RunError: it cannot be written.
    """
    record = judgement.record
    parts = [_verdict(record), _numbers(record)]
    parts += [_threat(threat, record) for threat in record["threats"]]
    parts += [corruption_part(record), _model(record), _provenance(record)]
    target = out or judgement.path.with_name("judgement.html")
    write_atomic(target, document(f"Judgement of {judgement.name}", "".join(parts)).encode())
    return target


def document(title: str, body: str, script: str = "") -> str:
    """A whole offline page; control characters of names become �."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    policy += "; script-src 'unsafe-inline'" if script else ""
    return printable(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="generator" content="vidrobust {escape(package_version())}">\n<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}</title>\n<style>{_styles()}</style>\n</head>\n"
        f'<body class="page">\n<main id="main">\n<h1>{text(title)}</h1>\n{body}\n</main>\n'
        f"{f'<script>{script}</script>' if script else ''}\n</body>\n</html>\n"
    )


def _styles() -> str:
    """The styles of a page without a switch: dark where the reader's system is."""
    css = resource("page.css")
    dark = re.findall(r':root\[data-theme="dark"\] (\{.*?\})', css, re.DOTALL)[0]
    return f"{css}\n@media (prefers-color-scheme: dark) {{ :root {dark} }}\n{resource('judgement.css')}"


def _name(threat: dict[str, Any]) -> str:
    return threat_name(threat["norm"], threat["eps"], threat["support"])


def _listed(items: Sequence[object], ordered: bool = False) -> Html:
    name = "ol" if ordered else "ul"
    return Html(f"<{name}>{''.join(tag('li', item) for item in items)}</{name}>")


def _verdict(record: dict[str, Any]) -> Html:
    trusted = record["verdict"] == "trust"
    kind = "trusted" if trusted else "doubted"
    said = "Trust these numbers." if trusted else "Do not trust these numbers, because:"
    inside = tag("p", tag("strong", said))
    if not trusted:
        inside = Html(inside + _listed(record["reasons"]) + tag("p", "What would raise the trust:"))
        inside = Html(inside + _listed(record.get("remedies", [])))
    if record.get("notes"):
        inside = Html(inside + tag("p", "To know:") + _listed(record["notes"]))
    return Html(f'<section class="verdict {kind}" aria-label="verdict">{inside}</section>')


def _numbers(record: dict[str, Any]) -> Html:
    rows: list[Sequence[object]] = [("clean clips", percent(record["clean"]))]
    if "videos" in record:
        rows.append(("clean videos, by several clips of each", percent(record["videos"]).replace("clip", "video")))
    rows += [(f"{_name(threat)}, worst case", percent(threat["worst_case"])) for threat in record["threats"]]
    caption = "Accuracy, with 95 % intervals clustered by source"
    return Html(tag("h2", "How robust it is") + html_table(("clips", "accuracy"), rows, caption))


def _threat(threat: dict[str, Any], record: dict[str, Any]) -> Html:
    name, clips = _name(threat), record["clean"]["clips"]
    only, fell = threat.get("only", {}), threat.get("fell", {})
    attacks = [
        (attack, left, fell.get(attack, 0), only.get(attack, "–"))
        for attack, left in threat.get("standing", {}).items()
    ]
    parts = [tag("h2", name), curve(threat, clips)]
    standing = f"of {counted(clips, 'clip')} stand after it"
    head = ("attack", standing, "nearest found by it", "in the subset broken by it alone")
    parts.append(html_table(head, attacks, f"{name}: which attack broke what"))
    parts.append(_checks(threat.get("checks", []), f"{name}: signs that the attacks fail"))
    listed = _listed([f"{attack}: {how}" for attack, how in threat.get("attacks", {}).items()])
    return Html("".join(parts) + folded("The attacks with their parameters", listed))


def curve(threat: dict[str, Any], clips: int) -> Html:
    """Clips that stand against ε, as steps, with the judged ε marked."""
    points, (width, height) = threat.get("curve", []), CURVE
    if len(points) < 2:
        return Html("")
    most = max(at for at, _ in points)
    places = [(width * at / most, height * (1 - left / clips)) for at, left in points]
    path = f"M{places[0][0]:.1f},{places[0][1]:.1f}" + "".join(f"L{x:.1f},{y:.1f}" for x, y in places[1:])
    mark, clip_count = width * threat["eps"] / most, counted(clips, "clip")
    caption = f"accuracy against ε, 0 to {most:g}/255: from {points[0][1]} to {points[-1][1]} of {clip_count}"
    return Html(
        f'<figure class="curve"><svg viewBox="-4 -4 {width + 8} {height + 8}" width="{width}" role="img" '
        f'aria-label="{text(caption)}"><path class="axis" d="M0,0V{height}H{width}"/>'
        f'<path class="mark" d="M{mark:.1f},0V{height}"/><path class="line" d="{path}"/></svg>'
        f"<figcaption>{text(caption)}; the dashed line is ε={threat['eps']:g}</figcaption></figure>"
    )


def _checks(checks: Sequence[dict[str, Any]], caption: str) -> Html:
    rows = [
        (
            one["name"],
            f"{one['count']} of {one['of']}",
            f"over {one.get('limit', 0):.0%}".replace("%", " %"),
            "speaks against the number" if one.get("speaks") else "fine",
            one.get("text", "") + (f" ({one['told']})" if one.get("told") else "") if one.get("speaks") else "",
        )
        for one in checks
    ]
    return html_table(("check", "measured", "limit", "outcome", "what it means"), rows, caption)


def _model(record: dict[str, Any]) -> Html:
    return Html(tag("h2", "The model and its data") + _checks(record["checks"], "Model and data"))


def _provenance(record: dict[str, Any]) -> Html:
    rows: list[Sequence[object]] = [
        ("weights", record["model"]["weights"]),
        ("clips", record["clips"]["hash"]),
        ("data", f"{record['data']['name']}, {record['data']['split']}"),
        ("vidrobust", f"{record['code'].get('version', '')} ({record['code'].get('revision', '')})"),
        ("gradients", record.get("gradients", "")),
        ("seconds of all processes", record.get("seconds", "")),
    ]
    rows += [(name, value) for name, value in record.get("machine", {}).items()]
    found = html_table(("what", "value"), rows, "Where it came from")
    return Html(
        tag("h2", "Where it came from") + found + folded("Versions", _listed(_pairs(record.get("versions", {}))))
    )


def _pairs(values: dict[str, str]) -> list[str]:
    return [f"{name} {value}" for name, value in values.items()]
