"""Attacks of this library and of others on images or clips, at equal budgets."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

from benchmarks.gratings import CLASSES, Frame
from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.autoattack import AutoAttack
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.square import Square
from vidrobust.losses import cross_entropy, dlr
from vidrobust.threats import L2, Linf, Threat

STEPS, QUERIES, TARGETS = 10, 300, 3
ALPHA = 0.25
"""The step size of PGD, as a share of ε."""

PART = 100
"""Images that a Square of another library attacks at once: it draws one window and one set of signs for all of them."""

NORMS = {"Linf": Linf(), "L2": L2()}
ORDERS = {"Linf": float("inf"), "L2": 2}

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
Contestant = Callable[[str, float], Attack]
"""From a norm and ε to an attack; raises where the library has none."""

LIBRARIES = {
    "vidrobust": ("vidrobust", "vidrobust"),
    "torchattacks": ("torchattacks", "torchattacks"),
    "foolbox": ("foolbox", "foolbox"),
    "ART": ("art.attacks.evasion", "adversarial-robustness-toolbox"),
    "auto-attack": ("pyautoattack", "pyautoattack"),
    "adv-lib": ("adv_lib.attacks", "adv-lib"),
}
"""The module and the distribution of each."""


def import_all() -> None:
    """Import what is installed, so that no contestant's time or memory is that of its import."""
    for name in ("torchvision", "visdom"):  # imported for models and plots that are not used here
        sys.modules.setdefault(name, MagicMock())
    for module, _ in LIBRARIES.values():
        try:
            importlib.import_module(module)
        except ImportError:
            continue  # its lines say so


def titled(library: str) -> str:
    """A library with its version."""
    return library if library == "vidrobust" else f"{library} {version(LIBRARIES[library][1])}"


def ours(make: Callable[[Threat], Any]) -> Contestant:
    """An attack of this library; images are clips of one frame."""

    def contestant(norm: str, eps: float) -> Attack:
        search = make(Threat(NORMS[norm], eps))

        def attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            return search(model, x, y).clips if x.ndim == 5 else search(Frame(model), x[:, :, None], y).clips[:, :, 0]

        return attack

    return contestant


def ours_pgd(norm: str, eps: float) -> Attack:
    """PGD of this library, whose step size depends on ε."""
    return ours(lambda threat: PGD(threat, ALPHA * eps, STEPS, keep="last", precision="exact"))(norm, eps)


def part_by_part(make: Callable[[int], Contestant]) -> Contestant:
    """An attack on :data:`PART` inputs at a time, with a seed of its own for each part."""

    def contestant(norm: str, eps: float) -> Attack:
        def attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            parts = zip(x.split(PART), y.split(PART), strict=True)
            return torch.cat([make(seed)(norm, eps)(model, *part) for seed, part in enumerate(parts)])

        return attack

    return contestant


def of_torchattacks(*names: str, **how: Any) -> Contestant:
    """One of its attacks, or several, each on what the earlier ones have not broken."""

    def contestant(norm: str, eps: float) -> Attack:
        import torchattacks

        def attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            made = [_of_torchattacks(name, model, norm, eps, how) for name in names]
            return (made[0] if len(made) == 1 else torchattacks.MultiAttack(made))(x, y)

        return attack

    return contestant


def _of_torchattacks(name: str, model: nn.Module, norm: str, eps: float, how: dict[str, Any]) -> Any:
    import torchattacks

    if name == "PGD":
        kind = torchattacks.PGD if norm == "Linf" else torchattacks.PGDL2
        return kind(model, eps=eps, alpha=ALPHA * eps, steps=STEPS, random_start=False)
    own = {
        "APGD": {"steps": STEPS},
        "APGDT": {"steps": STEPS, "n_classes": TARGETS + 1},
        "FAB": {"steps": STEPS, "n_restarts": 1, "n_classes": TARGETS + 1, "multi_targeted": True},
        "Square": {"n_queries": QUERIES},
    }[name]
    how = how if name in ("APGD", "Square") else {}
    return getattr(torchattacks, name)(model, norm=norm, eps=eps, **own, **how)


def of_foolbox(norm: str, eps: float) -> Attack:
    """PGD."""
    import foolbox

    kind = foolbox.attacks.LinfPGD if norm == "Linf" else foolbox.attacks.L2PGD
    attack = kind(abs_stepsize=ALPHA * eps, steps=STEPS, random_start=False)
    return lambda model, x, y: attack.run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y, epsilon=eps)


def of_art(name: str, scaled: Callable[[float], dict[str, float]] = lambda eps: {}, **how: Any) -> Contestant:
    """One of its attacks, with settings that may depend on ε."""

    def contestant(norm: str, eps: float) -> Attack:
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier

        def attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            shape = tuple(x.shape[1:])
            classifier = PyTorchClassifier(
                model, nn.CrossEntropyLoss(), shape, CLASSES, clip_values=(0.0, 1.0), device_type="cpu"
            )
            made = getattr(evasion, name)(classifier, norm=ORDERS[norm], eps=eps, verbose=False, **scaled(eps), **how)
            return torch.from_numpy(made.generate(x.numpy(), y.numpy()))

        return attack

    return contestant


def of_auto_attack(name: str, seed: int = 0) -> Contestant:
    """One of its attacks, the ensemble of ``four``, or its ``three`` without Square."""

    def contestant(norm: str, eps: float) -> Attack:
        def attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            return _of_auto_attack(name, seed, model, norm, eps, x, y)

        return attack

    return contestant


