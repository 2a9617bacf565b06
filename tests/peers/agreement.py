"""The table of docs/agreement.md: our attacks and those of other libraries on the same images, at equal budgets.

``make test-peers`` runs it after the tests. Each contestant runs in a process of its own, forked from one that has
trained the network, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import torch
from peers.problems import CLASSES, Frame, trained_on_gratings
from torch import Tensor, nn

from vidrobust.attacks.apgd import APGD
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.square import Square
from vidrobust.losses import cross_entropy, dlr
from vidrobust.threats import Linf, Threat

EPS, ALPHA, STEPS, QUERIES, TARGETS = 12 / 255, 3 / 255, 20, 300, 4
LIBRARIES = {
    "vidrobust": "vidrobust",
    "torchattacks": "torchattacks",
    "foolbox": "foolbox",
    "ART": "adversarial-robustness-toolbox",
    "auto-attack": "pyautoattack",
    "adv-lib": "adv-lib",
}
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]


def ours(make: Callable[[Threat], Any]) -> Attack:
    """An attack of this library on images, as clips of one frame."""
    return lambda model, x, y: make(Threat(Linf(), EPS))(Frame(model), x[:, :, None], y).clips[:, :, 0]


def of_torchattacks(name: str, **how: Any) -> Attack:
    import torchattacks

    return lambda model, x, y: getattr(torchattacks, name)(model, eps=EPS, **how)(x, y)


def of_foolbox(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import foolbox

    attack = foolbox.attacks.LinfPGD(abs_stepsize=ALPHA, steps=STEPS, random_start=False)
    return attack.run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y, epsilon=EPS)


def of_art(name: str, **how: Any) -> Attack:
    def attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier

        classifier = PyTorchClassifier(
            model, nn.CrossEntropyLoss(), tuple(x.shape[1:]), CLASSES, clip_values=(0.0, 1.0), device_type="cpu"
        )
        made = getattr(evasion, name)(classifier, eps=EPS, verbose=False, **how)
        return torch.from_numpy(made.generate(x.numpy(), y.numpy()))

    return attack


def of_auto_attack(loss: str) -> Attack:
    def attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        from pyautoattack.autopgd_base import APGDAttack
        from pyautoattack.fab_pt import FABAttack_PT
        from pyautoattack.square import SquareAttack

        common = {"norm": "Linf", "eps": EPS, "n_restarts": 1, "seed": 0, "device": "cpu"}
        if loss == "fab":
            return FABAttack_PT(model, n_iter=STEPS, targeted=True, n_target_classes=TARGETS, **common).perturb(x, y)
        if loss == "square":
            return SquareAttack(model, n_queries=QUERIES, resc_schedule=True, **common).perturb(x, y)
        return APGDAttack(model, n_iter=STEPS, loss=loss, **common).perturb(x, y)

    return attack


def of_adv_lib(loss: str) -> Attack:
    def attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        from adv_lib.attacks import apgd, pgd_linf

        if loss == "pgd":
            return pgd_linf(model, x, y, EPS, steps=STEPS, random_init=False, absolute_step_size=ALPHA)
        return apgd(model, x, y, EPS, norm=float("inf"), n_iter=STEPS, loss_function=loss)

    return attack


CONTESTANTS: dict[str, dict[str, Callable[[], Attack]]] = {
    f"PGD, {STEPS} steps": {
        "vidrobust": lambda: ours(lambda threat: PGD(threat, ALPHA, STEPS, keep="last", precision="exact")),
        "torchattacks": lambda: of_torchattacks("PGD", alpha=ALPHA, steps=STEPS, random_start=False),
        "foolbox": lambda: of_foolbox,
        "ART": lambda: of_art("ProjectedGradientDescentPyTorch", eps_step=ALPHA, max_iter=STEPS, batch_size=2000),
        "adv-lib": lambda: of_adv_lib("pgd"),
    },
    f"APGD-CE, {STEPS} steps": {
        "vidrobust": lambda: ours(lambda threat: APGD(threat, STEPS, cross_entropy, precision="exact")),
        "auto-attack": lambda: of_auto_attack("ce"),
        "torchattacks": lambda: of_torchattacks("APGD", steps=STEPS, loss="ce"),
        "adv-lib": lambda: of_adv_lib("ce"),
    },
    f"APGD-DLR, {STEPS} steps": {
        "vidrobust": lambda: ours(lambda threat: APGD(threat, STEPS, dlr, precision="exact")),
        "auto-attack": lambda: of_auto_attack("dlr"),
        "torchattacks": lambda: of_torchattacks("APGD", steps=STEPS, loss="dlr"),
        "adv-lib": lambda: of_adv_lib("dlr"),
    },
    f"FAB-T, {STEPS} steps, {TARGETS} targets": {
        "vidrobust": lambda: ours(lambda threat: FAB(threat, STEPS, TARGETS, precision="exact")),
        "auto-attack": lambda: of_auto_attack("fab"),
    },
    f"Square, {QUERIES} queries": {
        "vidrobust": lambda: ours(lambda threat: Square(threat, QUERIES + 1, precision="exact")),
        "auto-attack": lambda: of_auto_attack("square"),
        "torchattacks": lambda: of_torchattacks("Square", n_queries=QUERIES),
    },
}


class Outcome(NamedTuple):
    """What a contestant did: ``held`` one number an image, CPU seconds, and the peak over what was there, in MB."""

    held: Tensor
    seconds: float
    peak: float


def resident(field: str) -> float:
    """Of this process, in MB: VmRSS is now, VmHWM the most since it was reset."""
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]


def measured(make: Callable[[], Attack], model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
    """Run a contestant once. What leaves the budget does not count as broken."""
    attack = make()
    attack(model, x[:4], y[:4])  # imports, and what is made once
    Path("/proc/self/clear_refs").write_text("5")
    before, begun = resident("VmRSS"), time.process_time()
    moved = attack(model, x, y).detach()
    seconds = time.process_time() - begun
    with torch.no_grad():
        held = model(moved).argmax(1) == y
    held |= (moved - x).flatten(1).abs().amax(1) > EPS * (1 + 1e-4)
    return Outcome(held, seconds, resident("VmHWM") - before)


def in_a_process(*work: Any) -> Outcome | str:
    """The outcome of a contestant in a forked process, or why there is none."""
    context = multiprocessing.get_context("fork")
    mine, other = context.Pipe()

    def run() -> None:
        try:
            found = measured(*work)
            other.send((found.held.tolist(), found.seconds, found.peak))
        except Exception as error:  # noqa: BLE001 - a contestant that cannot run is a line of the table
            other.send(f"{type(error).__name__}: {error}"[:80])

    process = context.Process(target=run)
    process.start()
    answer = mine.recv()
    process.join()
    return answer if isinstance(answer, str) else Outcome(torch.tensor(answer[0]), *answer[1:])


def line(attack: str, library: str, found: Outcome | str, reference: Tensor) -> str:
    """A line of the table; the difference is paired by image."""
    name = f"{library} {version(LIBRARIES[library])}" if library != "vidrobust" else "vidrobust"
    if isinstance(found, str):
        return f"| {attack} | {name} | not run: {found} | | | |"
    held, count = found.held.double(), len(found.held) ** 0.5
    error = (held.mean() * (1 - held.mean())).sqrt() / count
    less = reference.double() - held
    apart = "" if library == "vidrobust" else f"{100 * less.mean():+.2f} ± {100 * less.std() / count:.2f}"
    return (
        f"| {attack} | {name} | {100 * held.mean():.2f} ± {100 * error:.2f} | {apart} | {found.seconds:.1f} | "
        f"{found.peak:.0f} |"
    )


def table(images: int) -> list[str]:
    """The lines of the table."""
    model, x, y = trained_on_gratings(images)
    lines = [
        f"| attack | library | robust accuracy (%), {len(x)} images | ours less theirs | CPU seconds | peak (MB) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for attack, contestants in CONTESTANTS.items():
        found = {library: in_a_process(make, model, x, y) for library, make in contestants.items()}
        mine = found["vidrobust"]
        assert isinstance(mine, Outcome), mine
        lines += [line(attack, library, one, mine.held) for library, one in found.items()]
        print(*lines[-len(found) :], sep="\n", flush=True)  # noqa: T201
    return lines


def main() -> None:
    """Write the table between the marks of a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in ("torchvision", "visdom"):  # imported for models and plots that are not used here
        sys.modules.setdefault(name, MagicMock())
    torch.set_num_threads(1)
    text = "\n".join(table(asked.images))
    page = asked.page.read_text(encoding="utf-8")
    head, mark, rest = page.partition("<!-- table -->\n")
    assert mark, f"{asked.page} has no mark <!-- table -->"
    asked.page.write_text(f"{head}{mark}{text}\n{rest[rest.index('<!-- end -->') :]}", encoding="utf-8")


if __name__ == "__main__":
    main()
