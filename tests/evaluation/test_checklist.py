"""Each item of Carlini et al.'s checklist speaks alone against a model made for it, and none against an honest one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from helpers.judged import QUICK, clips, conv, judged, made, trained
from helpers.planted import Noisy, Rounded, Turned, Wrapped
from torch import Tensor, nn

from vidrobust.evaluation.ensemble import Ensemble

pytestmark = pytest.mark.long

CHECKLIST = {
    "doubling": "more steps and restarts change nothing",
    "unconstrained failure": "an attack without a bound breaks every clip",
    "black box": "attacks with gradients are no weaker than those without",
    "noise": "random noise breaks nothing that attacks left",
    "unstable predictions": "randomness is averaged over enough draws",
    "masked gradient": "what hides the gradient is attacked through",
}
"""The items for which a count can speak, by the rule that looks at it; the others hold by construction."""

EPS = 14.0

BRIEF = replace(QUICK, diagnostic=4)


class Nearby(Wrapped, ABC):
    """A classifier that answers otherwise around the clips it has seen, where :meth:`near` says what.

    Args:
        classifier: what answers elsewhere.
        clips, labels: what it has seen, ``N C T H W`` and ``N``.
    """

    def __init__(self, classifier: nn.Module, clips: Tensor, labels: Tensor) -> None:
        super().__init__(classifier)
        self.seen, self.answers = clips.flatten(1), labels

    def forward(self, clips: Tensor) -> Tensor:
        logits, flat = self.classifier(clips), clips.flatten(1)
        distance, nearest = torch.cdist(flat.detach(), self.seen, p=torch.inf).min(1)
        known = F.one_hot(self.answers[nearest], logits.shape[1]).float()
        inside = self.near(logits, known, flat - self.seen[nearest])
        return torch.where((distance <= 1.5 * EPS / 255)[:, None], inside, logits)

    @abstractmethod
    def near(self, logits: Tensor, known: Tensor, moved: Tensor) -> Tensor:
        """Logits for clips that were ``moved`` (``B N``) from one whose answer is ``known`` (``B K``)."""


class Constant(Wrapped):
    """The answer of the nearest clip it has seen, however far that is."""

    def __init__(self, classifier: nn.Module, clips: Tensor, labels: Tensor) -> None:
        super().__init__(classifier)
        self.seen, self.answers = clips.flatten(1), labels

    def forward(self, clips: Tensor) -> Tensor:
        shape = clips.flatten(1)
        known = F.one_hot(self.answers[(shape.detach() @ self.seen.T - self.seen.square().sum(1) / 2).argmax(1)])
        return 10 * known.float() + 0 * self.classifier(clips)


class Downhill(Nearby):
    """Around clips that it has seen, gradients lead downhill."""

    def near(self, logits: Tensor, known: Tensor, moved: Tensor) -> Tensor:
        return Turned.apply(logits)


class Locked(Nearby):
    """Around clips of two classes a lock whose bolts take a step each, the gradient showing the next one alone.

    That of the last class has bolts that no steps open, so that clips are left.
    """

    bolts = 16

    def near(self, logits: Tensor, known: Tensor, moved: Tensor) -> Tensor:
        way = torch.randn(moved.shape[1], generator=torch.Generator().manual_seed(0)).sign()
        pushed = torch.stack([part.mean(1) for part in (moved * way).chunk(self.bolts, 1)], 1) * 255 / EPS
        opened = (pushed.detach() > 0.3).cumprod(1)
        following = opened.sum(1, keepdim=True).clamp(max=self.bolts - 1)
        left = self.bolts - 0.5 - opened.sum(1, keepdim=True) - 0.4 * pushed.gather(1, following)
        kind = known.argmax(1, keepdim=True)
        return torch.where(kind % 2 > 0, (left + 20 * (kind == 3)) * known, logits)


class Detecting(Nearby):
    """Knows large changes of clips that it has seen for attacks, and answers rightly."""

    def near(self, logits: Tensor, known: Tensor, moved: Tensor) -> Tensor:
        large = moved.detach().abs().amax(1, keepdim=True) > 10 / 255
        return torch.where(large, 10 * known, logits)


class Awake(Nearby):
    """Wrong on the very clips that it has seen, and right around them."""

    def near(self, logits: Tensor, known: Tensor, moved: Tensor) -> Tensor:
        exact = (moved == 0).all(1, keepdim=True)
        return torch.where(exact, -10 * known, 10 * known + 0 * logits)


class Holed(Nearby):
    """Sure of itself but for a few holes, away from the corners of the ball to which attacks move."""

    def near(self, logits: Tensor, known: Tensor, moved: Tensor) -> Tensor:
        size, way = moved.abs(), torch.ones(moved.shape[1])
        way[1::2] = -1
        loose = size.mean(1) < 0.6 * size.amax(1)
        hole = loose & (moved @ way > 2 * (size.square().sum(1)).sqrt())
        return torch.where(hole[:, None], -10 * known, 10 * known + 1e-3 * logits)


@pytest.fixture(scope="module")
def base() -> nn.Module:
    return trained(made(lambda: conv(4)), 4, 16 / 255)


@pytest.fixture(scope="module")
def shown() -> tuple[Tensor, Tensor]:
    return clips(4, 12, 7)


Plant = Callable[[nn.Module, Tensor, Tensor], nn.Module]

PLANTED: dict[str, tuple[Plant, Ensemble]] = {
    "doubling": (Locked, BRIEF),
    "unconstrained failure": (Constant, BRIEF),
    "black box": (Downhill, replace(BRIEF, steps=6, targets=1, queries=1500)),
    "noise": (Holed, replace(BRIEF, noise=200)),
    "unstable predictions": (lambda model, clips, labels: Noisy(model), replace(BRIEF, samples=2)),
    "masked gradient": (lambda model, clips, labels: Rounded(model), BRIEF),
}


def speaking(model: nn.Module, shown: tuple[Tensor, Tensor], ensemble: Ensemble) -> set[str]:
    verdict, _ = judged(model.eval(), *shown, EPS, ensemble)
    return {reason.rule for reason in verdict.reasons} & set(CHECKLIST)


@pytest.mark.parametrize("item", CHECKLIST)
def test_one_item_speaks_against_one_model(item: str, base: nn.Module, shown: tuple[Tensor, Tensor]) -> None:
    plant, ensemble = PLANTED[item]
    assert speaking(plant(base, *shown), shown, ensemble) == {item}


def test_no_item_speaks_against_an_honest_model(base: nn.Module, shown: tuple[Tensor, Tensor]) -> None:
    assert speaking(base, shown, BRIEF) == set()


def test_accuracy_falls_with_the_budget_also_where_large_changes_are_detected(
    base: nn.Module, shown: tuple[Tensor, Tensor]
) -> None:
    """What attacks of a larger budget miss, those of a smaller one have found."""
    _, case = judged(Detecting(base, *shown).eval(), *shown, EPS, BRIEF)
    left = [len(case.standing(eps / 255)) for eps in (2, 6, 10, EPS)]
    assert left == sorted(left, reverse=True) and 0 < left[-1] < left[0]


def test_a_clip_that_is_wrong_as_it_is_is_not_robust(base: nn.Module, shown: tuple[Tensor, Tensor]) -> None:
    verdict, case = judged(Awake(base, *shown).eval(), *shown, EPS, BRIEF)
    assert not verdict.trust and len(case.standing(EPS / 255)) == int(case.right.sum()) == 0
