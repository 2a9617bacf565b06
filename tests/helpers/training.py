"""A training, a batch and an objective, for tests of training methods."""

from __future__ import annotations

from typing import Any

import torch

from vidrobust.data.clips import Clips
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.notation.schedules import Clock
from vidrobust.training.config import FitConfig
from vidrobust.training.learner import Learner
from vidrobust.training.methods.objectives import Batch
from vidrobust.training.methods.table import fitted, method_of
from vidrobust.training.trainer import train


def half(eps: float, steps: int) -> float:
    return eps / 2


def trained_by(text: str, clips: Clips, config: FitConfig, **how: Any) -> tuple[torch.nn.Module, list[dict[str, Any]]]:
    policy = parse_policy(text)
    model = fitted(build("r3d-small", 10), policy)
    rows = train(model, clips, policy, config, seed=3, alpha_star=half, **how)
    return model, rows


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


def batch_of(clips: Clips, count: int = 4) -> Batch:
    indices = range(count)
    return Batch(clips.centre(indices), clips.labels[:count], tuple(range(count)), Clock(0, 2), half)


def objective_of(text: str, model: torch.nn.Module, batch: Batch) -> Any:
    learner = Learner(model, precision="exact")
    method = method_of(parse_policy(text))
    method.prepare(learner)
    learner.train()
    return learner, method.objectives(learner, batch)
