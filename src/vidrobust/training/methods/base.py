"""The base class of training methods: a policy, its threat, and one optimiser for the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from vidrobust.training.crafting import policy_threat
from vidrobust.training.rates import default_optimiser
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from vidrobust.notation.policies import Policy, Setting
    from vidrobust.threats import Threat
    from vidrobust.training.config import FitConfig
    from vidrobust.training.learner import Learner
    from vidrobust.training.methods.objectives import Batch, Objective
    from vidrobust.types import ClipTensor, Logits


@dataclass(frozen=True)
class OneModel(ABC):
    """Base class of training methods; its defaults are those of methods that train only the model, with one optimiser.

    Attributes:
        policy: the schedules and options it follows.
        parts: the methods that it mixes, if it does.
    """

    policy: Policy
    parts: tuple[OneModel, ...] = ()

    @cached_property
    def threat(self) -> Threat:
        """The policy's threat at ε = 1/255."""
        return policy_threat(self.policy)

    def threat_at(self, eps: float) -> Threat:
        """The policy's threat at an ε in units of 1/255."""
        return replace(self.threat, eps=eps * PIXEL)

    def number(self, symbol: str) -> float:
        """An option of the policy that is a number."""
        return float(self.policy.option(symbol))

    def setting(self, batch: Batch) -> Setting:
        """The attack in force for a batch."""
        return self.policy.at(batch.clock, batch.alpha_star)

    def around(self, model: nn.Module, seed: int) -> nn.Module:
        """The model as it is."""
        return model

    @property
    def whole(self) -> bool:
        """Every loss is one forward pass of the model."""
        return True

    def prepare(self, learner: Learner) -> None:  # noqa: B027  # most methods have nothing to prepare
        """Nothing is trained besides the model."""

    def optimisers(self, learner: Learner, config: FitConfig) -> Mapping[str, Optimizer]:
        """One for the model."""
        return {"model": default_optimiser(learner.model, config)}

    @abstractmethod
    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """The losses of one batch."""


def both(learner: Learner, clean: ClipTensor, attacked: ClipTensor) -> tuple[Logits, Logits]:
    """The logits of clean and of attacked clips, through the network together, so BatchNorm sees both."""
    first, second = learner.logits(torch.cat([clean, attacked])).chunk(2)
    return first, second
