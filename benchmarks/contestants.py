"""PGD of this library and of others as functions of clips and labels, each on a model of its own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidrobust import PGD, Linf, Threat
from vidrobust.attacks.base import exact_outcome
from vidrobust.fast.view import inference_view

EPS, ALPHA = 8 / 255, 2 / 255
Attack = Callable[[Tensor, Tensor], Any]


def ours(model: nn.Module, steps: int) -> Attack:
    """The public call: checks, the search, the closing verdict."""
    attack = PGD(Threat(Linf(), EPS), ALPHA, steps, keep="last")
    return lambda clips, labels: attack(model, clips, labels).clips


def ours_search(model: nn.Module, steps: int) -> Attack:
    """What the others do: no checks, no verdict."""
    attack = PGD(Threat(Linf(), EPS), ALPHA, steps, keep="last")
    return lambda clips, labels: attack.perturb(model, clips, labels)


def ours_exact(model: nn.Module, steps: int) -> Attack:
    """The model itself instead of its fast copy."""
    attack = PGD(Threat(Linf(), EPS), ALPHA, steps, keep="last", precision="exact")
    return lambda clips, labels: attack(model, clips, labels).clips


def bare(model: nn.Module, steps: int) -> Attack:
    """As many forward passes and input gradients of the same copy, and nothing else."""
    model.requires_grad_(False)

    def run(clips: Tensor, labels: Tensor) -> Tensor:
        view = inference_view(model, clips)
        laid = clips.contiguous(memory_format=view.layout)
        for _ in range(steps):
            point = laid.detach().requires_grad_(True)
            torch.autograd.grad(F.cross_entropy(view(point), labels, reduction="sum"), point)
        return clips

    return run


def bare_and_verdict(model: nn.Module, steps: int) -> Attack:
    """As many passes as our public call reports: its verdict as well, in the numbers that it is computed in."""
    gradients = bare(model, steps)

    def run(clips: Tensor, labels: Tensor) -> Tensor:
        gradients(clips, labels)
        exact_outcome(model, clips, labels)
        return clips

    return run


def plain(model: nn.Module, steps: int) -> Attack:
    """PGD as one writes it by hand with what PyTorch offers: frozen weights, bfloat16 autocast, channels last."""
    model.requires_grad_(False).to(memory_format=torch.channels_last_3d)  # pyrefly: ignore[no-matching-overload]

    def run(clips: Tensor, labels: Tensor) -> Tensor:
        start = clips.contiguous(memory_format=torch.channels_last_3d)
        low, high = (start - EPS).clamp(min=0), (start + EPS).clamp(max=1)
        point = start
        for _ in range(steps):
            point = point.detach().requires_grad_(True)
            with torch.autocast(clips.device.type, torch.bfloat16):
                loss = F.cross_entropy(model(point).float(), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, point)
            point = torch.clamp(point.detach() + ALPHA * gradient.sign(), low, high)
        return point

    return run


def torchattacks(model: nn.Module, steps: int, eps: float = EPS, alpha: float = ALPHA) -> Attack:
    """The PGD of torchattacks."""
    library: Any = importlib.import_module("torchattacks")
    return library.PGD(model, eps=eps, alpha=alpha, steps=steps, random_start=False)


def foolbox(model: nn.Module, steps: int) -> Attack:
    """The PGD of foolbox."""
    library: Any = importlib.import_module("foolbox")
    attack = library.attacks.LinfPGD(abs_stepsize=ALPHA, steps=steps, random_start=False)
    device = next(model.parameters()).device
    wrapped = library.PyTorchModel(model, bounds=(0, 1), device=device)
    return lambda clips, labels: attack.run(wrapped, clips, labels, epsilon=EPS)


def art(model: nn.Module, steps: int) -> Attack:
    """The PGD of the adversarial-robustness-toolbox, in one batch."""
    evasion: Any = importlib.import_module("art.attacks.evasion")
    estimators: Any = importlib.import_module("art.estimators.classification")
    kind = "gpu" if next(model.parameters()).is_cuda else "cpu"

    def run(clips: Tensor, labels: Tensor) -> Tensor:
        classifier = estimators.PyTorchClassifier(
            model, nn.CrossEntropyLoss(), tuple(clips.shape[1:]), 10, clip_values=(0.0, 1.0), device_type=kind
        )
        attack = evasion.ProjectedGradientDescentPyTorch(
            classifier, eps=EPS, eps_step=ALPHA, max_iter=steps, batch_size=len(clips), verbose=False
        )
        return torch.from_numpy(attack.generate(clips.cpu().numpy(), labels.cpu().numpy())).to(clips.device)

    return run


def advertorch(model: nn.Module, steps: int) -> Attack:
    """The PGD of advertorch; to import it needs a function that torch has dropped, and torchvision; its PGD neither."""
    module: Any = sys.modules["torch.autograd.gradcheck"]  # the attribute of this name is a function
    module.zero_gradients = lambda _: None
    sys.modules.setdefault("torchvision", MagicMock())
    library: Any = importlib.import_module("advertorch.attacks")
    loss = nn.CrossEntropyLoss(reduction="sum")
    return library.LinfPGDAttack(model, loss, eps=EPS, nb_iter=steps, eps_iter=ALPHA, rand_init=False).perturb


OWN: dict[str, Callable[[nn.Module, int], Attack]] = {
    "ours": ours,
    "ours, search alone": ours_search,
    "ours, exact": ours_exact,
    "bare": bare,
    "bare, and a verdict": bare_and_verdict,
    "plain bfloat16": plain,
}
PEERS: dict[str, Callable[[nn.Module, int], Attack]] = {
    "torchattacks": torchattacks,
    "foolbox": foolbox,
    "art": art,
    "advertorch": advertorch,
}
