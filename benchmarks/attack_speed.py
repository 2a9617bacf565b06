"""The speed and memory of PGD against that of other libraries: same model, clips, ε, α and steps, one thread.

    python benchmarks/attack_speed.py --setup          # makes the peers' environment, once
    python benchmarks/attack_speed.py                  # measures all rows; --rows narrow wide memory surface robust

Runs are interleaved and compared by CPU time, because a busy neighbour slows all of them alike: a ratio is the median
over the rounds of the ratio within a round. Memory is the peak of a process of its own over what it held before the
attack. Numbers are printed as JSON, with the bounds they are held against.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".peers"
INSIDE = "VIDROBUST_PEERS"
EPS, ALPHA, STEPS = 8 / 255, 2 / 255, 10
BOUNDS = {
    "narrow": {"torchattacks": 0.38, "art": 0.27, "bare": 1.03, "bare, and a verdict": 1.03},
    "wide": {"torchattacks": 0.38, "art": 0.23, "bare": 1.03, "bare, and a verdict": 1.03},
    "memory": {"torchattacks": 0.35},
    "surface": {"torchattacks": 1 / 30},
    "robust": {"torchattacks": 0.25},
}
PEERS = ("torchattacks", "foolbox", "art", "advertorch")
Attack = Callable[..., Any]


@dataclass(frozen=True)
class Work:
    """A model and clips of the issue's table."""

    width: int
    clips: int
    size: int


WORKS = {"narrow": Work(16, 8, 56), "wide": Work(64, 2, 112)}


def setup(environment: Path) -> None:
    """Make the environment of the peers."""
    venv.create(environment, with_pip=True)
    (environment / ".gitignore").write_text("*\n")
    install = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", HERE / "peers-requirements.txt"], check=True)


def enter(environment: Path) -> None:
    """Go on with the peers' Python, with this checkout's package."""
    python = environment / "bin" / "python"
    if not python.exists():
        sys.exit(f"{environment} is missing: run {Path(__file__).name} --setup first.")
    inside = {INSIDE: str(environment), "PYTHONPATH": str(HERE.parent / "src"), "OMP_NUM_THREADS": "1"}
    os.execve(python, [str(python), __file__, *sys.argv[1:]], os.environ | inside)


def problem(work: Work) -> tuple[Any, Any, Any]:
    """Model, clips and labels: R3D-18's shape with random weights and running statistics that fit them."""
    import torch

    from vidrobust.models.resnet3d import ResNet3d
    from vidrobust.models.shapes import ResNet3dConfig

    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape: dict[str, Any] = {"layers": (2, 2, 2, 2), "widths": tuple(work.width * k for k in (1, 2, 4, 8))}
    strides = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    stem: dict[str, Any] = {"stem_width": work.width, "stem_kernel": (3, 7, 7), "stem_stride": (1, 2, 2)}
    model = ResNet3d(ResNet3dConfig(classes=10, strides=strides, **shape, **stem))
    clips = torch.rand(work.clips, 3, 16, work.size, work.size)
    with torch.no_grad():
        for _ in range(3):
            model(clips)  # in training mode: the running statistics
        model.eval()
        labels = model(clips).argmax(1)
    return model, clips, labels


def contestants(model: Any, steps: int = STEPS, eps: float = EPS, alpha: float = ALPHA) -> dict[str, Attack]:
    """Each library's PGD as a function of clips and labels, on a copy of the model of its own."""
    return {
        name: make(copy.deepcopy(model), steps, eps, alpha)
        for name, make in {
            "ours": ours,
            "ours, search alone": ours_search,
            "bare": bare,
            "bare, and a verdict": bare_and_verdict,
            "torchattacks": torchattacks,
            "foolbox": foolbox,
            "art": art,
            "advertorch": advertorch,
        }.items()
    }


def ours(model: Any, steps: int, eps: float, alpha: float) -> Attack:
    """The public call: checks, the search, the closing float32 verdict."""
    from vidrobust import PGD, Linf, Threat

    attack = PGD(Threat(Linf(), eps), alpha, steps, keep="last")
    return lambda clips, labels: attack(model, clips, labels).clips


