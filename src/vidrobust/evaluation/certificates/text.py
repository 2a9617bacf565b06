"""Certificates as text, for the command line: ``CROWN(ε=2,refine=true)``, ``Smoothing(σ=64,samples=1000)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidrobust.attacks.text import from_text
from vidrobust.errors import InputError
from vidrobust.evaluation.certificates.ablation import FrameAblation, PatchAblation
from vidrobust.evaluation.certificates.bounds import CROWN, IBP
from vidrobust.evaluation.certificates.smoothing import Smoothing

if TYPE_CHECKING:
    from vidrobust.evaluation.certificates.certified import Certificate

CERTIFICATES: dict[str, Any] = {
    "IBP": IBP,
    "CROWN": CROWN,
    "Smoothing": Smoothing,
    "FrameAblation": FrameAblation,
    "PatchAblation": PatchAblation,
}
"""By the names that texts call them by."""


def certificate_from_text(text: str) -> Certificate:
    """A certificate from its text; ε and σ are in units of 1/255.

    Raises:
        NotationError: the text does not parse, or a value is out of its range.
        InputError: it names something else, such as an attack.

    >>> certificate_from_text("Smoothing(σ=64)").sigma == 64 / 255
    True
    """
    found = from_text(text, None, CERTIFICATES)
    if not isinstance(found, tuple(CERTIFICATES.values())):
        raise InputError(f"{text} is no certificate: there are {', '.join(CERTIFICATES)}, as in CROWN(ε=2).")
    return found
