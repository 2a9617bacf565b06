"""A short training by each method, its weights and rows: trainings.py DATA START OUT"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from recording import Outcome, Place, named, note, record

import vidrobust as vr

METHODS = (
    "standard",
    "standard(smooth=0.1)+SWA(start=0.4)",
    "AT(ε=8,α=2,i=3)",
    "AT(ε=8,α=4,i=1,smooth=0.1,mix=0.5)+EMA(τ=0.9)",
    "AT(ε=8,α=α*,i=2)",
    "AT(ε=8,α=auto,i=2)",
    "AT(ε=255,α=128,i=2,norm=L2,support=Border(ratio=0.2))",
    "AT(ε=2550,α=1275,i=2,norm=L1)",
    "AT(ε=8,α=4,i=2)+AWP(γ=0.01)",
    "fAT(ε=8,α=2,i=2)",
    "CAL(ε~U(0,12),α=ε,i=i*)",
    "CAL(ε~rU(12,0),α=2ε,i=2)",
    "CAL(ε~U(0,12),α~αU,i~iU(1,3))",
    "CAL(ε~lU(0,12),α=ε/2,i=2,by=step)",
    "CAL(ε~paced(4,12),α=ε/4,i=2)",
    "CAL(ε~auto(12),α=ε/2,i=2)",
    "AAT(ε_max=12,α=ε/2,i=2)",
    "TRADES(ε=8,α=2,i=2,β=1)",
    "TRADES(ε=8,α=2,i=2,β=6,smooth=0.1)+AWP",
    "MART(ε=8,α=2,i=2,β=5)",
    "Friendly(ε=8,α=2,i=3,τ=1)",
    "Free(ε=8,m=3)",
    "FGSM-RS(ε=8)",
    "N-FGSM(ε=8,k=1)",
    "AVG(AT(ε=8,α=4,i=2),AT(ε=255,α=128,i=2,norm=L2))",
    "MAX(AT(ε=8,α=4,i=2),CAL(ε~rU(255,0),α=ε/2,i=2,norm=L2))",
    "MultiBN(AT(ε=8,α=4,i=2),FGSM-RS(ε=255,α=128,norm=L2))",
    "APE(ε=8,α=4,i=2,width=4,rate=0.002)",
    "GAT(ε=8,α=4,i=2,width=4,fool=0.1)",
    "GAT(ε=8,α=4,i=1,width=4)+EMA(τ=0.9)",
    "IBP(ε~U(0,2),by=step,κ=0.3)",
    "Noise(σ=30,smooth=0.1)",
    "Denoise(σ=30,width=4)",
)
"""Each family, mixture and modifier, with each way in which ε, α and the iterations can go."""

EPOCHS, BATCH = 2, 12
"""Two epochs, as a schedule that rises is at its first value, no attack, throughout a single one."""


def main() -> None:
    """Train by every method, and note those that the list above lacks."""
    place = Place.given()
    data = place.clips()
    record({text: partial(trained, place, data, text) for text in METHODS}, place.out)
    known = named("FAMILIES", "MIXTURES", "MODIFIERS")
    note(place.out, known - set(re.findall(r"[\w-]+", " ".join(METHODS))))


def trained(place: Place, data: Any, text: str) -> Outcome:
    """One training: standard training from weights that are drawn, the others from the trained model."""
    start: Callable[[], Any] = place.model
    if text.startswith("standard"):
        start = partial(vr.models.build, "r3d-small", len(data.classes), 0)
    run = vr.fit(start(), data, text, epochs=EPOCHS, batch=BATCH, seed=3)
    return Outcome(run.model.state_dict(), {"printed": str(vr.notation.parse(text)), "rows": run.rows})


if __name__ == "__main__":
    main()