def ours_search(model: Any, steps: int, eps: float, alpha: float) -> Attack:
    """What the peers do: no checks, no verdict."""
    from vidrobust import PGD, Linf, Threat

    attack = PGD(Threat(Linf(), eps), alpha, steps, keep="last")
    return lambda clips, labels: attack.perturb(model, clips, labels)


def bare(model: Any, steps: int, eps: float, alpha: float) -> Attack:
    """As many forward passes and input gradients in the same format, and nothing else."""
    import torch
    import torch.nn.functional as F

    from vidrobust.fast.view import inference_view

    model.requires_grad_(False)

    def run(clips: Any, labels: Any) -> Any:
        view = inference_view(model, clips)
        laid = clips.contiguous(memory_format=view.layout)
        for _ in range(steps):
            point = laid.detach().requires_grad_(True)
            torch.autograd.grad(F.cross_entropy(view(point), labels, reduction="sum"), point)
        return clips

    return run


def bare_and_verdict(model: Any, steps: int, eps: float, alpha: float) -> Attack:
    """As many passes as our public call reports: one forward pass more, of the model itself in float32."""
    import torch

    gradients = bare(model, steps, eps, alpha)

    def run(clips: Any, labels: Any) -> Any:
        gradients(clips, labels)
        with torch.no_grad():
            model(clips)
        return clips

    return run


def torchattacks(model: Any, steps: int, eps: float, alpha: float) -> Attack:
    """The PGD of torchattacks."""
    import torchattacks as library  # pyrefly: ignore[missing-import]

    return library.PGD(model, eps=eps, alpha=alpha, steps=steps, random_start=False)


def foolbox(model: Any, steps: int, eps: float, alpha: float) -> Attack:
    """The PGD of foolbox."""
    import foolbox as library  # pyrefly: ignore[missing-import]

    attack = library.attacks.LinfPGD(abs_stepsize=alpha, steps=steps, random_start=False)
    wrapped = library.PyTorchModel(model, bounds=(0, 1))
    return lambda clips, labels: attack.run(wrapped, clips, labels, epsilon=eps)


def art(model: Any, steps: int, eps: float, alpha: float) -> Attack:
    """The PGD of the adversarial-robustness-toolbox, in one batch."""
    import torch
    from art.attacks.evasion import ProjectedGradientDescentPyTorch  # pyrefly: ignore[missing-import]
    from art.estimators.classification import PyTorchClassifier  # pyrefly: ignore[missing-import]

    def run(clips: Any, labels: Any) -> Any:
        shape = tuple(clips.shape[1:])
        classifier = PyTorchClassifier(
            model, torch.nn.CrossEntropyLoss(), shape, 10, clip_values=(0.0, 1.0), device_type="cpu"
        )
        attack = ProjectedGradientDescentPyTorch(
            classifier, eps=eps, eps_step=alpha, max_iter=steps, batch_size=len(clips), verbose=False
        )
        return torch.from_numpy(attack.generate(clips.numpy(), labels.numpy()))

    return run


def advertorch(model: Any, steps: int, eps: float, alpha: float) -> Attack:
    """The PGD of advertorch; to import it needs a function that torch has dropped, and torchvision; its PGD neither."""
    import torch

    module: Any = sys.modules["torch.autograd.gradcheck"]  # the attribute of this name is a function
    module.zero_gradients = lambda _: None
    sys.modules["torchvision"] = MagicMock()
    from advertorch.attacks import LinfPGDAttack  # pyrefly: ignore[missing-import]

    loss = torch.nn.CrossEntropyLoss(reduction="sum")
    return LinfPGDAttack(model, loss, eps=eps, nb_iter=steps, eps_iter=alpha, rand_init=False).perturb


