"""Every support for small clips: a new one has a line in each list, and the tests of all take it."""

from __future__ import annotations

import torch

from vidrobust.threats import (
    Area,
    Border,
    Flicker,
    Frames,
    Mask,
    Multiplicative,
    OneFrame,
    Patch,
    Support,
    Universal,
    WholeClip,
)

OWN = torch.rand(8, 10, generator=torch.Generator().manual_seed(1)) > 0.5
MASKS = {
    "area": Area(0.25),
    "random area": Area(0.25, place="random"),
    "patch": Patch(1, 2, 3, 4),
    "border": Border(0.3),
    "frames": Frames((0, 2)),
    "frames a clip": Frames(((0,), (1, 2), (2,), (3,))),
    "mask": Mask(OWN),
}
SUPPORTS = MASKS | {
    "whole": WholeClip(),
    "flicker": Flicker(1.0, 1.0),
    "one frame": OneFrame(),
    "universal": Universal(),
    "universal patch": Universal(Patch(1, 2, 3, 4)),
    "universal flicker": Universal(Flicker()),
    "one frame for all": Universal(OneFrame()),
    "multiplicative": Multiplicative(1.3),
    "multiplicative border": Multiplicative(1.3, Border(0.3)),
}
"""For four clips of four frames of 8 × 10 (``test_supports``); the masks are those that let pixels alone."""

PAIRED: list[Support] = [
    WholeClip(),
    Area(0.3, place="random"),
    Patch(1, 2, 4, 4),
    Border(0.3),
    Frames((0, 2)),
    Mask(torch.arange(8)[:, None] % 2 == torch.arange(8) % 2),
    Flicker(roughness=0.1),
    OneFrame(),
    Multiplicative(1.2),
    Universal(),
    Universal(Flicker()),
]
"""Of frames of 8 × 8, under which every search is run (``test_search_threat_pairs``)."""
