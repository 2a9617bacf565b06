"""Whether a model draws is seen on what it answers, whichever random state it draws from."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidrobust.fast.drawing import drawing_watched, draws


class Drawing(nn.Module):
    def __init__(self, draw: Callable[[], object]) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, clips: Tensor) -> Tensor:
        self.draw()
        return clips


SOURCES: dict[str, Callable[[], object]] = {
    "torch": lambda: torch.rand(1),
    "numpy": lambda: np.random.random(),
    "python": random.random,
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_model_that_draws(source: str) -> None:
    model = Drawing(SOURCES[source])
    with drawing_watched(model):
        model(torch.zeros(1))
    assert draws(model)
    model.draw = lambda: None
    with drawing_watched(model):
        model(torch.zeros(1))
    assert not draws(model)
    model.draw = SOURCES[source]
    with drawing_watched(model):
        model(torch.zeros(1))
    assert draws(model)


def test_what_was_never_watched_may_draw() -> None:
    assert draws(nn.Flatten()) and draws(torch.flatten)
