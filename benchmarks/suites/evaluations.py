"""Whole evaluations: a loss surface and robust accuracy on survivors, against torchattacks; AutoAttack at full size."""

from __future__ import annotations

import copy
import statistics
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.contestants import ALPHA, EPS, torchattacks
from benchmarks.measuring import Stage, interleaved, peak_bytes, quartiles, seconds
from benchmarks.problems import Problem, problems
from benchmarks.suites.attacks import final_loss
from vidrobust import PGD, AutoAttack, Linf, Threat
from vidrobust.attacks.base import RobustnessWarning
from vidrobust.models.resnet3d import ResNet3d, ResNet3dConfig

SURFACE = "loss surface, 14 step sizes × 30 iteration counts"
ROBUST = "robust accuracy by PGD-50, about half of the clips survive"
LARGE = Problem("AutoAttack, 3D-ResNeXt-101, 32×3×64×112×112", "resnext3d-101", 32, 64, 112, {})
SMALL = Problem("AutoAttack, small network of the study, 4×3×8×16×16", "r3d-small", 4, 8, 16, {})


def measure(stage: Stage) -> None:
    """All three."""
    for name, work, bound in ((SURFACE, _surface, 1 / 30), (ROBUST, _robust, 0.25)):
        if stage.wants(name):
            with stage.trying(name):
                stage.add_times(name, work(stage), {("ours", "torchattacks"): bound})
    problem = SMALL if stage.tiny else LARGE
    if stage.wants(problem.name):
        with stage.trying(problem.name):
            _autoattack(stage, problem)


def _autoattack(stage: Stage, problem: Problem) -> None:
    """The standard ensemble once, at an ε that few of the clips survive under PGD-10.

    Most of its cost is of the clips that survive, so that a run with half of 32 would not end within minutes; the row
    says how many stood after each of its attacks. The peers' Square takes no clips; the suite ``agreement`` compares
    the robust accuracies of small networks.
    """
    if stage.device.type == "cpu" and not stage.tiny:
        stage.add(kind="not run", row=problem.name, why="hours on a CPU")
        return
    model, clips, labels = problem.make(stage.device)
    share = 1 / 2 if stage.tiny else 1 / 8
    eps = _survivable(model, clips, labels, 10, share, halvings=9)  # random weights stand less than 1/255
    threat, found, taken = Threat(Linf(), eps), [], []
    attack = AutoAttack(threat, 3, 1, 10) if stage.tiny else AutoAttack(threat)

    def once() -> None:  # the peak is that of two calls, of which one is enough
        if not found:
            taken.append(seconds(lambda: found.append(attack(model, clips, labels)), stage.device))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RobustnessWarning)
        AutoAttack(threat, 1, 1, 2)(model, clips, labels)
        peak = peak_bytes(once, stage.device)
    (result,) = found
    stage.add(kind="time", row=problem.name, contestant="ours", seconds=quartiles(taken))
    stage.add(kind="memory", row=problem.name, contestant="ours", bytes=peak)
    stage.add(kind="loss", row=problem.name, contestant="ours", loss=round(result.loss.mean().item(), 5))
    passes = {"forward passes": int(result.forwards.sum()), "gradients": int(result.backwards.sum())}
    stage.add(kind="figure", row=problem.name, what="work", value={"eps": round(255 * eps, 3), **passes})
    stage.add(kind="figure", row=problem.name, what="clips that stand", value=result.standing)


