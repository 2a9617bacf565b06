"""Searches for adversarial clips, one search per file, and the text of an attack.

Imports threats and fast, and the rooms below them; models, data and results are unknown here.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple


class Declared(NamedTuple):
    """What is known of an attack before it is imported.

    Attributes:
        module: where it lives.
        works: what it comes from, by the keys of :data:`vidrobust.notation.bibliography.WORKS`.
    """

    module: str
    works: tuple[str, ...]


ATTACKS = {
    "APGD": Declared("apgd", ("croce2020apgd",)),
    "AutoAttack": Declared("autoattack", ("croce2020apgd", "croce2020fab", "andriushchenko2020")),
    "BPDA": Declared("wrappers", ("athalye2018",)),
    "Blind": Declared("blind", ("athalye2018",)),
    "CW": Declared("cw", ("carlini2017",)),
    "DDN": Declared("ddn", ("rony2019",)),
    "EOT": Declared("wrappers", ("athalye2018eot",)),
    "FAB": Declared("fab", ("croce2020fab",)),
    "FGSM": Declared("pgd", ("goodfellow2015",)),
    "FMN": Declared("fmn", ("pintor2021",)),
    "FrameSaliency": Declared("frame_saliency", ("inkawhich2018",)),
    "KeyRegions": Declared("key_regions", ("wei2020heuristic", "zeiler2014")),
    "MIFGSM": Declared("mifgsm", ("dong2018", "dong2019", "ganeshan2019", "lu2020", "wei2022", "xie2019")),
    "PGD": Declared("pgd", ("madry2018",)),
    "RayS": Declared("rays", ("chen2020",)),
    "Square": Declared("square", ("andriushchenko2020",)),
    "TargetedAPGD": Declared("apgd", ("croce2020apgd",)),
    "VBAD": Declared("vbad", ("jiang2019", "ilyas2018")),
}
"""The attacks there are, by the name that texts call them by; the module of each is imported on first use."""


def __getattr__(name: str) -> object:
    if name in ATTACKS:
        return getattr(importlib.import_module(f"vidrobust.attacks.{ATTACKS[name].module}"), name)
    raise AttributeError(f"module 'vidrobust.attacks' has no attribute {name!r}")