def _of_auto_attack(name: str, seed: int, model: nn.Module, norm: str, eps: float, x: Tensor, y: Tensor) -> Tensor:
    from pyautoattack.autoattack import AutoAttack as Ensemble
    from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
    from pyautoattack.fab_pt import FABAttack_PT
    from pyautoattack.square import SquareAttack

    common = {"norm": norm, "eps": eps, "seed": seed, "device": "cpu"}
    if name in ("three", "four"):
        stages = ["apgd-ce", "apgd-t", "fab-t", *(["square"] if name == "four" else [])]
        made = Ensemble(model, attacks=stages, version="custom", **common)
        made.apgd.n_restarts, made.apgd.n_iter, made.square.n_queries = 1, STEPS, QUERIES
        made.apgd_targeted.n_iter, made.apgd_targeted.n_target_classes = STEPS, TARGETS
        made.fab.n_iter, made.fab.n_target_classes, made.square.rescale_schedule = STEPS, TARGETS, True
        return made.run_standard_evaluation(x, y, batch_size=len(x))[0]
    single = {
        "ce": lambda: APGDAttack(model, n_iter=STEPS, loss="ce", n_restarts=1, **common),
        "dlr": lambda: APGDAttack(model, n_iter=STEPS, loss="dlr", n_restarts=1, **common),
        "t": lambda: APGDAttack_targeted(model, n_iter=STEPS, n_target_classes=TARGETS, n_restarts=1, **common),
        "fab": lambda: FABAttack_PT(
            model, n_iter=STEPS, targeted=True, n_target_classes=TARGETS, n_restarts=1, **common
        ),
        "square": lambda: SquareAttack(model, n_queries=QUERIES, resc_schedule=True, n_restarts=1, **common),
    }
    return single[name]().perturb(x, y)


def of_adv_lib(name: str) -> Contestant:
    """PGD or APGD."""

    def contestant(norm: str, eps: float) -> Attack:
        from adv_lib.attacks import apgd, apgd_targeted, pgd_linf

        common = {"eps": eps, "norm": ORDERS[norm], "n_iter": STEPS}
        if name == "pgd":
            if norm != "Linf":
                raise NotImplementedError("its PGD is for Linf")
            return partial(pgd_linf, ε=eps, steps=STEPS, random_init=False, absolute_step_size=ALPHA * eps)
        if name == "t":
            return partial(apgd_targeted, num_targets=TARGETS, **common)
        return partial(apgd, loss_function=name, **common)

    return contestant


CONTESTANTS: dict[str, dict[str, Contestant]] = {
    f"PGD, {STEPS} steps": {
        "vidrobust": ours_pgd,
        "torchattacks": of_torchattacks("PGD"),
        "foolbox": of_foolbox,
        "ART": of_art(
            "ProjectedGradientDescentPyTorch",
            lambda eps: {"eps_step": ALPHA * eps},
            max_iter=STEPS,
            batch_size=2000,
        ),
        "adv-lib": of_adv_lib("pgd"),
    },
    f"APGD-CE, {STEPS} steps": {
        "vidrobust": ours(lambda threat: APGD(threat, STEPS, cross_entropy, precision="exact")),
        "auto-attack": of_auto_attack("ce"),
        "torchattacks": of_torchattacks("APGD", loss="ce"),
        "adv-lib": of_adv_lib("ce"),
    },
    f"APGD-DLR, {STEPS} steps": {
        "vidrobust": ours(lambda threat: APGD(threat, STEPS, dlr, precision="exact")),
        "auto-attack": of_auto_attack("dlr"),
        "torchattacks": of_torchattacks("APGD", loss="dlr"),
        "adv-lib": of_adv_lib("dlr"),
    },
    f"APGD-T, {STEPS} steps, {TARGETS} targets": {
        "vidrobust": ours(lambda threat: TargetedAPGD(threat, STEPS, TARGETS, precision="exact")),
        "auto-attack": of_auto_attack("t"),
        "torchattacks": of_torchattacks("APGDT"),
        "adv-lib": of_adv_lib("t"),
    },
    f"FAB-T, {STEPS} steps, {TARGETS} targets": {
        "vidrobust": ours(lambda threat: FAB(threat, STEPS, TARGETS, precision="exact")),
        "auto-attack": of_auto_attack("fab"),
        "torchattacks": of_torchattacks("FAB"),
    },
    f"Square, {QUERIES} queries": {
        # theirs count the start apart
        "vidrobust": ours(lambda threat: Square(threat, QUERIES + 1, precision="exact")),
        "auto-attack": part_by_part(lambda seed: of_auto_attack("square", seed)),
        "torchattacks": part_by_part(lambda seed: of_torchattacks("Square", seed=seed)),
        "ART": of_art("SquareAttack", max_iter=QUERIES, p_init=0.8, nb_restarts=1, batch_size=PART),
    },
    "AutoAttack": {
        "vidrobust": ours(lambda threat: AutoAttack(threat, STEPS, TARGETS, QUERIES + 1, precision="exact")),
        "auto-attack": of_auto_attack("four"),
        "torchattacks": of_torchattacks("APGD", "APGDT", "FAB", "Square", loss="ce"),
    },
    "AutoAttack without Square": {
        "vidrobust": ours(lambda threat: AutoAttack(threat, STEPS, TARGETS, queries=2, precision="exact")),  # the least
        "auto-attack": of_auto_attack("three"),
    },
}

IMAGES_ALONE = (f"Square, {QUERIES} queries", "AutoAttack")
CLIPS_ALONE = ("AutoAttack without Square",)
"""The Squares of the other libraries know images alone."""