def seconds(run: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def ratios(times: dict[str, list[float]], of: str = "ours") -> dict[str, float]:
    """The median over the rounds of our time over each peer's in the same round."""
    return {
        name: round(statistics.median(a / b for a, b in zip(times[of], taken, strict=True)), 3)
        for name, taken in times.items()
        if name != of
    }


def final_loss(model: Any, clips: Any, labels: Any) -> float:
    """Mean float32 cross-entropy of the clips an attack returned."""
    import torch
    import torch.nn.functional as F

    with torch.no_grad():
        return F.cross_entropy(model(clips), labels).item()


def speed(row: str, rounds: int, peers: Sequence[str]) -> dict[str, Any]:
    """PGD-10 against these peers."""
    model, clips, labels = problem(WORKS[row])
    runs = {name: run for name, run in contestants(model).items() if name in peers or name not in PEERS}
    losses = {name: round(final_loss(model, run(clips, labels), labels), 4) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(seconds(lambda run=run: run(clips, labels)))
    return {
        "ours / peer": ratios(times),
        "search alone / peer": ratios(times, "ours, search alone"),
        "final loss": losses,
        "seconds": {name: round(statistics.median(taken), 3) for name, taken in times.items()},
    }


def memory(rounds: int) -> dict[str, Any]:
    """Peak memory over what the process held before, each in a process of its own."""
    found: dict[str, Any] = {}
    for row in WORKS:
        peaks = {}
        for name in ("ours", *PEERS):
            command = [sys.executable, __file__, "--peak", row, name]
            peaks[name] = float(
                subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1]
            )
        found[row] = {
            "MB": peaks,
            "ours / peer": {name: round(peaks["ours"] / peak, 3) for name, peak in peaks.items() if name != "ours"},
        }
    return found


def peak(row: str, name: str) -> float:
    """Peak memory of one attack over the process's before it, in MB (Linux)."""
    model, clips, labels = problem(WORKS[row])
    run = globals()[name](model, STEPS, EPS, ALPHA)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
    before = _resident("VmRSS")
    run(clips, labels)
    return (_resident("VmHWM") - before) / 1024


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def surface(rounds: int) -> dict[str, Any]:
    """14 step sizes × 30 iteration counts: 14 trajectories of ours, 420 runs of torchattacks.

    Timed are the trajectories of two step sizes, and cells of 1, 10 and 30 iterations, through which a line is drawn;
    both are extrapolated to the whole surface. A cell costs an attack and the forward pass that reads its loss.
    """
    import numpy as np

    from vidrobust import PGD, Linf, Threat

    model, clips, labels = problem(WORKS["narrow"])
    own, peers = copy.deepcopy(model), copy.deepcopy(model)
    cells = (1, 10, 30)
    times: dict[str, list[float]] = {"ours": [], "torchattacks": []}
    for _ in range(rounds):
        lines = [
            seconds(lambda alpha=alpha: list(PGD(Threat(Linf(), EPS), alpha, 30).trajectory(own, clips, labels)))
            for alpha in (ALPHA / 2, ALPHA)
        ]
        taken = []
        for count in cells:
            attack = torchattacks(peers, count, EPS, ALPHA)
            taken.append(seconds(lambda attack=attack: final_loss(peers, attack(clips, labels), labels)))
        slope, base = np.polyfit(cells, taken, 1)
        times["ours"].append(14 * statistics.mean(lines))
        times["torchattacks"].append(float(14 * sum(base + slope * count for count in range(1, 31))))
    return {"extrapolated from": f"2 of 14 trajectories, cells of {cells} iterations", "ours / peer": ratios(times)}


def robust(rounds: int) -> dict[str, Any]:
    """Robust accuracy by PGD-50 on a model that about half of the clips survive, against torchattacks on all clips."""
    import torch

    from vidrobust import PGD, Linf, Threat

    model, clips, labels = half_robust()
    eps, fine = survivable(model, clips, labels)
    attack = PGD(Threat(Linf(), eps), eps / 8, 50)
    own, peer = copy.deepcopy(model), torchattacks(copy.deepcopy(model), 50, eps, eps / 8)
    times: dict[str, list[float]] = {"ours": [], "torchattacks": []}
    survived = {"ours": 0, "torchattacks": 0}
    for _ in range(rounds):

        def run_ours() -> None:
            survived["ours"] = int((~attack(own, clips, labels).success).sum())

        def run_peer() -> None:
            found = peer(clips, labels)
            with torch.no_grad():
                survived["torchattacks"] = int((model(found).argmax(1) == labels).sum())

        times["ours"].append(seconds(run_ours))
        times["torchattacks"].append(seconds(run_peer))
    return {"ours / peer": ratios(times), "clips": len(labels), "clean": fine, "survive": survived, "eps": eps * 255}


def half_robust() -> tuple[Any, Any, Any]:
    """A small network trained briefly by PGD-3 at ε = 4/255 on gratings that drift in eight directions; 64 clips."""
    import torch
    import torch.nn.functional as F

    from vidrobust import PGD, Linf, Threat
    from vidrobust.models.resnet3d import ResNet3d
    from vidrobust.models.shapes import ResNet3dConfig

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ResNet3d(ResNet3dConfig(classes=10))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    attack = PGD(Threat(Linf(), 4 / 255), 2 / 255, 3)
    for step in range(120):
        clips, labels = gratings(32)
        if step >= 60:
            clips = attack.perturb(model, clips, labels)
        optimiser.zero_grad()
        F.cross_entropy(model.train()(clips), labels).backward()
        optimiser.step()
    return model.eval(), *gratings(64)


def gratings(count: int) -> tuple[Any, Any]:
    """Sine gratings of random wavelength, phase and contrast in noise, drifting in one of eight directions."""
    import torch

    labels = torch.randint(8, (count,))
    angle = labels * (torch.pi / 4)
    time, row, column = torch.meshgrid(torch.arange(8.0), torch.arange(32.0), torch.arange(32.0), indexing="ij")
    spread = (-1, 1, 1, 1)
    along = row * angle.sin().view(spread) + column * angle.cos().view(spread)
    pace, phase = torch.rand(count).view(spread) * 0.5 + 0.4, torch.rand(count).view(spread) * 6.3
    contrast = 0.02 + 0.13 * torch.rand(count).view(spread)
    wave = 0.5 + contrast * torch.sin(along * 0.6 - time * pace + phase)
    return (wave[:, None] + 0.03 * torch.randn(count, 3, 8, 32, 32)).clamp(0, 1), labels


def survivable(model: Any, clips: Any, labels: Any) -> tuple[float, int]:
    """An ε that about half of the clips survive under PGD-50, and how many are right without attack."""
    from vidrobust import PGD, Linf, Threat

    low, high = 0.0, 32 / 255
    for _ in range(6):
        eps = (low + high) / 2
        left = (~PGD(Threat(Linf(), eps), eps / 8, 50)(model, clips, labels).success).float().mean().item()
        low, high = (eps, high) if left > 0.5 else (low, eps)
    return (low + high) / 2, int((model(clips).argmax(1) == labels).sum())


def main() -> None:
    """Measure the rows that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", action="store_true", help="make the peers' environment and stop")
    parser.add_argument("--env", type=Path, default=ENVIRONMENT, help="where the peers' environment is")
    parser.add_argument("--rows", nargs="+", choices=BOUNDS, default=list(BOUNDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="of the rows narrow and wide")
    parser.add_argument("--peak", nargs=2, metavar=("ROW", "NAME"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.setup:
        setup(asked.env)
        return
    if INSIDE not in os.environ:
        enter(asked.env)
    if asked.peak:
        print(peak(*asked.peak))
        return
    measures: dict[str, Callable[[int], dict[str, Any]]] = {"memory": memory, "surface": surface, "robust": robust}
    for row in asked.rows:
        found = measures[row](asked.rounds) if row in measures else speed(row, asked.rounds, asked.peers)
        print(json.dumps({"row": row, "bounds": BOUNDS[row], **found}, indent=2), flush=True)


if __name__ == "__main__":
    main()
