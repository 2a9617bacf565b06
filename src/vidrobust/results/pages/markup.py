"""Strings to markup: everything that comes from a run passes through :func:`text` or :func:`embedded_json`, as text."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape

from vidrobust.results.figures.table import Cell, Table
from vidrobust.runs.printable import printable


class Html(str):
    """Text that is markup already; any other string is escaped before it reaches the page."""


def packed(data: bytes) -> str:
    """Bytes for the page's scripts to unpack: gzip in base64, the same for the same bytes."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


@cache
def packed_plotly() -> str:
    """The one copy of plotly.js that a page carries; packed once for all pages that this process writes."""
    from plotly.offline import get_plotlyjs

    return packed(get_plotlyjs().encode())


def embedded_json(value: object) -> str:
    r"""JSON that may stand inside a script element: no ``<`` can end it, and no NaN, which browsers refuse.

    >>> embedded_json("<\x1b\u202e\\u001b")
    '"\\u003c��\\\\u001b"'
    """
    found = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return _CONTROL.sub(lambda match: match[1] or "�", printable(found))


_CONTROL = re.compile(r"(\\\\)|\\u00[01][0-9a-f]|\\[bfr]")
"""A backslash in JSON, or a control character."""


def text(value: object) -> Html:
    r"""Anything as text of the page, without characters that would turn it around or hide it.

    >>> text("<b>"), text(Html("<b>")), text("a\u202eb\x1b[2J")
    ('&lt;b&gt;', '<b>', 'a�b�[2J')
    """
    return value if isinstance(value, Html) else Html(escape(printable(value)))


def tag(name: str, content: object, kind: str = "") -> Html:
    """An element with some content, of a CSS class."""
    attribute = f' class="{escape(kind)}"' if kind else ""
    return Html(f"<{name}{attribute}>{text(content)}</{name}>")


def policy(model: str) -> Html:
    """A model's name, which a narrow column may break between its parameters only."""
    return tag("span", Html(re.sub(r",(?=[αi])", ",<wbr>", text(model))), "policy")


def missing_note(what: object) -> Html:
    """What is not there, and why."""
    sentence = str(what)
    return tag("p", sentence[:1].upper() + sentence[1:], "missing")


def folded(summary: str, content: str, kind: str = "") -> Html:
    """What opens when its summary is pressed."""
    attribute = f' class="{escape(kind)}"' if kind else ""
    return Html(f"<details{attribute}><summary>{text(summary)}</summary>{content}</details>")


def number_table(of: Table) -> Html:
    """A figure's table: every number with its interval and its clips."""
    lines = [[policy(line[0].text), *map(_cell, line[1:_COLUMNS])] for line in of.lines[:_LINES]]
    caption = of.caption
    if len(of.lines) > _LINES or len(of.head) > _COLUMNS:
        caption += f" The first {_LINES} lines and {_COLUMNS} columns; `vidrobust report RUN --tables csv` writes all."
    return html_table(of.head[:_COLUMNS], lines, caption, "grid")


_LINES, _COLUMNS = 500, 60
"""Of a table that a page shows."""


def _cell(cell: Cell) -> Html:
    if cell.value is None:
        return text(cell.text)
    below = [f"({cell.interval})"] if cell.interval else []
    if cell.correct is not None:
        below.append(f"<br>{cell.correct} of {cell.clips} {text(cell.of)}")
    if cell.text:
        below.append(f"<br><b>{text(cell.text)}</b>")
    number = f"<b>{cell.number}</b>" if cell.best else cell.number
    return Html(f"{number} <small>{' '.join(below).replace(' <br>', '<br>')}</small>")


def html_table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str, kind: str = "stack") -> Html:
    """A table; on a narrow screen, kind ``stack`` puts the cells of a row below each other, ``grid`` scrolls."""
    headings = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    lines = []
    for first, *cells in rows:
        rest = "".join(
            f'<td data-label="{text(name)}">{text(cell)}</td>' for name, cell in zip(head[1:], cells, strict=True)
        )
        lines.append(f'<tr><th scope="row">{text(first)}</th>{rest}</tr>')
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table class="{kind}">'
        f"<caption><span>{text(caption)}</span></caption><thead><tr>{headings}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
