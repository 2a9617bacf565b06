"""What a black-box search says that it asked is what the model was asked, and no more than it may ask."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import vidrobust as vr

THREAT, QUERIES = vr.Threat(vr.Linf(), 0.05), 20
SEARCHES = {
    "Square": vr.Square(THREAT, QUERIES),
    "Square, targeted": vr.Square(THREAT, QUERIES, targeted=True),
    "VBAD": vr.VBAD(THREAT, QUERIES, samples=6),
    "VBAD, targeted": vr.VBAD(THREAT, QUERIES, "static", samples=6, targeted=True),
    "RayS": vr.RayS(THREAT, QUERIES),
    "RayS, space": vr.RayS(THREAT, QUERIES, blocks="space"),
    "KeyRegions": vr.KeyRegions(vr.Square(THREAT, QUERIES), frames=1, share=0.5, grid=2),
}


class Counting(nn.Module):
    """A linear model that counts the clips that it is asked about."""

    def __init__(self, clip: torch.Size, dtype: torch.dtype) -> None:
        super().__init__()
        self.head = nn.Linear(clip.numel(), 5, dtype=dtype)
        self.asked = 0

    def forward(self, clips: Tensor) -> Tensor:
        self.asked += len(clips)
        return self.head(clips.flatten(1).to(self.head.weight.dtype))


@pytest.mark.parametrize("shape", [(3, 4, 6, 6), (1, 2, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", SEARCHES)
def test_each_answer_is_counted(name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model, clips, search = Counting(torch.Size(shape), dtype).eval(), torch.rand(3, *shape), SEARCHES[name]
    targets = model(clips).argmax(1) + ("targeted" in name)
    search(model, clips, targets % 5)  # makes a fast copy and measures its memory, once for each model
    model.asked = 0
    found = search(model, clips, targets % 5)
    assert model.asked == int(found.forwards.sum())
    assert int(found.queries.max()) <= QUERIES and not found.backwards.any()
