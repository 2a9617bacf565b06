"""The clips that adversarial training trains on: a policy's threat, and the attack at one setting.

Attacks run on the bare model in evaluation mode and return their last iterate, however strong it is, since the strength
of a policy's attacks is what is studied. They leave the model unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.gradients import uphill
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.text import threat_from_text
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.fast.view import inference_view
from vidrobust.losses import cross_entropy, predicted
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.fast.precision import Precision
    from vidrobust.losses import Loss
    from vidrobust.notation.policies import Policy, Setting
    from vidrobust.threats import Feasible, Threat
    from vidrobust.training.methods.objectives import Batch
    from vidrobust.types import ClipTensor, Labels


def policy_threat(policy: Policy, eps: float = 1.0) -> Threat:
    """The threat of a policy at one ε, which is in units of 1/255; its norm and support are parsed."""
    return threat_from_text(eps, str(policy.option("norm")), str(policy.option("support")))


def training_clips(
    model: nn.Module,
    clips: ClipTensor,
    labels: Labels,
    setting: Setting,
    threat: Threat,
    precision: Precision = "auto",
) -> ClipTensor:
    """Clips attacked by PGD (Madry et al. 2018, section 2); at ε = 0 they stay clean and no gradient is spent.

    Args:
        model: the model in training; it is left as it was.
        clips: ``B C T H W`` in [0, 1].
        labels: ``B``.
        setting: ε and α in units of 1/255, and the iterations.
        threat: of this ε.
        precision: of the attack.
    """
    if setting.eps <= 0:
        return clips
    attack = PGD(threat, setting.alpha * PIXEL, setting.steps, keep="last", precision=precision)
    return attack.perturb(model, clips, labels)


def from_random(
    model: nn.Module,
    clips: ClipTensor,
    labels: Labels,
    setting: Setting,
    threat: Threat,
    seeds: Sequence[int],
    loss: Loss = cross_entropy,
    precision: Precision = "auto",
) -> ClipTensor:
    """The same from a random start, each clip's from its own seed.

    Args:
        model, clips, setting, threat, precision: as in :func:`training_clips`.
        labels: ``B``, or what else ``loss`` compares logits with, ``B`` long.
        seeds: ``B`` numbers.
        loss: what is maximised.
    """
    if setting.eps <= 0:
        return clips
    attack = PGD(threat, setting.alpha * PIXEL, setting.steps, keep="last", loss=loss, precision=precision)
    return attack.perturb(model, clips, labels, start=random_points(threat, clips, seeds))


def random_points(threat: Threat, clips: ClipTensor, seeds: Sequence[int]) -> Tensor:
    """The free variables of random points of the threat; of a perturbation that clips share, from the first seed."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    whole = threat.around(clips)
    if whole.shared:
        return whole.random(generators[0])
    parts = zip(clips.split(1), generators, strict=True)
    drawn = torch.cat([threat.around(clip).random(generator) for clip, generator in parts])
    return whole.project(drawn)  # a support may choose another place for each clip of a batch


def one_step_from_noise(
    model: nn.Module, batch: Batch, setting: Setting, noise: Threat, step: Threat, precision: Precision = "auto"
) -> ClipTensor:
    """N-FGSM's clips: noise that stays, then one step of α, both within the pixels' range but no ball.

    Source: de Jorge et al., *Make Some Noise*, NeurIPS 2022, algorithm 1.

    Args:
        model, batch, precision: as in :func:`training_clips`.
        setting: ε and α in units of 1/255; at ε = 0 the clips stay clean.
        noise: the threat that noise is drawn from, of k·ε.
        step: the threat of the step, of α.
    """
    if setting.eps <= 0:
        return batch.clips
    noisy = noise.around(batch.clips).clips(random_points(noise, batch.clips, batch.seeds)).contiguous()
    return training_clips(model, noisy, batch.labels, setting._replace(steps=1), step, precision)


def friendly_clips(
    model: nn.Module,
    clips: ClipTensor,
    labels: Labels,
    setting: Setting,
    threat: Threat,
    tau: int,
    precision: Precision = "auto",
) -> ClipTensor:
    """Clips whose attack stops ``tau`` steps after they are first misclassified (Zhang et al., ICML 2020, algorithm 1).

    Clips that are done leave the batch, so the attack costs fewer gradients than its iterations.
    """
    if setting.eps <= 0:
        return clips
    with undisturbed(model):
        view = inference_view(model, clips, precision)
        whole = threat.around(clips.detach().contiguous(memory_format=view.layout))
        free = whole.start.clone()
        alive, left = torch.arange(len(labels), device=labels.device), torch.full_like(labels, tau)
        for _ in range(setting.steps):
            narrow: Feasible = whole.narrow(alive)
            _, logits, gradient, _ = uphill(view, narrow, free[alive], labels[alive])
            wrong = predicted(logits) != labels[alive]
            on = ~(wrong & (left[alive] == 0))
            left[alive] -= wrong.long()
            kept = on.nonzero().flatten()  # the host waits for the device here, once per step
            alive, gradient = alive[kept], gradient[kept]
            if not len(alive):
                break
            free[alive] = whole.narrow(alive).step(free[alive], gradient, setting.alpha * PIXEL)
        return whole.clips(free).detach().contiguous()
