"""Write your own search
=====================

A search is a frozen dataclass with a threat, called with a model, clips and labels. What all searches share is
in :mod:`vidrobust.attacks.searching`: checked inputs, a model that is left as it was, the best point of each
clip, and what it cost.
"""

# %%
# Ascent along a gradient that is averaged over the frames, so that what is added hardly flickers:

from dataclasses import dataclass

import torch

import vidrobust as vr
from vidrobust.attacks.searching import searching
from vidrobust.losses import margin


@dataclass(frozen=True)
class SteadyPGD:
    """PGD on the margin whose every step is the same in all frames."""

    threat: vr.Threat
    alpha: float
    steps: int

    def __call__(
        self, model: torch.nn.Module, clips: torch.Tensor, labels: torch.Tensor
    ) -> vr.AttackResult:
        """Attack clips ``B C T H W``."""
        with searching(model, self.threat, clips, labels, margin, "auto") as run:
            free = run.feasible.start
            for _ in range(self.steps):
                if run.over:  # no clip stands any more
                    break
                _, gradient = run.gradient(free)
                free = run.feasible.step(
                    free, gradient.mean(2, keepdim=True).expand_as(gradient), self.alpha
                )
            run.value(free)
            return run.result()


# %%
# It works under every threat, keeps its budget exactly, and says what it cost. Here beside PGD, on a model of the
# zoo:

data = vr.data.motion(contrast=(0.4, 1.0), train=10, val=10, test=24)
model = vr.load_model("zoo:motion-standard")
clips, labels = data.test.centre(range(24)), data.test.labels[:24]
right = model(clips).argmax(1) == labels
clips, labels = clips[right], labels[right]
print(len(clips), "clips are classified rightly")

for eps in (1, 2, 4):
    threat = vr.Threat(vr.Linf(), eps=eps / 255)
    for attack in (
        vr.PGD(threat, alpha=eps / 4 / 255, steps=10),
        SteadyPGD(threat, alpha=eps / 4 / 255, steps=10),
    ):
        result = attack(model, clips, labels)
        size = threat.around(clips).size(result.clips).max()
        assert size <= threat.eps
        print(
            f"ε={eps}: {type(attack).__name__:>9} breaks {int(result.success.sum())} of {len(clips)}"
        )

# %%
# On the command line a search is named by its dotted path, without any registration: ``vidrobust evaluate
# zoo:motion-at --attack "mypackage.searches:SteadyPGD(ε=8,α=2,i=10)"``.
