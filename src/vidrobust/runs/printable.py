"""Text that is shown and not obeyed: names of models, classes and files come from elsewhere."""

from __future__ import annotations

import re
import unicodedata


def printable(text: object) -> str:
    r"""Anything as text for a terminal or a page: control and formatting characters become �, but for \n and \t.

    >>> printable("[red]x\x1b[2J\r\n\u202ey")
    '[red]x�[2J�\n�y'
    """
    return re.sub(r"[^ -~\n\t]", lambda found: _harmless(found[0]), str(text))


def _harmless(one: str) -> str:
    return one if one.isprintable() or unicodedata.category(one) == "Zs" else "�"
