"""Attack your torchvision model
=============================

A model of torchvision takes clips that are normalised by the mean and deviation of its weights. Attacks work on
pixels in [0, 1]; :func:`vidrobust.load_model <vidrobust.models.checkpoints.load_model>` puts the normalisation
inside the model, so that ε means grey levels.
"""

# %%
# The model
# ---------
# With torchvision installed this is R3D-18; ``weights="KINETICS400_V1"`` would fetch its published weights. These
# pages are built without torchvision: they show a small network with random weights, wrapped as one wraps any
# model of one's own.

from importlib.util import find_spec

import matplotlib.pyplot as plt
import torch

import vidrobust as vr

torch.manual_seed(0)
if find_spec("torchvision"):
    model = vr.load_model("torchvision:r3d_18", classes=10)
else:
    network = torch.nn.Sequential(
        torch.nn.Conv3d(3, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool3d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(128, 10),
    )
    mean, std = [0.43216, 0.394666, 0.37645], [0.22803, 0.22145, 0.216989]
    model = vr.adapt(network, mean=mean, std=std, classes=10).eval()
print(type(model).__name__, "with", model.classes, "classes")

# %%
# Clips
# -----
# ``B C T H W``, float32 in [0, 1]. A model with random weights is right about nothing, so the labels are what it
# answers: the attack changes its mind.

data = vr.data.motion(contrast=(0.4, 1.0), size=32, train=10, val=10, test=10)
clips = data.test.centre(range(4))
labels = model(clips).argmax(1)
print(tuple(clips.shape), labels.tolist())

# %%
# The attack
# ----------
# :class:`vidrobust.Threat <vidrobust.threats.Threat>` says what a perturbation may be, here two grey levels a pixel;
# :class:`vidrobust.PGD <vidrobust.attacks.pgd.PGD>` says how to look for one.

threat = vr.Threat(vr.Linf(), eps=2 / 255)
attack = vr.PGD(threat, alpha=0.5 / 255, steps=10)
result = attack(model, clips, labels)
print("changed:", result.success.tolist())
print(
    "largest change, in grey levels:",
    [round(float(size) * 255, 3) for size in threat.around(clips).size(result.clips)],
)
print("gradients per clip:", result.backwards.tolist())

# %%
# What it looks like
# ------------------
# The middle frame of the first clip: as it was, what was added (64 times as strong, around grey), and as
# attacked.

frame = clips.shape[2] // 2
added = 0.5 + 64 * (result.clips - clips)
fig, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained")
for axis, shown, title in zip(
    axes, (clips, added, result.clips), ("clean", "added × 64", "attacked"), strict=True
):
    axis.imshow(shown[0, :, frame].permute(1, 2, 0).clamp(0, 1).numpy())
    axis.set_title(title)
    axis.axis("off")
