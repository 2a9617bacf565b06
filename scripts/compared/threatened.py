"""The attacks that are compared, by name: every search under every norm and support, and what is special to some.

ε is such that of the dozen clips some fall and some stand, so that both ends of every search are walked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

import vidrobust as vr

Attacks = dict[str, Callable[[], Any]]
"""By name; made when called, as a revision may lack one."""

EPS = {"Linf": 2 / 255, "L2": 0.5, "L1": 15.0}
FEWER = 4.0
"""Times as much ε where few pixels, or few values, may change."""

SEARCHES: dict[str, Callable[[Any, float], Any]] = {
    "PGD": lambda threat, alpha: vr.PGD(threat, alpha, steps=5),
    "PGD last": lambda threat, alpha: vr.PGD(threat, alpha, steps=4, keep="last", random_start=True),
    "FGSM": lambda threat, alpha: vr.FGSM(threat),
    "MIFGSM": lambda threat, alpha: vr.MIFGSM(threat, steps=3, alpha=alpha, shifts=1),
    "APGD": lambda threat, alpha: vr.APGD(threat, steps=12),
    "TargetedAPGD": lambda threat, alpha: vr.TargetedAPGD(threat, steps=10, targets=2),
    "CW": lambda threat, alpha: vr.CW(threat, alpha, steps=5),
    "Square": lambda threat, alpha: vr.Square(threat, queries=25),
    "FAB": lambda threat, alpha: vr.FAB(threat, steps=4, targets=2),
    "RayS": lambda threat, alpha: vr.RayS(threat, queries=30),
    "AutoAttack": lambda threat, alpha: vr.AutoAttack(threat, steps=6, targets=2, queries=15),
    "VBAD": lambda threat, alpha: vr.VBAD(threat, queries=30, samples=6, patches=3),
    "FMN": lambda threat, alpha: vr.FMN(threat, steps=5, targets=2),
    "DDN": lambda threat, alpha: vr.DDN(threat, steps=5),
}
EACH_ALONE = ("FAB", "RayS", "AutoAttack", "FMN", "DDN")
"""They refuse a perturbation that clips share."""
NORMS = {"DDN": ("L2",)}
"""Of those that do not know all of them."""

SUPPORTS: dict[str, Callable[[], Any]] = {
    "WholeClip": lambda: vr.WholeClip(),
    "Area": lambda: vr.Area(0.3),
    "Area random": lambda: vr.Area(0.3, place="random", seed=1),
    "Patch": lambda: vr.Patch(2, 3, 8, 9),
    "Border": lambda: vr.Border(0.4),
    "Frames": lambda: vr.Frames((0, 3, 4)),
    "Mask": lambda: vr.Mask(torch.arange(16)[:, None] % 2 == torch.arange(16) % 2),
    "Flicker": lambda: vr.Flicker(thickness=0.1, roughness=0.1),
    "OneFrame": lambda: vr.OneFrame(),
    "Multiplicative": lambda: vr.Multiplicative(1.2, vr.Patch(2, 3, 12, 12)),
    "Universal": lambda: vr.Universal(),
    "Universal Border": lambda: vr.Universal(vr.Border(0.4)),
    "Universal Flicker": lambda: vr.Universal(vr.Flicker(roughness=0.1)),
    "Universal OneFrame": lambda: vr.Universal(vr.OneFrame()),
}


def threat(norm: str = "Linf", support: str = "WholeClip", times: float = 1.0, **more: Any) -> Any:
    """A threat with the usual budget."""
    eps = EPS[norm] * times * (1 if support == "WholeClip" else FEWER)
    return vr.Threat(getattr(vr, norm)(), more.pop("eps", eps), SUPPORTS[support](), **more)


def under_threats() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every search under every norm, and under every support with one norm after another."""
    for number, (name, search) in enumerate(SEARCHES.items()):
        norms = NORMS.get(name, tuple(EPS))
        for turn, support in enumerate(SUPPORTS, number):
            if name in EACH_ALONE and support.startswith("Universal"):
                continue
            for norm in norms if support == "WholeClip" else (norms[turn % len(norms)],):
                yield f"{name} {norm} {support}", _made(search, norm, support)


def _made(search: Callable[[Any, float], Any], norm: str, support: str) -> Callable[[], Any]:
    def make() -> Any:
        alpha = 0.05 if support == "Multiplicative" else EPS[norm]  # of a factor's logarithm, there
        return search(threat(norm, support), alpha / 2)

    return make


def _budgets(shape: tuple[int, ...]) -> Any:
    """Another ε for each clip or frame, none for the first."""
    count = int(torch.tensor(shape).prod())
    return torch.arange(count, dtype=torch.float64).view(shape) * (4 / 255 / count)


def _coarse(clips: Any) -> Any:
    return (clips * 32).round() / 32


ALPHA, CLIPS, FRAMES = 0.5 / 255, 12, 8

