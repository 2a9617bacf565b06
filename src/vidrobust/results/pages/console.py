"""The console that all output goes through: printed text cannot move the cursor or change colours.

Names of models, classes and files come from elsewhere, and may hold escape sequences. What is printed through
:class:`SafeConsole` is text, as what passes :func:`vidrobust.results.pages.markup.text` is text of a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from vidrobust.runs.printable import printable

BARS = "▁▂▃▄▅▆▇█"


class SafeConsole(Console):
    r"""A console of rich for which every string is plain text, in tables as well; colours are given as styles.

    >>> import io
    >>> file = io.StringIO()
    >>> SafeConsole(file=file, force_terminal=True).print("[red]x\x1b[2J")
    >>> file.getvalue()
    '[red]x�[2J\n'
    """

    def __init__(self, **options: Any) -> None:
        plain: dict[str, Any] = {"emoji": False, "markup": False, "highlight": False}
        super().__init__(**(plain | options))

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that rich prints passes here, be it a line, a cell or a title."""
        return super().render_str(printable(text), **options)


def sparkline(
    values: Sequence[float], low: float | None = None, high: float | None = None, width: int | None = None
) -> str:
    """Numbers as a row of bars.

    Args:
        values: one bar each.
        low: the value of the lowest bar; the least value if not given.
        high: the value of the highest; the greatest value if not given.
        width: of more values than this the last are shown.

    >>> sparkline([0, 1, 2, 3, 4, 5, 6, 7])
    '▁▂▃▄▅▆▇█'
    >>> sparkline([5, 5]), sparkline([]), sparkline([9, 0, 1], width=2)
    ('▁▁', '', '▁█')
    """
    bars = values if width is None else values[-width:]
    if not bars:
        return ""
    least = min(bars) if low is None else low
    span = (max(bars) if high is None else high) - least
    return "".join(BARS[min(7, max(0, int(8 * (value - least) / span)))] if span > 0 else BARS[0] for value in bars)
