"""Write your own threat
=====================

A threat says what a perturbation may be; every search works under it. A support that lets some pixels alone is
a subclass of :class:`vidrobust.threats.supports.Masked` with one method.
"""

# %%
# Captions: the attacker may change the lowest quarter of the picture alone, in the second half of the clip.

from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch

import vidrobust as vr
from vidrobust.threats.supports import Masked


@dataclass(frozen=True)
class Caption(Masked):
    """The lowest part of each frame, from some moment on.

    Args:
        height: its share of the picture.
        since: the moment, as a share of the clip.
    """

    height: float = 0.25
    since: float = 0.5

    def mask(self, clips: torch.Tensor) -> torch.Tensor:
        """Which pixels of clips ``B C T H W`` may change."""
        frames, rows = clips.shape[2], clips.shape[3]
        when = torch.arange(frames, device=clips.device) >= self.since * frames
        where = torch.arange(rows, device=clips.device) >= (1 - self.height) * rows
        return when[None, None, :, None, None] & where[None, None, None, :, None]


# %%
# The same search under three threats:

data = vr.data.motion(contrast=(0.4, 1.0), train=10, val=10, test=40)
model = vr.load_model("zoo:motion-standard")
clips, labels = data.test.centre(range(40)), data.test.labels[:40]
right = model(clips).argmax(1) == labels
clips, labels = clips[right], labels[right]
found = {}
for support in (vr.WholeClip(), vr.Border(0.3), Caption()):
    threat = vr.Threat(vr.Linf(), eps=16 / 255, support=support)
    found[support] = vr.PGD(threat, alpha=2 / 255, steps=15)(model, clips, labels)
    print(f"{support}: {int(found[support].success.sum())} of {len(clips)} broken")

# %%
# What was added in the last frame, around grey:

fig, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained")
for axis, (support, result) in zip(axes, found.items(), strict=True):
    axis.imshow(
        (0.5 + 7 * (result.clips - clips))[0, :, -1].permute(1, 2, 0).clamp(0, 1).numpy()
    )
    axis.set_title(type(support).__name__)
    axis.axis("off")

# %%
# Outside its support nothing changes, bit by bit:

caption = found[Caption()].clips
assert torch.equal(caption[:, :, :4], clips[:, :, :4])
assert torch.equal(caption[:, :, :, :18], clips[:, :, :, :18])