SPECIAL: Attacks = {
    "PGD exact": lambda: vr.PGD(threat(), ALPHA, 6, precision="exact"),
    "PGD restarts": lambda: vr.PGD(threat(), ALPHA, 4, restarts=3, seed=5),
    "PGD momentum": lambda: vr.PGD(threat(), ALPHA, 6, momentum=0.9),
    "PGD targeted": lambda: vr.PGD(threat(times=2), ALPHA, 6, targeted=True),
    "PGD auto": lambda: vr.PGD(threat(), "auto", 4),
    "PGD auto L2": lambda: vr.PGD(threat("L2"), "auto", 4),
    "PGD margin": lambda: vr.PGD(threat(), ALPHA, 6, loss=vr.losses.margin),
    "PGD dlr": lambda: vr.PGD(threat(), ALPHA, 6, loss=vr.losses.dlr),
    "PGD budget a clip": lambda: vr.PGD(threat(eps=_budgets((CLIPS,))), ALPHA, 4),
    "PGD budget a frame": lambda: vr.PGD(threat(eps=_budgets((1, FRAMES))), ALPHA, 4),
    "PGD budget a frame L2": lambda: vr.PGD(threat("L2", eps=_budgets((CLIPS, FRAMES)) * 20), 0.02, 4),
    "PGD views": lambda: vr.PGD(threat("L2", views=2), 0.2, 4),
    "FGSM random": lambda: vr.FGSM(threat(), random_start=True, seed=2),
    "FGSM targeted": lambda: vr.FGSM(threat(times=4), targeted=True),
    "MIFGSM blur": lambda: vr.MIFGSM(threat(), steps=4, alpha="auto", blur=3, shifts=2),
    "APGD dlr": lambda: vr.APGD(threat(), steps=20, loss=vr.losses.dlr, restarts=2),
    "APGD L1 long": lambda: vr.APGD(threat("L1"), steps=40),
    "APGD targeted": lambda: vr.APGD(threat(times=2), steps=12, targeted=True),
    "APGD exact": lambda: vr.APGD(threat(), steps=12, precision="exact"),
    "TargetedAPGD margin": lambda: vr.TargetedAPGD(threat(), 12, 3, loss=vr.losses.targeted_margin),
    "CW random": lambda: vr.CW(threat(), "auto", 6, random_start=True, seed=4),
    "CW targeted": lambda: vr.CW(threat(times=2), ALPHA, 8, targeted=True),
    "FAB restarts": lambda: vr.FAB(threat("L2"), steps=4, targets=2, restarts=2, seed=1),
    "Square share": lambda: vr.Square(threat(times=2), queries=60, share=0.3, seed=7),
    "Square targeted": lambda: vr.Square(threat(times=4), queries=40, targeted=True),
    "VBAD targeted": lambda: vr.VBAD(threat(times=4), 60, samples=8, partition="random", targeted=True),
    "KeyRegions": lambda: vr.KeyRegions(vr.Square(threat(times=4), queries=60), frames=3),
    "RayS space": lambda: vr.RayS(threat(times=4), queries=60, blocks="space"),
    "RayS long": lambda: vr.RayS(threat(times=4), queries=150),
    "AutoAttack exact": lambda: vr.AutoAttack(threat(times=0.5), 10, 3, 30, precision="exact"),
    "FrameSaliency": lambda: vr.FrameSaliency(vr.PGD(threat(times=4), ALPHA * 2, 4), frames=3),
    "FrameSaliency iterative": lambda: vr.FrameSaliency(vr.PGD(threat(times=2), ALPHA, 3), 3, iterative=True),
    "FrameSaliency APGD L2": lambda: vr.FrameSaliency(vr.APGD(threat("L2"), steps=8), frames=2),
    "BPDA": lambda: vr.BPDA(vr.PGD(threat(), ALPHA, 5), _coarse),
    "BPDA surrogate": lambda: vr.BPDA(vr.CW(threat(), ALPHA, 5), _coarse, lambda clips: clips * 0.9),
    "BPDA Square": lambda: vr.BPDA(vr.Square(threat(), queries=20), _coarse),
}
"""What a search does only when asked to, on the model itself."""

SHIELDED: Attacks = {
    "EOT RandomCrop": lambda: vr.EOT(vr.PGD(threat(), ALPHA, 3), samples=3, seed=1),
    "EOT APGD RandomCrop": lambda: vr.EOT(vr.APGD(threat(), steps=6), samples=2),
    "EOT Square FrameShuffle": lambda: vr.EOT(vr.Square(threat(), queries=10), samples=2),
    "EOT AutoAttack FrameShuffle": lambda: vr.EOT(vr.AutoAttack(threat(), 4, 2, 5), samples=2),
    "AutoAttack FrameShuffle": lambda: vr.AutoAttack(threat(), 4, 2, 5),
    "PGD Recompress": lambda: vr.PGD(threat(), ALPHA, 3),
    "Blind Recompress": lambda: vr.Blind(vr.PGD(threat(), ALPHA, 3)),
    "Blind Purified": lambda: vr.Blind(vr.APGD(threat(), steps=6)),
    "PGD Purified": lambda: vr.PGD(threat(), ALPHA, 3),
}
"""On the model behind what its name ends in."""

SHIELDS: dict[str, Callable[[Any], Any]] = {
    "RandomCrop": lambda model: vr.Defended(model, vr.RandomCrop(share=0.8)).eval(),
    "FrameShuffle": lambda model: vr.Defended(model, vr.FrameShuffle(window=4)).eval(),
    "Recompress": lambda model: vr.Defended(model, vr.Recompress(quality=4)).eval(),
    "Purified": lambda model: vr.models.purified(model, (4, 8, 16), seed=2).eval(),
}
