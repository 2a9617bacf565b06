"""Threats: the norm, the budget and the support of the perturbations that are allowed.

A threat is not an algorithm: it defines the set of allowed perturbed clips, and an attack defines how to search it.
:meth:`Threat.around` turns a threat into the feasible set around given clips, and every search needs only the few
operations of :class:`Feasible`, so every search works under every threat.
"""

from __future__ import annotations

from vidrobust.threats.feasible import Feasible
from vidrobust.threats.norms import L1, L2, Linf, Norm
from vidrobust.threats.rounding import round_down
from vidrobust.threats.supports import (
    Area,
    Border,
    Flicker,
    Frames,
    Mask,
    Masked,
    Multiplicative,
    OneFrame,
    Patch,
    Repeated,
    Support,
    Universal,
    WholeClip,
)
from vidrobust.threats.threat import Threat

__all__ = [
    "Threat",
    "Linf",
    "L2",
    "L1",
    "Norm",
    "WholeClip",
    "Area",
    "Patch",
    "Border",
    "Frames",
    "Mask",
    "Flicker",
    "OneFrame",
    "Universal",
    "Multiplicative",
    "Support",
    "Masked",
    "Repeated",
    "Feasible",
    "round_down",
]
