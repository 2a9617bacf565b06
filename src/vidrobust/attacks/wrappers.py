"""Wrappers of any search, for models whose gradient is random or useless (Athalye, Carlini & Wagner, ICML 2018)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from vidrobust.attacks.base import AttackResult
from vidrobust.attacks.counts import at_least_one, check_seed
from vidrobust.attacks.traits import Wrapper, attack_cost
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.fast.drawing import random_states_kept
from vidrobust.fast.pieces import Piece, in_pieces, is_long
from vidrobust.fast.turns import PROCESS, turns
from vidrobust.fast.view import answers

if TYPE_CHECKING:
    from vidrobust.types import ClipTensor, Labels, Logits


class Search(Protocol):
    """An attack: anything called with a model, clips and labels."""

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels, /) -> AttackResult:
        """Attack the clips."""
        ...


@dataclass(frozen=True)
class EOT(Wrapper):
    """Expectation over transformation: attack a randomised model by the mean of its logits (section 4.2.2, there).

    The model's own draws come from the global random state, which is seeded inside and as it was afterwards. What is
    reported is the verdict of the mean of ``samples`` draws, and every draw counts as a pass.

    Args:
        search: the attack.
        samples: draws per pass, at least 1.
        seed: of the model's draws.

    Raises:
        InputError: a value is out of its range.

    >>> from vidrobust.attacks.pgd import PGD
    >>> from vidrobust.threats import Linf, Threat
    >>> head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> model = lambda clips: head(clips + 0.1 * torch.randn_like(clips))
    >>> clips, labels = torch.rand(5, 3, 2, 4, 4), torch.zeros(5, dtype=torch.int64)
    >>> attack = EOT(PGD(Threat(Linf(), eps=8 / 255), alpha=2 / 255, steps=5, keep="last"), samples=4)
    >>> attack(model, clips, labels).backwards.tolist()
    [20, 20, 20, 20, 20]
    """

    search: Search
    samples: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        at_least_one(samples=self.samples)
        check_seed(self.seed)

    @property
    def cost(self) -> int:
        return self.samples * attack_cost(self.search)

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was."""
        with undisturbed(model), seeded_by_clips(self.seed, clips):
            found = self.search(Averaged(answers(model), self.samples), clips, labels)
        spent = {name: getattr(found, name) * self.samples for name in ("forwards", "backwards", "queries")}
        return replace(found, **spent)


@dataclass(frozen=True)
class Averaged:
    """A randomised model as the mean logits of ``samples`` draws."""

    model: Callable[[ClipTensor], Logits]
    samples: int

    def __call__(self, clips: ClipTensor) -> Logits:
        if is_long(clips):  # one draw at a time in memory
            return in_pieces(clips, [Piece(slice(None), self.model)] * self.samples).mean(0)
        draws = [self.model(clips) for _ in range(self.samples)]
        if not all(torch.is_tensor(draw) and draw.is_floating_point() for draw in draws):
            return draws[0]  # what has no mean is refused for what it is
        return torch.stack(draws).mean(0)


@contextmanager
def seeded_by_clips(seed: int, clips: ClipTensor) -> Iterator[None]:
    """The global random states seeded inside, and as they were afterwards; other threads that need them wait."""
    with turns.at([PROCESS]), random_states_kept():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        yield


def identity(clips: ClipTensor) -> ClipTensor:
    """What many input transforms are close to."""
    return clips


@dataclass(frozen=True)
class BPDA(Wrapper):
    """Backward pass differentiable approximation: attack a model behind a transform that has no useful gradient.

    Forwards, clips go through ``transform`` (compression, quantisation, purification); backwards, the gradient goes
    through ``surrogate`` in its place (section 4.1.2, there).

    Args:
        search: the attack.
        transform: from clips to what the model sees.
        surrogate: differentiable, of the same output shape and close to the transform; by default the identity.

    Raises:
        InputError: the transform or its surrogate is no function.

    >>> from vidrobust.attacks.pgd import PGD
    >>> from vidrobust.threats import Linf, Threat
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> coarse = lambda clips: (clips * 16).round() / 16  # its gradient is 0
    >>> clips, labels = torch.rand(5, 3, 2, 4, 4), torch.zeros(5, dtype=torch.int64)
    >>> attack = BPDA(PGD(Threat(Linf(), eps=0.2), alpha=0.05, steps=10), coarse)
    >>> result = attack(model, clips, labels)
    >>> torch.equal(result.predicted, model(coarse(result.clips)).argmax(1))
    True
    """

    search: Search
    transform: Callable[[ClipTensor], ClipTensor]
    surrogate: Callable[[ClipTensor], ClipTensor] = identity

    def __post_init__(self) -> None:
        for name, part in (("transform", self.transform), ("surrogate", self.surrogate)):
            if not callable(part):
                raise InputError(f"{name} must be a function of clips, but is {part!r}.")

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was."""
        answer = answers(model)

        def defended(clips: ClipTensor) -> Logits:
            with torch.no_grad():
                seen = self.transform(clips).detach()  # a transform may give back what it was given
            if not torch.is_grad_enabled():
                return answer(seen)
            approximate = self.surrogate(clips)
            return answer(
                seen + (approximate - approximate.detach())
            )  # a sum with exact 0: the value is that of `seen`

        with undisturbed(model):
            return self.search(defended, clips, labels)
