"""vidrobust: adversarial attacks on, and adversarial training of, video classifiers.

    import vidrobust as vr

    data = vr.data.motion()
    model = vr.models.build("r3d-small", classes=len(data.classes))
    run = vr.fit(model, data, "AT(ε=8,α=8,i=3)", epochs=2)
    attack = vr.PGD(vr.Threat(vr.Linf(), eps=8 / 255), alpha=2 / 255, steps=20)
    rows = vr.evaluate(run.model, data.test, [attack])

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidrobust import data, losses, models, notation
    from vidrobust.attacks.apgd import APGD, TargetedAPGD
    from vidrobust.attacks.autoattack import AutoAttack
    from vidrobust.attacks.base import AttackResult
    from vidrobust.attacks.blind import Blind
    from vidrobust.attacks.cw import CW
    from vidrobust.attacks.fab import FAB
    from vidrobust.attacks.frame_saliency import FrameSaliency
    from vidrobust.attacks.mifgsm import MIFGSM
    from vidrobust.attacks.pgd import FGSM, PGD
    from vidrobust.attacks.rays import RayS
    from vidrobust.attacks.square import Square
    from vidrobust.attacks.step_size import calibrate
    from vidrobust.attacks.wrappers import BPDA, EOT
    from vidrobust.data.dataset import DataConfig
    from vidrobust.errors import VidrobustError
    from vidrobust.evaluation.clips import accuracy, evaluate
    from vidrobust.evaluation.defences import Defended, FrameShuffle, RandomCrop, Recompress
    from vidrobust.evaluation.sweeps import step_sizes, sweep
    from vidrobust.models.adapters import adapt
    from vidrobust.models.checkpoints import load_model
    from vidrobust.results import figures
    from vidrobust.results.pages.deck import deck
    from vidrobust.results.pages.report import report
    from vidrobust.runs.directory import Run
    from vidrobust.threats import (
        L1,
        L2,
        Area,
        Border,
        Flicker,
        Frames,
        Linf,
        Mask,
        Multiplicative,
        OneFrame,
        Patch,
        Threat,
        Universal,
        WholeClip,
    )
    from vidrobust.training.fitting import fit

_HOMES = {
    "APGD": "attacks.apgd",
    "TargetedAPGD": "attacks.apgd",
    "Blind": "attacks.blind",
    "CW": "attacks.cw",
    "RayS": "attacks.rays",
    "AttackResult": "attacks.base",
    "AutoAttack": "attacks.autoattack",
    "FAB": "attacks.fab",
    "FGSM": "attacks.pgd",
    "PGD": "attacks.pgd",
    "BPDA": "attacks.wrappers",
    "EOT": "attacks.wrappers",
    "FrameSaliency": "attacks.frame_saliency",
    "Square": "attacks.square",
    "calibrate": "attacks.step_size",
    "MIFGSM": "attacks.mifgsm",
    "DataConfig": "data.dataset",
    "Defended": "evaluation.defences",
    "FrameShuffle": "evaluation.defences",
    "RandomCrop": "evaluation.defences",
    "Recompress": "evaluation.defences",
    "VidrobustError": "errors",
    "accuracy": "evaluation.clips",
    "evaluate": "evaluation.clips",
    "evaluate_views": "evaluation.videos",
    "fit": "training.fitting",
    "adapt": "models.adapters",
    "load_model": "models.checkpoints",
    "deck": "results.pages.deck",
    "report": "results.pages.report",
    "Run": "runs.directory",
    "step_sizes": "evaluation.sweeps",
    "sweep": "evaluation.sweeps",
    "L1": "threats",
    "L2": "threats",
    "Area": "threats",
    "Border": "threats",
    "Flicker": "threats",
    "Frames": "threats",
    "Linf": "threats",
    "Mask": "threats",
    "Multiplicative": "threats",
    "OneFrame": "threats",
    "Patch": "threats",
    "Threat": "threats",
    "Universal": "threats",
    "WholeClip": "threats",
}
"""Where each public name lives; modules themselves (``data``, ``figures``, …) are public too."""

__all__ = [
    "APGD",
    "BPDA",
    "CW",
    "EOT",
    "FAB",
    "FGSM",
    "L1",
    "L2",
    "MIFGSM",
    "PGD",
    "Area",
    "AttackResult",
    "AutoAttack",
    "Blind",
    "Border",
    "DataConfig",
    "Defended",
    "Flicker",
    "FrameSaliency",
    "FrameShuffle",
    "Frames",
    "Linf",
    "Mask",
    "Multiplicative",
    "OneFrame",
    "Patch",
    "RandomCrop",
    "RayS",
    "Recompress",
    "Run",
    "Square",
    "TargetedAPGD",
    "Threat",
    "Universal",
    "VidrobustError",
    "WholeClip",
    "accuracy",
    "adapt",
    "calibrate",
    "data",
    "deck",
    "evaluate",
    "evaluate_views",
    "figures",
    "fit",
    "load_model",
    "losses",
    "models",
    "notation",
    "report",
    "step_sizes",
    "sweep",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"vidrobust.{_HOMES[name]}"), name)
    if name == "figures":
        return importlib.import_module("vidrobust.results.figures")
    if name in __all__:
        return importlib.import_module(f"vidrobust.{name}")
    raise AttributeError(f"module 'vidrobust' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
