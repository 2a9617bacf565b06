"""Text that a terminal shows and does not obey: names of models, classes and files come from elsewhere."""

from __future__ import annotations


def printable(text: object) -> str:
    r"""Anything as text for a terminal: control and formatting characters become �, but for line breaks and tabs.

    >>> printable("[red]x\x1b[2J\r\n\u202ey")
    '[red]x�[2J�\n�y'
    """
    return "".join(one if one.isprintable() or one in "\n\t" else "�" for one in str(text))
