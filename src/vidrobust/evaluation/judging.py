"""The stages of a judgement: the outputs for clean clips, one attack after another, and their checks.

Each piece works on a few clips and returns counts, so that pieces can run in any process, one after the other.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vidrobust.evaluation.active import active
from vidrobust.evaluation.attacked_model import DRAWS, AttackedModel, with_ordinary_logits
from vidrobust.evaluation.checklist import doubling, noise, rises
from vidrobust.evaluation.clips import GradientProgress, batches, device_of, many_at_once, robustness_row, silent
from vidrobust.evaluation.consistency import CleanAnswers, check_consistency, drift
from vidrobust.evaluation.ensemble import BLACK_BOX, GRADIENTS, Ensemble
from vidrobust.evaluation.fields import field_text, in_levels
from vidrobust.evaluation.indicators import gradient_indicators, indicators, unconstrained
from vidrobust.evaluation.straight_through import StraightThrough, gradient_to_follow
from vidrobust.evaluation.worst_case import WorstCase, calibrated_alpha, nearest, single_eps
from vidrobust.fast.memory import MemoryWarning
from vidrobust.results.numbers.rules import Measured
from vidrobust.results.numbers.selection import WORST_CASE

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.data.clips import Clips
    from vidrobust.runs.rows import Row
    from vidrobust.threats import Threat
    from vidrobust.types import ClipTensor, Labels

ATTACKS = ("FMN", *GRADIENTS, *BLACK_BOX)
"""The pieces that are attacks, in their order."""

CHECKS = ("noise", "doubled", "signs")
"""What is left to try after the attacks, and the signs of failure; none waits for another."""

STAGES = (*ATTACKS, *CHECKS)
"""The pieces after the first look, in their order."""

LANES = (("PGD", "APGD-T", "FAB-T"), ("APGD-CE", "APGD-DLR", *BLACK_BOX))
"""Attacks that do not wait for each other: about as long as one another, each with a cheap one first."""


def stages_before(name: str) -> tuple[str, ...]:
    """The stages whose results a stage takes up: all before it, but those of other lanes.

    >>> stages_before("FAB-T"), stages_before("Square")
    (('FMN', 'PGD', 'APGD-T'), ('FMN', 'APGD-CE', 'APGD-DLR'))
    >>> [len(stages_before(name)) for name in CHECKS]
    [8, 8, 8]
    """
    lanes = LANES if name in ATTACKS else tuple((check,) for check in CHECKS)
    beside = {one for lane in lanes if name not in lane for one in lane}
    return tuple(one for one in STAGES[: STAGES.index(name)] if one not in beside)


COSTS: dict[str, Callable[[Ensemble], int]] = {
    "FMN": lambda of: of.steps + of.targets,
    "PGD": lambda of: 3 * of.steps // 2,
    "APGD-CE": lambda of: of.steps // 2,
    "APGD-DLR": lambda of: of.steps // 2,
    "APGD-T": lambda of: of.steps * of.targets // 2,
    "FAB-T": lambda of: of.steps * of.targets // 2,
    "Square": lambda of: of.queries // 6,
    "RayS": lambda of: of.queries // 60,
    "noise": lambda of: of.noise // 6,
    "doubled": lambda of: 2 * of.steps,
    "signs": lambda of: of.steps,
}
"""About how many gradients a clip each stage costs where half of the clips stand; a forward pass counts a third."""

FEW = 8
"""Clips on which gradients are compared before the attacks."""


def clean_answers(model: nn.Module, clips: ClipTensor, labels: Labels, ensemble: Ensemble) -> CleanAnswers:
    """What the model says of clean clips."""
    return check_consistency(model, clips, labels, ensemble.samples * DRAWS)


def start_case(
    model: nn.Module,
    clips: ClipTensor,
    labels: Labels,
    threats: Sequence[Threat],
    first: CleanAnswers,
    ensemble: Ensemble,
    followed: tuple[str, bool] | None = None,
) -> tuple[WorstCase, list[Measured]]:
    """The worst case before any attack, and what gradient the attacks follow.

    Args:
        model: in evaluation mode.
        clips, labels: ``B C T H W`` float32 in [0, 1] and ``B``, where the model is.
        threats: of one norm and support, with budgets ascending.
        first: what it says of the clips.
        ensemble: how hard attacks try.
        followed: which gradient that is, if it is known: :attr:`~.AttackedModel.layer` and
            :attr:`~.AttackedModel.gradients`.
    """
    attacked, measured = AttackedModel(model, model, ensemble.samples if first.random else 1), []
    rows = first.right.nonzero().flatten()
    if len(rows):
        assert first.logits is not None
        ordinary = with_ordinary_logits(model, first.logits[rows], first.probabilities)
        if followed is None:
            few = rows[:FEW]
            followed = gradient_to_follow(ordinary, threats[-1], clips[few], labels[few], attacked.samples)
        layer, any_gradient = followed
        follow = StraightThrough(ordinary, ordinary.get_submodule(layer)) if layer else ordinary
        attacked = replace(attacked, follow=follow, gradients=any_gradient, layer=layer)
        measured = [Measured("no gradient", int(not any_gradient), 1)]
        measured.append(Measured("masked gradient", int(bool(layer)), 1, f"straight to {layer}" if layer else ""))
    return WorstCase(attacked, clips, labels, threats, first.right), measured


def run_stage(case: WorstCase, name: str, ensemble: Ensemble, classes: int, diagnostic: int = 0) -> list[Measured]:
    """Run one of :data:`STAGES`.

    Args:
        case: what is known; what is found is added to it.
        name: of the stage.
        ensemble: how hard attacks try.
        classes: of the model.
        diagnostic: how many of the first clips belong to the diagnostic subset.
    """
    draws = ensemble.noise if not case.attacked.random else max(1, ensemble.noise // ensemble.samples)
    if name == "FMN":
        nearest(case, ensemble, diagnostic)
        found = [unconstrained(case, ensemble.steps)]
        return found + _tried("gradients", lambda: gradient_indicators(case, max(diagnostic, FEW)))
    if name == "noise":
        return [noise(case, draws)]
    if name == "doubled":
        return doubling(case, ensemble)
    if name == "signs":
        return _signs(case, ensemble, diagnostic)
    if name == "PGD" and case.attacked.gradients:
        case.alpha = calibrated_alpha(case, case.threats[-1], ensemble.steps)
    if name in BLACK_BOX or case.attacked.gradients:

        def search(threat: Threat) -> Any:
            alpha = case.alpha * single_eps(threat) / single_eps(case.threats[-1])
            return ensemble.attacks(threat, classes, alpha or 1.0, case.attacked.gradients)[name]

        case.run(name, search, diagnostic)
    return []


def _signs(case: WorstCase, ensemble: Ensemble, diagnostic: int) -> list[Measured]:
    budgets = [single_eps(threat) for threat in case.threats]
    found = [rises(case.distance, budgets)]
    if diagnostic:
        alpha = case.alpha or budgets[-1] / 4
        found += _tried("indicators", lambda: indicators(case, alpha, ensemble.steps, diagnostic))
        found += _tried("active test", lambda: active(case, ensemble.steps, diagnostic))
    return found


def worst_case_row(
    model: nn.Module, clips: Clips, threat: Threat, ensemble: Ensemble, progress: GradientProgress = silent
) -> Row:
    """Accuracy under all attacks of an ensemble: a clip counts as right if none of them breaks it.

    Args:
        model: in evaluation mode.
        clips: the clips to attack.
        threat: one budget for all clips.
        ensemble: how hard the attacks try; nothing is diagnosed.
        progress: called with the gradients spent, three forward passes counting as one.

    Returns:
        A ``robustness`` row, whose ``search`` is :data:`~vidrobust.results.numbers.selection.WORST_CASE`.
    """
    where, survived = device_of(model), torch.zeros(len(clips), dtype=torch.bool)
    no_gradient = 0
    for part, x, y in batches(clips, torch.arange(len(clips)), where, many_at_once(clips)):
        clean, spent = clean_answers(model, x, y, ensemble), 0
        case, _ = start_case(model, x, y, [threat], clean, ensemble)
        classes = 0 if clean.logits is None else clean.logits.shape[1]
        for name in ATTACKS if case.right.any() else ():
            run_stage(case, name, ensemble, classes)
            cost = case.gradients + case.passes // 3
            progress(cost - spent)
            spent = cost
        standing = case.standing(single_eps(threat))
        survived[part[standing]] = True
        no_gradient += 0 if case.attacked.gradients else len(standing)
    about = {"eps": in_levels(single_eps(threat)), "attack": _text(ensemble, threat), "no_gradient": no_gradient}
    of = {
        "search": WORST_CASE,
        "norm": field_text(threat.norm),
        "support": field_text(threat.support),
        "loss": "",
    }
    return {**robustness_row(survived, clips, model), **about, **of}


def _text(ensemble: Ensemble, threat: Threat) -> str:
    tried = f"i={ensemble.steps}, targets={ensemble.targets}, queries={ensemble.queries}"
    return f"{WORST_CASE} of {len(ATTACKS)} attacks (ε={in_levels(single_eps(threat)):g}, {tried})"


@contextlib.contextmanager
def batches_noted(measured: list[Measured]) -> Iterator[None]:
    """Note in ``measured`` if the model failed on a whole batch and was run on parts; other warnings go their way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MemoryWarning)
        yield
    told = [str(one.message) for one in caught if issubclass(one.category, MemoryWarning)]
    for one in caught:
        if not issubclass(one.category, MemoryWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    measured.append(Measured("smaller batches", int(bool(told)), 1, told[0] if told else ""))


def missing_attacks(case: WorstCase) -> list[Measured]:
    """Attacks that could not be run on some clips, with the errors."""
    return [
        Measured("missing", count, len(case.labels), f"{name}: {why}") for name, (count, why) in case.missing.items()
    ]


def _tried(name: str, work: Callable[[], list[Measured]]) -> list[Measured]:
    """What a check counts; one that fails is missing, which counts too."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - any error of a model is a result to report
        lines = str(error).strip().splitlines()
        return [Measured("missing", 1, 1, f"{name}: {type(error).__name__}: {lines[0] if lines else ''}"[:200])]


def check_drift(model: nn.Module, clips: ClipTensor, first: CleanAnswers) -> list[Measured]:
    """Does the model still answer as it did before the attacks?"""
    if first.random or first.logits is None:
        return []
    usable = (~first.failed).nonzero().flatten()
    return [drift(model, clips[usable], first.logits[usable])]


def confusion(logits: Tensor, labels: Labels) -> Tensor:
    """``K K``: how often clips of a class (rows) get another (columns)."""
    classes = logits.shape[1]
    finite = logits.isfinite().all(1)
    flat = labels.cpu()[finite] * classes + logits[finite].argmax(1)
    return torch.bincount(flat, minlength=classes**2).view(classes, classes)
