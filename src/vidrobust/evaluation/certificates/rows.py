"""Model × clips × certificate → rows, with rows of attacks on the same clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.wrappers import seeded_by_clips
from vidrobust.evaluation.certificates.ablation import Ablation
from vidrobust.evaluation.certificates.binomial import clopper_pearson
from vidrobust.evaluation.certificates.certified import ABSTAINED
from vidrobust.evaluation.certificates.smoothing import Draws, Smoothed, Smoothing
from vidrobust.evaluation.certificates.voted import attacked_votes
from vidrobust.evaluation.clips import batches, device_of, digits, evaluate, robustness_row, silent
from vidrobust.evaluation.fields import attack_budget, attack_fields, attack_text, in_levels
from vidrobust.evaluation.manifest import clips_of
from vidrobust.fast.view import answers
from vidrobust.threats import Threat

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.data.clips import Clips
    from vidrobust.evaluation.certificates.certified import Certificate
    from vidrobust.evaluation.clips import GradientProgress
    from vidrobust.runs.rows import Row

DRAWS = 200
"""Draws by which it is checked that an attack on a smoothed classifier has succeeded."""


def certify(model: nn.Module, clips: Clips, certificate: Certificate, progress: GradientProgress = silent) -> Row:
    """A ``certificate`` row.

    Args:
        model: left as it was.
        clips: the clips, each at its centre.
        certificate: such as :class:`~vidrobust.evaluation.certificates.bounds.CROWN`.
        progress: called with the clips done.
    """
    of, right, radius, abstained, draws = _of(certificate), list[bool](), list[float](), 0, 0
    for part, x, y in batches(clips, torch.arange(len(clips)), device_of(model)):
        for some in torch.arange(len(part)).split(8):  # of bounds, each holds all numbers of a network in float64
            found = certificate(model, x[some], y[some])
            right += (found.predicted == y[some].cpu()).tolist()
            abstained += int((found.predicted == ABSTAINED).sum())
            sizes = found.right(y[some]).tolist()
            radius += sizes if isinstance(certificate, Ablation) else [in_levels(size) for size in sizes]
            draws += int(found.draws.sum())
            progress(len(some))
    return {
        "kind": "certificate",
        "certificate": attack_text(certificate),
        **of,
        "clips": len(clips),
        "sources": len(set(clips.sources)),
        "clips_of": clips_of(clips),
        "correct": sum(right),
        "right": digits(torch.tensor(right)),
        "abstained": abstained,
        "radius": radius,
        "draws": draws,
    }


def _of(certificate: Certificate) -> Row:
    """Norm, support and unit of what a certificate withstands, and what it is of beside the model itself."""
    if isinstance(certificate, Ablation):
        threat: Row = {"norm": certificate.norm, "support": certificate.support, "unit": certificate.unit}
        return {**threat, "defence": attack_text(certificate)}
    fields = attack_fields(PGD(Threat(certificate.norm, 0.0, certificate.support), 1.0, 1))
    defence = f"Smoothing(σ={in_levels(certificate.sigma):g})" if isinstance(certificate, Smoothing) else ""
    return {"norm": fields["norm"], "support": fields["support"], "unit": "1/255", "defence": defence}


def attacks_beside(certificate: Certificate) -> list[PGD]:
    """The attacks that bound from above what a certificate of a model or a smoothed one bounds from below."""
    if isinstance(certificate, Smoothing):
        budgets, steps = [certificate.sigma * times for times in (1, 2, 4)], 8
    else:
        budgets, steps = [getattr(certificate, "eps", 0.0)], 20
    return [
        PGD(Threat(certificate.norm, eps, certificate.support), eps / 4, steps, keep="best") for eps in budgets if eps
    ]


def attacked(model: nn.Module, clips: Clips, certificate: Certificate, right: Tensor) -> list[Row]:
    """``robustness`` rows of what a certificate is of, under attacks within its threat.

    Args:
        model: left as it was.
        clips: the clips.
        certificate: what it is of is attacked: the model itself, the smoothed one (through :class:`Smoothed`) or its
            votes (:func:`.voted.attacked_votes`).
        right: ``N`` bool: clips whose class the certificate says rightly.
    """
    if isinstance(certificate, Ablation):
        return attacked_votes(model, clips, certificate, right)
    searches = attacks_beside(certificate)
    if not isinstance(certificate, Smoothing):
        return evaluate(model, clips, searches)
    rows = [{**robustness_row(right, clips, model), "attack": "none"}]
    for search in searches:
        standing = _standing(model, clips, certificate, search, right)
        setting: Row = dict(zip(("eps", "alpha", "steps"), attack_budget(search), strict=True))
        row = {**robustness_row(standing, clips, model), **setting, **attack_fields(search)}
        rows.append({**row, "attack": attack_text(search)})
    return [{**row, "defence": _of(certificate)["defence"]} for row in rows]


def _standing(model: nn.Module, clips: Clips, certificate: Smoothing, search: Any, right: Tensor) -> Tensor:
    """Which clips the attack leaves the smoothed class of, as far as :data:`DRAWS` draws tell."""
    standing, smoothed = right.clone(), Smoothed(model, certificate.sigma).eval()
    for part, x, y in batches(clips, right.nonzero().flatten(), device_of(model)):
        with seeded_by_clips(certificate.seed, x):
            moved = search(smoothed, x, y).clips
        with torch.no_grad():
            held = [not broken(model, clip, int(label), certificate) for clip, label in zip(moved, y, strict=True)]
        standing[part] = torch.tensor(held)
    return standing


def broken(model: nn.Module, clip: Tensor, label: int, certificate: Smoothing) -> bool:
    """Is another class than ``label`` the most frequent one of a clip under noise, beyond the failure probability?"""
    votes = Draws(answers(model), clip, certificate.sigma, certificate.seed)(DRAWS)
    other = int(torch.where(torch.arange(len(votes)) == label, -1, votes).argmax())
    both = int(votes[other] + votes[label])
    return both > 0 and clopper_pearson(int(votes[other]), both, certificate.failure) > 0.5


def rows_of(
    model: nn.Module,
    clips: Clips,
    certificates: Sequence[Certificate],
    *,
    attack: bool,
    progress: GradientProgress = silent,
) -> list[Row]:
    """The ``certificate`` rows of some certificates and, with ``attack``, ``robustness`` rows of the same clips."""
    rows: list[Row] = []
    for certificate in certificates:
        row = certify(model, clips, certificate, progress)
        rows.append(row)
        if attack:
            rows += attacked(model, clips, certificate, torch.tensor([digit == "1" for digit in row["right"]]))
    return rows
