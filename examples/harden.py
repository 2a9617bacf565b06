"""Harden a model and compare
==========================

Adversarial training goes on from a model that was trained as usual: the policy ``AT(ε=8,α=6,i=2)`` attacks
every batch by two steps of PGD at ε = 8/255.
"""

# %%
# Before
# ------

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import vidrobust as vr
from vidrobust.training.config import FitConfig

data = vr.data.motion(contrast=(0.4, 1.0), train=240, val=10, test=40)
before = vr.load_model("zoo:motion-standard")
sizes = (2, 4, 8)
attacks = [
    vr.PGD(vr.Threat(vr.Linf(), eps=eps / 255), alpha=eps / 4 / 255, steps=5)
    for eps in sizes
]
rows_before = vr.evaluate(before, data.test, attacks)

# %%
# Training
# --------
# Five epochs on 240 small clips take seconds. More of both gains more: ``zoo:motion-at`` saw 16 epochs of 800 clips.

out = Path(tempfile.mkdtemp()) / "hardened"
run = vr.fit(
    vr.load_model("zoo:motion-standard"),
    data,
    "AT(ε=8,α=6,i=2)",
    settings=FitConfig(epochs=5, batch=16, lr=2e-3),
    out=out,
)
rows_after = vr.evaluate(run.model, data.test, attacks)

# %%
# After
# -----
# The same clips and the same attacks, made anew on each model.

for name, rows in (("before", rows_before), ("after", rows_after)):
    print(
        f"{name:>6}: "
        + ", ".join(f"ε={row['eps']:g}: {row['correct']} of {row['clips']}" for row in rows)
    )

fig, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
for name, rows in (("before", rows_before), ("after", rows_after)):
    axis.plot(
        [row["eps"] for row in rows],
        [row["correct"] / row["clips"] for row in rows],
        marker="o",
        label=name,
    )
axis.set(xlabel="ε in 1/255", ylabel="accuracy under PGD", ylim=(0, 1))
axis.legend()

# %%
# PGD gives an upper bound of robustness. ``vidrobust judge`` takes stronger attacks and says whether to believe
# the number; ``vidrobust compare`` compares two judgements clip for clip.
