"""Corrupted clips to watch: a strip for each kind, clean and at each severity, with the model's answers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from vidrobust.errors import RunError
from vidrobust.results.numbers.selection import MissingRowsError, grouped, of_kind
from vidrobust.results.pages.content import RunContent
from vidrobust.results.pages.embedded import Embedded
from vidrobust.results.pages.markup import Html, folded, html_table, missing_note, tag, text
from vidrobust.runs.rows import Row

LARGEST_STRIP = 8 << 20
"""Bytes of a file that a page takes in."""

LARGEST_PAGE = 24 << 20
"""Bytes of all strips of a page."""


def corrupted_clips(content: RunContent, page: Embedded) -> Html:
    """The strips of a run, folded, kind by kind.

    Raises:
        MissingRowsError: there are none.
    """
    found = of_kind(content.rows, "corruption_example")
    if not found:
        raise MissingRowsError(
            "no corrupted clips to watch: `vidrobust evaluate RUN --corruption ucf101-p` stores some."
        )
    parts, spent = [tag("p", "Open a kind to watch one clip: clean, then at each severity. Closed, nothing moves.")], 0
    for (model, convention), some in grouped(found, "model", "convention").items():
        inside = []
        for row in some:
            try:
                data = read_strip(content.run.path, row["file"], LARGEST_PAGE - spent)
            except RunError as error:
                inside.append(missing_note(error))
                continue
            spent += len(data)
            inside.append(folded(row["corruption"].replace("_", " "), _strip(row, data)))
        parts.append(Html(tag("h3", f"{convention}, {model}") + "".join(inside)))
    return Html("".join(parts))


def read_strip(run: Path, name: str, most: int) -> bytes:
    """The bytes of an animated WebP of a run.

    Raises:
        RunError: the file is missing, outside the run, too large or something else.
    """
    try:
        path = (run / name).resolve()
        inside, regular = path.is_relative_to(run.resolve()), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise RunError(f"the strip {name!r} cannot be read ({error}); it is not shown.") from error
    if not inside or not regular:
        raise RunError(f"the strip {name!r} is missing or lies outside the run directory; it is not shown.")
    if path.stat().st_size > min(most, LARGEST_STRIP):
        raise RunError(f"the strip {name!r} is not shown, so that the page stays small; it is in the run.")
    data = path.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise RunError(f"the strip {name!r} is no WebP and is not shown.")
    return data


def _strip(row: Row, data: bytes) -> Html:
    severities = ["clean", *(f"severity {level}" for level in row["severities"][1:])]
    kind = row["corruption"].replace("_", " ")
    description = f"{row['video']}, class {row['label']}, {kind}: from left to right {', '.join(severities)}"
    image = (
        f'<img class="strip" alt="{text(description)}" src="data:image/webp;base64,{base64.b64encode(data).decode()}">'
    )
    said = [f"{name} ({100 * share:.0f} %)" for name, share in row["answers"]]
    return Html(tag("p", description, "soft") + image + _answers(severities, said, f"Answers under {kind}"))


def _answers(severities: Sequence[str], said: Sequence[str], caption: str) -> Html:
    return html_table(("", *severities), [("answer", *said)], caption, "grid")
