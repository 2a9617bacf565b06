"""Searches for adversarial clips, one search a file, and the text of an attack.

Imports threats and fast, and the rooms below them; models, data and results are unknown here.
"""

from __future__ import annotations

import importlib

ATTACKS = {
    "APGD": "apgd",
    "AutoAttack": "autoattack",
    "BPDA": "wrappers",
    "Blind": "blind",
    "CW": "cw",
    "DDN": "ddn",
    "EOT": "wrappers",
    "FAB": "fab",
    "FGSM": "pgd",
    "FMN": "fmn",
    "FrameSaliency": "frame_saliency",
    "MIFGSM": "mifgsm",
    "PGD": "pgd",
    "RayS": "rays",
    "Square": "square",
    "TargetedAPGD": "apgd",
}
"""The attacks there are, by the name that texts call them by, and the module of each, imported on first use."""


def __getattr__(name: str) -> object:
    if name in ATTACKS:
        return getattr(importlib.import_module(f"vidrobust.attacks.{ATTACKS[name]}"), name)
    raise AttributeError(f"module 'vidrobust.attacks' has no attribute {name!r}")
