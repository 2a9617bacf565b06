"""What a calibrated step size brings: PGD with alpha="auto" against the rules of thumb 2.5·ε/steps and ε/4.

Two small models are trained on the embedded data, one of them adversarially. α* is looked for on validation clips, the
attacks run on test clips. Each cell is the mean cross-entropy after the last step, and the clips left right (best
iterate) with the 95 % interval of the accuracy.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.measuring import Stage
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.step_size import calibrate
from vidrobust.data.dataset import DataConfig, VideoClips, load
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.results.numbers.intervals import interval
from vidrobust.threats import Linf, Threat
from vidrobust.training.trainer import FitConfig, train
from vidrobust.types import PIXEL

EPS = (2.0, 4.0, 8.0)
STEPS = (5, 10, 20)
POLICIES = ("standard", "AT(ε=4,α=2,i=3)")


def measure(stage: Stage) -> None:
    """Each model, ε and number of steps."""
    config = DataConfig(train=40, val=8, test=8) if stage.tiny else DataConfig(train=600, val=32, test=200)
    data, epochs = load(config), 1 if stage.tiny else 6
    for policy in POLICIES:
        rows = [
            (f"{policy}, ε={eps:g}, {steps} steps", eps, steps)
            for eps in (EPS[:1] if stage.tiny else EPS)
            for steps in (STEPS[:1] if stage.tiny else STEPS)
        ]
        model = None
        for row, eps, steps in rows:
            if stage.wants(row):
                with stage.trying(row):
                    model = model or _trained(stage, data, policy, epochs)
                    value = _compared(model, data, eps * PIXEL, steps, stage.device)
                    stage.add(kind="figure", row=row, what="table", value=value)


def _trained(stage: Stage, data: VideoClips, policy: str, epochs: int) -> nn.Module:
    """A small model: trained clean, and then, if the policy says so, adversarially for as long again."""
    model = build("r3d-small", len(data.classes)).to(stage.device)
    train(model, data.train, parse_policy("standard"), FitConfig(epochs))
    if policy != "standard":
        train(model, data.train, parse_policy(policy), FitConfig(epochs, lr=1e-3))
    return model


def _compared(model: nn.Module, data: VideoClips, eps: float, steps: int, device: torch.device) -> dict[str, str]:
    """PGD with each of the three step sizes."""
    threat = Threat(Linf(), eps)
    clips, labels = data.val.centre(range(len(data.val))).to(device), data.val.labels.to(device)
    found = calibrate(model, threat, steps, clips, labels)[steps]
    alphas = {"α = auto": found.alpha, "α = 2.5·ε/steps": 2.5 * eps / steps, "α = ε/4": eps / 4}
    about = f"{found.alpha / PIXEL:.2f} ({found.low / PIXEL:.2f}–{found.high / PIXEL:.2f})"
    cells = {name: _attacked(model, data, threat, alpha, steps, device) for name, alpha in alphas.items()}
    return {"α* (95 %)": about} | cells


def _attacked(
    model: nn.Module, data: VideoClips, threat: Threat, alpha: float, steps: int, device: torch.device
) -> str:
    """The mean loss of the last iterate, the clips left right by the best, and the interval."""
    clips, labels = data.test.centre(range(len(data.test))).to(device), data.test.labels.to(device)
    loss = PGD(threat, alpha, steps, keep="last")(model, clips, labels).loss.mean().item()
    left = int((~PGD(threat, alpha, steps, keep="best")(model, clips, labels).success).sum())
    low, high = interval(left, len(clips))
    return f"{loss:.3f}; {left}/{len(clips)} ({100 * low:.0f}–{100 * high:.0f} %)"