def _surface(stage: Stage) -> dict[str, list[float]]:
    """14 trajectories of ours against 420 runs of torchattacks, extrapolated from a sample.

    Timed are the trajectories of two step sizes, and cells of a few iteration counts, through which a line is drawn. A
    cell costs an attack and the forward pass that reads its loss.
    """
    model, clips, labels = problems(stage.device, stage.tiny)[0].make(stage.device)
    own, peer, threat = copy.deepcopy(model), copy.deepcopy(model), Threat(Linf(), EPS)
    steps = 3 if stage.tiny else 30
    cells = (1, 2, 3) if stage.tiny else (1, 10, 30)

    def trajectory(alpha: float) -> Callable[[], object]:
        return lambda: list(PGD(threat, alpha, steps).trajectory(own, clips, labels))

    def cell(count: int) -> Callable[[], object]:
        attack = torchattacks(peer, count)
        return lambda: final_loss(peer, attack(clips, labels), labels)

    sample = {f"α {alpha:.4f}": trajectory(alpha) for alpha in (ALPHA / 2, ALPHA)}
    taken = interleaved(sample | {f"cell {count}": cell(count) for count in cells}, stage, warm=1)
    times: dict[str, list[float]] = {"ours": [], "torchattacks": []}
    for number in range(len(taken[f"cell {cells[0]}"])):
        slope, base = np.polyfit(cells, [taken[f"cell {count}"][number] for count in cells], 1)
        times["ours"].append(14 * statistics.mean(taken[name][number] for name in sample))
        times["torchattacks"].append(float(14 * sum(base + slope * count for count in range(1, steps + 1))))
    return times


def _robust(stage: Stage) -> dict[str, list[float]]:
    """PGD-50, which leaves broken clips out, against torchattacks on all clips; both count the survivors."""
    model, clips, labels = _half_robust(stage)
    steps = 5 if stage.tiny else 50
    eps = _survivable(model, clips, labels, steps)
    attack = PGD(Threat(Linf(), eps), eps / 8, steps)
    peer = torchattacks(copy.deepcopy(model), steps, eps, eps / 8)
    survived = {}

    def ours() -> None:
        survived["ours"] = int((~attack(model, clips, labels).success).sum())

    @torch.no_grad()
    def theirs() -> None:
        with torch.enable_grad():
            found = peer(clips, labels)
        survived["torchattacks"] = int((model(found).argmax(1) == labels).sum())

    times = interleaved({"ours": ours, "torchattacks": theirs}, stage, warm=1)
    value = {"clips": len(labels), "eps": round(255 * eps, 3), **survived}
    stage.add(kind="figure", row=ROBUST, what="survivors", value=value)
    return times


def _half_robust(stage: Stage) -> tuple[nn.Module, Tensor, Tensor]:
    """A small network trained briefly by PGD-3 at ε = 4/255 on gratings that drift in eight directions, and clips."""
    torch.manual_seed(0)
    model = ResNet3d(ResNet3dConfig(classes=10)).to(stage.device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    attack = PGD(Threat(Linf(), 4 / 255), 2 / 255, 3)
    count = 4 if stage.tiny else 120
    for step in range(count):
        clips, labels = (tensor.to(stage.device) for tensor in _gratings(32))
        if step >= count // 2:
            clips = attack.perturb(model, clips, labels)
        optimiser.zero_grad()
        F.cross_entropy(model.train()(clips), labels).backward()
        optimiser.step()
    clips, labels = (tensor.to(stage.device) for tensor in _gratings(64))
    return model.eval(), clips, labels


def _gratings(count: int) -> tuple[Tensor, Tensor]:
    """Sine gratings of random wavelength, phase and contrast in noise, drifting in one of eight directions."""
    labels = torch.randint(8, (count,))
    angle = labels * (torch.pi / 4)
    time, row, column = torch.meshgrid(torch.arange(8.0), torch.arange(32.0), torch.arange(32.0), indexing="ij")
    spread = (-1, 1, 1, 1)
    along = row * angle.sin().view(spread) + column * angle.cos().view(spread)
    pace, phase = torch.rand(count).view(spread) * 0.5 + 0.4, torch.rand(count).view(spread) * 6.3
    contrast = 0.02 + 0.13 * torch.rand(count).view(spread)
    wave = 0.5 + contrast * torch.sin(along * 0.6 - time * pace + phase)
    return (wave[:, None] + 0.03 * torch.randn(count, 3, 8, 32, 32)).clamp(0, 1), labels


def _survivable(
    model: nn.Module, clips: Tensor, labels: Tensor, steps: int, share: float = 1 / 2, halvings: int = 6
) -> float:
    """An ε that about this share of the clips survives under PGD."""
    low, high = 0.0, 32 / 255
    for _ in range(halvings):
        eps = (low + high) / 2
        left = (~PGD(Threat(Linf(), eps), eps / 8, steps)(model, clips, labels).success).float().mean().item()
        low, high = (eps, high) if left > share else (low, eps)
    return (low + high) / 2
