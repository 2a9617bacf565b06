"""What does not fit into memory is run in smaller parts."""

from __future__ import annotations

import warnings

import pytest
import torch
from helpers.linear_models import convolutional
from torch import Tensor, nn

from vidrobust.attacks.pgd import PGD
from vidrobust.fast.memory import MemoryWarning, as_fits, in_parts
from vidrobust.threats import Linf, Threat


class Small(nn.Module):
    """A model that has memory for a few clips only."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.inner, self.most, self.seen = convolutional(), most, list[int]()

    def forward(self, clips: Tensor) -> Tensor:
        self.seen.append(len(clips))
        if len(clips) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return self.inner(clips)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"), "out of memory .CUDA"),
        (MemoryError(), "out of memory: 10"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory .DefaultCPU"),
        (RuntimeError("at most three"), "RuntimeError .at most three.: 10"),
    ],
    ids=["CUDA", "Python", "CPU", "model"],
)
def test_parts_are_halved_until_they_fit(error: Exception, words: str) -> None:
    sizes = []

    def work(part: Tensor) -> int:
        sizes.append(len(part))
        if len(part) > 3:
            raise error
        return int(part.sum())

    with pytest.warns(MemoryWarning, match=f"{words}.* clips are run in 4 parts") as told:
        found = in_parts(work, (torch.arange(10),), 1)
    assert len(told) == 1
    assert sum(found) == 45 and len(found) == 4 and sizes == [10, 5, 3, 3, 2, 2]


def test_one_clip_that_does_not_fit_is_an_error() -> None:
    def work(part: Tensor) -> None:
        raise torch.cuda.OutOfMemoryError

    with pytest.raises(torch.cuda.OutOfMemoryError):
        in_parts(work, (torch.arange(3),), 1)


def test_a_model_learns_how_many_clips_fit() -> None:
    model, clips = Small(most=3).eval(), torch.rand(8, 3, 4, 8, 8)
    with torch.no_grad(), pytest.warns(MemoryWarning, match="8 clips are run in 4 parts"):
        found = as_fits(model, clips)
    torch.testing.assert_close(found, model.inner(clips).detach(), rtol=0, atol=1e-6)
    model.seen.clear()
    with torch.no_grad():
        as_fits(model, clips[:7])
    assert model.seen == [2, 2, 2, 1]


def test_an_attack_goes_on_in_smaller_parts_with_a_word() -> None:
    clips, labels = torch.rand(8, 3, 4, 8, 8), torch.arange(8) % 5
    attack = PGD(Threat(Linf(), 8 / 255), 2 / 255, 3, keep="last", precision="exact")
    wanted = attack(convolutional(), clips, labels)
    model = Small(most=2).eval()
    with pytest.warns(MemoryWarning, match="out of memory"):
        found = attack(model, clips, labels)
    torch.testing.assert_close(found.clips, wanted.clips, rtol=0, atol=1e-6)
    model.seen.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemoryWarning)  # of the closing verdict, which begins anew
        attack(model, clips, labels)
    assert sum(size > 2 for size in model.seen[: attack.steps * 4]) <= 1, "the search has learnt what fits"
