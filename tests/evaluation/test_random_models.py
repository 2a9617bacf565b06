"""A model that draws at random is measured alike whenever it is measured, whatever was drawn before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.blind import Blind
from vidrobust.attacks.pgd import PGD
from vidrobust.data.given import Given
from vidrobust.evaluation.clips import clip_ranks, evaluate
from vidrobust.evaluation.defences import DRAWS, Defended, FrameShuffle, RandomCrop, adaptive
from vidrobust.threats import Linf, Threat

CLIPS = torch.rand(40, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
PGD_FEW = PGD(Threat(Linf(), 4 / 255), 1 / 255, 3)


class Noisy(nn.Module):
    """Draws from every global state."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, clips: Tensor) -> Tensor:
        logits = self.inner(clips)
        return logits + 0.2 * torch.randn_like(logits) * (random.random() + np.random.random())


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 3)).eval()


MODELS: dict[str, Any] = {
    "noise": lambda: Noisy(classifier()).eval(),
    "crop": lambda: Defended(classifier(), RandomCrop(0.5)).eval(),
    "shuffle": lambda: Defended(classifier(), FrameShuffle(4)).eval(),
}


def stir(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


@pytest.mark.parametrize("name", MODELS)
def test_rows_do_not_depend_on_what_was_drawn_before(name: str) -> None:
    model = MODELS[name]()
    clips: Any = Given(CLIPS, classifier()(CLIPS).argmax(1))
    attacks: list[Any] = [PGD_FEW] if name == "noise" else [adaptive(PGD_FEW, model), Blind(PGD_FEW, DRAWS)]
    found = []
    for seed in (1, 2):
        stir(seed)
        found.append(evaluate(model, clips, attacks))
        assert np.random.get_state()[1][0] == seed  # and the global states are left alone
    assert found[0] == found[1]
    assert 0 < found[0][0]["correct"] < len(CLIPS)  # there is something to draw


@pytest.mark.parametrize("name", ["crop", "shuffle"])
def test_a_clip_behind_a_random_transform_is_judged_by_its_own_draws(name: str) -> None:
    model, labels = MODELS[name](), classifier()(CLIPS).argmax(1)
    whole = clip_ranks(model, Given(CLIPS, labels))  # type: ignore[arg-type]
    few = clip_ranks(model, Given(CLIPS[5:20:3], labels[5:20:3]))  # type: ignore[arg-type]
    assert torch.equal(few, whole[5:20:3])
