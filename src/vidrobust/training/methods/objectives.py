"""The interface of training methods: values that yield losses, on each of which the loop takes an optimiser step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from vidrobust.notation.policies import AlphaStar, Policy
    from vidrobust.notation.schedules import Clock
    from vidrobust.training.config import FitConfig
    from vidrobust.training.learner import Learner
    from vidrobust.types import ClipTensor, Labels


@dataclass(frozen=True)
class Batch:
    """A batch of training clips.

    Attributes:
        clips: ``B C T H W`` in [0, 1].
        labels: ``B``.
        seeds: ``B`` numbers, one per clip: random starts come from them, so that they depend neither on how a batch is
            cut over processes nor on where a training was resumed.
        clock: where training stands.
        alpha_star: α*(ε, i) in units of 1/255.
        part: which micro-batch of its step it is.
    """

    clips: ClipTensor
    labels: Labels
    seeds: tuple[int, ...]
    clock: Clock
    alpha_star: AlphaStar
    part: int = 0


class Outcome(NamedTuple):
    """A loss, with the logits of the clips as they were trained on (or None where nothing is classified)."""

    loss: Tensor
    logits: Tensor | None


def nothing() -> None:
    """The default of :attr:`Objective.settle`: does nothing."""


@dataclass(frozen=True)
class Objective:
    """One loss to be stepped.

    Attributes:
        outcome: computes the mean loss of the batch anew at each call.
        of: which of the method's optimisers steps it.
        settle: called between the backward pass and the step.
    """

    outcome: Callable[[], Outcome]
    of: str = "model"
    settle: Callable[[], None] = nothing


class Method(Protocol):
    """A training method: a stateless value that yields the losses of each batch."""

    @property
    def policy(self) -> Policy:
        """The schedules it follows."""
        ...

    def around(self, model: nn.Module, seed: int) -> nn.Module:
        """The model that it trains: ``model``, or ``model`` within what the method needs besides a classifier."""
        ...

    @property
    def whole(self) -> bool:
        """Whether every loss is one forward pass of the whole model, as DDP requires."""
        ...

    def prepare(self, learner: Learner) -> None:
        """Add what it trains besides the model to ``learner.extras``."""
        ...

    def optimisers(self, learner: Learner, config: FitConfig) -> Mapping[str, Optimizer]:
        """Its optimisers, by the names that its objectives use."""
        ...

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """The losses of one batch, in order: each is stepped before the next is asked for."""
        ...
