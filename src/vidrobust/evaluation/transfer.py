"""Clips that are perturbed on one model and shown to others: every model as the surrogate and as the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrobust import losses
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.evaluation.attempts import Attack, Survivors, attempt
from vidrobust.evaluation.clips import (
    GradientProgress,
    attacked_row,
    batches,
    check_attacks,
    clip_ranks,
    device_of,
    robustness_row,
    silent,
    steady_logits,
)
from vidrobust.evaluation.fields import attack_text
from vidrobust.fast.view import answers

if TYPE_CHECKING:
    from vidrobust.data.clips import Clips
    from vidrobust.runs.rows import Row
    from vidrobust.types import ClipTensor, Logits

NO_SURROGATE = "none"
"""The surrogate of rows of clean clips."""


class MeanLogits(nn.Module):
    """Several models as one, whose logits are the mean of theirs (Dong et al., CVPR 2018, section 3.4).

    Args:
        models: of the same classes.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, clips: ClipTensor) -> Logits:
        return torch.stack([answers(model)(clips) for model in self.models]).mean(0)


def transfer(
    models: Mapping[str, nn.Module],
    clips: Clips,
    attacks: Sequence[Attack],
    ensembles: Sequence[Sequence[str]] = (),
    progress: GradientProgress = silent,
) -> list[Row]:
    """The accuracy of each model on clips that were perturbed on each model.

    An attack that stops where a clip is broken, as :class:`~vidrobust.attacks.pgd.PGD` does, leaves clips just across
    the boundary of the surrogate, which transfer least: take :class:`~vidrobust.attacks.mifgsm.MIFGSM`, or
    ``PGD(keep="last")``.

    Args:
        models: at least two by name, on one device; left as they were.
        clips: the clips to attack.
        attacks: made on the surrogate alone, for the true labels.
        ensembles: names of models whose mean logits are a surrogate, too, called ``A + B``.
        progress: called with the gradients spent.

    Returns:
        ``transfer`` rows: for each target (``model``) its clean accuracy (``surrogate`` none), and for each attack and
        surrogate the accuracy on the perturbed clips, where what is wrong clean counts as broken.

    Raises:
        InputError: as :func:`~vidrobust.evaluation.clips.evaluate`; fewer than two models, or not by name; an ensemble
            of fewer or of others.
    """
    if not isinstance(models, Mapping):
        raise InputError(f"models must be a dictionary of models by name, but are a {type(models).__name__}.")
    check_attacks(clips, attacks)
    surrogates = _surrogates(models, ensembles)
    clean = {name: clip_ranks(model, clips) == 0 for name, model in models.items()}
    rows = [
        {**robustness_row(clean[name], clips, model), "model": name, "surrogate": NO_SURROGATE, "attack": "none"}
        for name, model in models.items()
    ]
    for attack in attacks:
        for surrogate, source in surrogates.items():
            found = {name: Survivors.start(len(clips)) for name in models}
            for part, x, y in batches(clips, torch.arange(len(clips)), device_of(source)):
                tried = attempt(attack, source, x, y)
                for name, target in models.items():
                    with undisturbed(target), torch.no_grad():
                        right = losses.predicted(steady_logits(target, tried.clips.float())) == y
                    found[name].note(part, right.cpu() & clean[name][part], tried)
                progress(tried.spent)
            rows += [
                {**attacked_row(found[name], clips, source, attack), "model": name, "surrogate": surrogate}
                | {"attack": attack_text(attack)}
                for name in models
            ]
    return [{**row, "kind": "transfer"} for row in rows]


def _surrogates(models: Mapping[str, nn.Module], ensembles: Sequence[Sequence[str]]) -> dict[str, nn.Module]:
    if len(models) < 2:
        raise InputError(f"transfer is from one model to another, but there is {len(models)}: give at least two.")
    for names in ensembles:
        if len(set(names)) < 2 or not {*names} <= {*models}:
            raise InputError(f"an ensemble is of at least two of {', '.join(models)}, but is {', '.join(names)}.")
    return {**models, **{" + ".join(names): MeanLogits([models[name] for name in names]) for names in ensembles}}
