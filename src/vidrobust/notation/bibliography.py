"""The works that methods, attacks, supports and data sets come from, as BibTeX; whatever comes from one names its key.

A method names its works in :data:`vidrobust.notation.families.FAMILIES`, an attack in
:data:`vidrobust.attacks.ATTACKS`, a support in its class, a data set in the module of its layout.
"""

from __future__ import annotations

import re
from importlib.resources import files


def _entries(text: str) -> dict[str, str]:
    r"""The entries of a BibTeX file, which stand between empty lines, by their keys.

    >>> list(_entries("% reports\n\n@misc{a2020,\n  year = {2020},\n}\n\n@misc{b2021,\n}\n"))
    ['a2020', 'b2021']
    """
    parts = (re.fullmatch(r"@\w+\{(\w+),\n.*\n?\}", part, re.DOTALL) for part in text.strip().split("\n\n"))
    return {entry[1]: entry[0] for entry in parts if entry}


WORKS = _entries((files("vidrobust.notation") / "bibliography.bib").read_text(encoding="utf-8"))
"""The works, by key: the entries of ``bibliography.bib``."""

FOUNDATION = ("vidrobust", "kinfu2022")
"""What everything here rests on."""
