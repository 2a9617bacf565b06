"""One offline page of many judgements: sortable, with whether to trust each number, and who lowered it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from vidrobust.results.judgements.ranking import Standing, ranked, read_judgements, record_name
from vidrobust.results.judgements.record import Judgement, threat_name
from vidrobust.results.pages.embedded import scripts
from vidrobust.results.pages.judged_corruptions import mean_percent, mean_share
from vidrobust.results.pages.judgement import document, percent
from vidrobust.results.pages.markup import Html, tag, text
from vidrobust.runs.files import write_atomic

HEAD = ("model", "data", "track", "threat", "clean", "worst case", "trust", "found by")

CORRUPTED = ("model", "data", "clean", "mPC", "rPC", "γᵃ", "γʳ", "measured by")

MEANS = ("mpc", "rpc", "gamma_absolute", "gamma_relative")
"""What the kinds of a convention add up to, in the order of the columns."""

SortedCell: TypeAlias = "tuple[object, object]"
"""What a cell is sorted by, and what it says."""


def leaderboard(folder: str | Path, out: str | Path | None = None) -> tuple[Path, list[str]]:
    """Write the page of all judgements below a folder.

    Args:
        folder: holds folders of ``vidrobust judge``.
        out: the file to write; ``leaderboard.html`` in the folder if not given.

    Returns:
        The file, and why records were refused.

    Raises:
        InputError: there is no record.
        RunError: the page cannot be written.
    """
    root = Path(folder)
    judgements, refused = read_judgements(root)
    body = _body(ranked(judgements, root), judgements, refused, root)
    target = Path(out) if out is not None else root / "leaderboard.html"
    write_atomic(target, document("Leaderboard", body, scripts("leaderboard.js")).encode())
    return target, refused


def _body(standings: Sequence[Standing], judgements: Sequence[Judgement], refused: Sequence[str], root: Path) -> str:
    lead = (
        "What counts of a model is the smallest perturbation of each clip that any record of the same weights and the "
        "same clips holds. Records are as their makers wrote them; vidrobust verify scores their clips anew."
    )
    tracks: dict[str, list[list[SortedCell]]] = {}
    for one in standings:
        tracks.setdefault(one.track, []).append(_standing(one))
    parts = [tag("p", lead)]
    parts += [_table(track, HEAD, rows) for track, rows in tracks.items()]
    parts += [_table(f"Under corruptions: {name}", CORRUPTED, rows) for name, rows in _corrupted(judgements, root)]
    if refused:
        listed = "".join(tag("li", why) for why in refused)
        parts.append(Html(tag("h2", f"Records that do not count: {len(refused)}") + f"<ul>{listed}</ul>"))
    return "".join(parts)


def _standing(one: Standing) -> list[SortedCell]:
    """The cells of a model under a threat."""
    lowered = "; ".join(f"{name} broke {count} more" for name, count in one.lowered.items())
    return [
        (one.model, one.model),
        (one.data, one.data),
        (one.track, one.track),
        (one.threat[1], threat_name(*one.threat)),
        (one.clean["correct"] / one.clean["clips"], percent(one.clean)),
        (one.worst["correct"] / one.worst["clips"], percent(one.worst)),
        (int(one.trust), "✓ trust" if one.trust else f"✗ do not trust: {'; '.join(one.reasons)}"),
        (one.first, one.first + (f"; {lowered}" if lowered else "")),
    ]


def _corrupted(judgements: Sequence[Judgement], root: Path) -> list[tuple[str, list[list[SortedCell]]]]:
    """The tables of conventions, the models in them by their mean accuracy; of the same model and clips, one record."""
    found: dict[str, dict[tuple[str, str], tuple[float, list[SortedCell]]]] = {}
    for judgement in judgements:
        record = judgement.record
        for one in record.get("corruptions", ()):
            means = [(one[name], mean_percent if name in ("mpc", "rpc") else mean_share) for name in MEANS]
            data = f"{record['data']['name']}, {record['data']['split']}"
            clean = one["clean"]["correct"] / one["clean"]["clips"], percent(one["clean"])
            cells: list[SortedCell] = [(judgement.name, judgement.name), (data, data), clean]
            cells += [(mean["value"], said(mean)) if mean else ("", "–") for mean, said in means]
            cells.append((record_name(judgement, root),) * 2)
            key = record["model"]["weights"], record["clips"]["hash"]
            found.setdefault(one["convention"], {}).setdefault(key, (-one["mpc"]["value"], cells))
    return [
        (name, [cells for _, cells in sorted(lines.values(), key=lambda line: line[0])])
        for name, lines in sorted(found.items())
    ]


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[SortedCell]]) -> Html:
    heads = "".join(f'<th scope="col"><button type="button">{text(name)}</button></th>' for name in head)
    body = "".join(_row(head, cells) for cells in rows)
    return Html(
        f'<h2>{text(title)}</h2><div class="scroll" tabindex="0" role="region" aria-label="{text(title)}">'
        f'<table class="sortable stack"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _row(head: Sequence[str], cells: Sequence[SortedCell]) -> Html:
    """A line, whose cells carry what they are sorted by; the first names it."""
    (by, said), *others = cells
    inside = "".join(
        f'<td data-label="{text(label)}" data-sort="{text(by)}">{text(said)}</td>'
        for label, (by, said) in zip(head[1:], others, strict=True)
    )
    return Html(f'<tr><th scope="row" data-sort="{text(by)}">{text(said)}</th>{inside}</tr>')
