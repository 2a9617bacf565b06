"""What adaptive methods measure: the adversarial loss at each ε, on training clips that are not trained on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.blind import classifier_behind
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.losses import cross_entropy
from vidrobust.notation.schedules import Adaptive
from vidrobust.training.crafting import training_clips
from vidrobust.training.randomness import content_seed

if TYPE_CHECKING:
    from vidrobust.data.clips import Clips
    from vidrobust.notation.policies import Policy, Setting
    from vidrobust.threats import Threat
    from vidrobust.training.learner import Learner

HELD_OUT = 64
"""Training clips, at most, on which adaptive methods measure the adversarial loss; they are not trained on."""


def held_out(clips: Clips, policy: Policy, seed: int) -> tuple[Clips, Clips | None]:
    """Split training clips, by whole groups, into those trained on and those held out to measure losses.

    Raises:
        InputError: there is only one group.
    """
    if not isinstance(policy.eps, Adaptive):
        return clips, None
    names = [_group(clips, index) for index in range(len(clips))]
    groups = sorted(set(names), key=lambda name: content_seed(seed, "held", name))
    if len(groups) < 2:
        raise InputError(f"{policy} needs training clips of at least two groups, to hold one out for measuring losses.")
    aside = set(groups[: max(1, len(groups) // 10)])
    held = [index for index, name in enumerate(names) if name in aside]
    rest = [index for index, name in enumerate(names) if name not in aside]
    spread = held[:: max(1, math.ceil(len(held) / HELD_OUT))]
    return clips.subset(rest), clips.subset(spread)


def _group(clips: Clips, index: int) -> str:
    """A clip's source without its class, where one precedes it: ``g01`` of each class of UCF-101."""
    source, label = clips.sources[index], int(clips.labels[index])
    return source if source == clips.videos[index] else source.removeprefix(f"{clips.classes[label]}/")


def adaptive_now(policy: Policy, epoch: int, step: int) -> bool:
    """Whether losses are measured now: at the first step of the first epoch and of every tenth after it."""
    return isinstance(policy.eps, Adaptive) and epoch % policy.eps.every == 0 and step == 0


def loss_at(learner: Learner, threat: Threat, held: Clips, setting: Setting) -> float:
    """The mean cross-entropy of held-out clips attacked at one setting, the model being left as it was."""
    clips, labels = held.centre(range(len(held))).to(learner.device), held.labels.to(learner.device)
    target = classifier_behind(learner.model) or learner.model  # what the method itself attacks
    attacked = training_clips(target, clips, labels, setting, threat, learner.precision)
    with undisturbed(learner.model), torch.no_grad():
        return cross_entropy(learner.model(attacked).float(), labels).mean().item()
