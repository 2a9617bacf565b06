"""Curricula as data
=================

A policy says under which attack a model trains, epoch by epoch. It is written as on the slides, and it is a
value: its schedule can be asked, drawn and stored before anything is trained.
"""

# %%
# Policies as text
# ----------------

import matplotlib.pyplot as plt

from vidrobust.notation import parse_policy
from vidrobust.notation.schedules import Clock

texts = [
    "AT(ε=8,α=2,i=10)",
    "CAL(ε~U(0,12),α=ε,i=5)",
    "CAL(ε~rU(12,0),α=ε,i=5)",
    "CAL(ε~lU(0,12),α=ε,i=5)",
]
policies = [parse_policy(text) for text in texts]

# %%
# What each does in each epoch
# ----------------------------
# ε and α are in units of 1/255. Where a policy takes α*, the best step size, a function of ε and the number of
# steps gives it.

EPOCHS = 12


def settings(policy):
    """The setting of each epoch."""
    return [
        policy.at(Clock(epoch, EPOCHS), alpha_star=lambda eps, steps: eps / 4)
        for epoch in range(EPOCHS)
    ]


for policy in policies:
    first, last = settings(policy)[0], settings(policy)[-1]
    print(
        f"{policy}: ε from {first.eps:g} to {last.eps:g}, α to {last.alpha:g}, {last.steps} steps"
    )

# %%
fig, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
for policy in policies:
    axis.plot(
        range(1, EPOCHS + 1),
        [setting.eps for setting in settings(policy)],
        marker=".",
        label=str(policy),
    )
axis.set(xlabel="epoch", ylabel="ε in 1/255")
axis.legend()

# %%
# What they cost
# --------------
# In gradients a clip, over the whole training:

for policy in policies:
    print(f"{policy}: {sum(policy.cost(Clock(epoch, EPOCHS)) for epoch in range(EPOCHS))}")

# %%
# Train with one: ``vidrobust train --method "CAL(ε~U(0,12),α=ε,i=5)" --epochs 12 --out runs/rising``, or
# ``vr.fit(model, data, "CAL(ε~U(0,12),α=ε,i=5)", …)``.
