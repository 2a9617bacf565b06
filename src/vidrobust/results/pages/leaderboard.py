"""One offline page of many judgements: sortable, with whether to trust each number, and who lowered it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidrobust.results.judgements.ranking import Standing, ranked, read_judgements
from vidrobust.results.judgements.record import threat_name
from vidrobust.results.pages.embedded import scripts
from vidrobust.results.pages.judgement import document, percent
from vidrobust.results.pages.markup import Html, tag, text
from vidrobust.runs.files import write_atomic

HEAD = ("model", "data", "track", "threat", "clean", "worst case", "trust", "found by")


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
    standings = ranked(judgements, root)
    target = Path(out) if out is not None else root / "leaderboard.html"
    write_atomic(target, document("Leaderboard", _body(standings, refused), scripts("leaderboard.js")).encode())
    return target, refused


def _body(standings: Sequence[Standing], refused: Sequence[str]) -> str:
    tracks = list(dict.fromkeys(one.track for one in standings))
    lead = (
        "What counts of a model is the smallest perturbation of each clip that any record of the same weights and the "
        "same clips holds. Records are as their makers wrote them; vidrobust verify scores their clips anew."
    )
    parts = [tag("p", lead)]
    parts += [_track(track, [one for one in standings if one.track == track]) for track in tracks]
    if refused:
        listed = "".join(tag("li", why) for why in refused)
        parts.append(Html(tag("h2", f"Records that do not count: {len(refused)}") + f"<ul>{listed}</ul>"))
    return "".join(parts)


def _track(track: str, standings: Sequence[Standing]) -> Html:
    head = "".join(f'<th scope="col"><button type="button">{text(name)}</button></th>' for name in HEAD)
    rows = "".join(_row(one) for one in standings)
    return Html(
        f'<h2>{text(track)}</h2><div class="scroll" tabindex="0" role="region" aria-label="{text(track)}">'
        f'<table class="sortable stack"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(one: Standing) -> Html:
    """A line, whose cells carry what they are sorted by."""
    lowered = "; ".join(f"{name} broke {count} more" for name, count in one.lowered.items())
    cells: list[tuple[object, object]] = [
        (one.data, one.data),
        (one.track, one.track),
        (one.threat[1], threat_name(*one.threat)),
        (one.clean["correct"] / one.clean["clips"], percent(one.clean)),
        (one.worst["correct"] / one.worst["clips"], percent(one.worst)),
        (int(one.trust), "✓ trust" if one.trust else f"✗ do not trust: {'; '.join(one.reasons)}"),
        (one.first, one.first + (f"; {lowered}" if lowered else "")),
    ]
    inside = "".join(
        f'<td data-label="{text(label)}" data-sort="{text(by)}">{text(said)}</td>'
        for label, (by, said) in zip(HEAD[1:], cells, strict=True)
    )
    return Html(f'<tr><th scope="row" data-sort="{text(one.model)}">{text(one.model)}</th>{inside}</tr>')
