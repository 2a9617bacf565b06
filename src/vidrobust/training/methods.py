"""What one training step minimises: the clean loss, or the loss of attacked clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrobust.attacks.gradient import PGD
from vidrobust.threats import Linf, Threat
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.notation import Setting
    from vidrobust.types import Clips, Labels


def training_clips(model: nn.Module, clips: Clips, labels: Labels, setting: Setting) -> Clips:
    """The clips on which a step of adversarial training minimises the loss (Madry et al. 2018, section 2).

    The attack sees the model in evaluation mode and returns its last iterate, however strong that is: that policies
    may choose weak attacks is what is studied. At ε = 0 the clips stay clean and no gradient is spent.

    Args:
        model: the model in training; it is left as it was.
        clips: ``B C T H W`` in [0, 1].
        labels: ``B``.
        setting: ε and α in units of 1/255, and the iterations.
    """
    if setting.eps <= 0:
        return clips
    attack = PGD(Threat(Linf(), setting.eps * PIXEL), setting.alpha * PIXEL, setting.steps, keep="last")
    return attack.perturb(model, clips, labels)
