"""Transfer: the diagonal is the white-box attack, twins are broken alike, and queries are counted until success."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.mifgsm import MIFGSM
from vidrobust.attacks.square import Square
from vidrobust.data.dataset import VideoClips
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import clip_ranks, evaluate
from vidrobust.evaluation.manifest import manifest_rows
from vidrobust.evaluation.transfer import transfer
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.results.numbers.queries import broken_within, counted_queries, successes
from vidrobust.results.numbers.transfer import transfer_matrices
from vidrobust.runs.schema import fault
from vidrobust.threats import Linf, Threat

ATTACK = MIFGSM(Threat(Linf(), 4 / 255), steps=3, alpha=2 / 255)


class AlwaysFirst(nn.Module):
    """Says class 0 whatever it is shown; its gradient is that of a constant."""

    def forward(self, clips: Tensor) -> Tensor:
        return 0 * clips.flatten(1)[:, :10] + torch.tensor([9.0] + [0.0] * 9)


def test_the_diagonal_is_white_box_and_a_twin_falls_alike(trained: ResNet3d, small_data: VideoClips) -> None:
    clips = small_data.train.spread(16)
    twin = copy.deepcopy(trained)
    models = {"one": trained, "twin": twin, "first": AlwaysFirst()}
    rows = transfer(models, clips, [ATTACK], [("one", "twin")])
    assert all(fault({**row, "seed": 0, "split": "test"}) is None for row in rows)
    found = {(row["surrogate"], row["model"]): row for row in rows}
    assert len(rows) == 3 + 4 * 3
    clean, white = evaluate(trained, clips, [ATTACK])
    assert found["none", "one"]["survived"] == clean["survived"]
    assert found["one", "one"]["survived"] == white["survived"] == found["one", "twin"]["survived"]
    assert 0 < white["correct"] < clean["correct"]
    assert found["one + twin", "one"]["correct"] == white["correct"]  # the mean of equal logits
    assert found["first", "one"]["survived"] == clean["survived"]  # no gradient: the clips are as they were
    held = [digit == "1" and not label for digit, label in zip(clean["survived"], clips.labels.tolist(), strict=True)]
    assert found["first", "one"]["no_gradient"] == sum(held)  # the others are wrong on the surrogate as they are
    assert found["one", "first"]["correct"] == int((clips.labels == 0).sum())  # nothing moves it


def test_each_cell_is_what_the_target_says_of_the_clips(trained: ResNet3d, small_data: VideoClips) -> None:
    clips = small_data.train.spread(12)
    other = copy.deepcopy(trained)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1 + 0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    rows = transfer({"one": trained, "other": other}, clips, [ATTACK])
    x, y = clips.centre(torch.arange(len(clips))), clips.labels
    moved = ATTACK(trained, x, y).clips
    with torch.no_grad():
        right = (other.eval()(moved).argmax(1) == y) & (clip_ranks(other, clips) == 0)
    row = next(row for row in rows if (row["surrogate"], row["model"]) == ("one", "other"))
    assert row["survived"] == "".join("01"[int(one)] for one in right)
    told = [{**row, "seed": 0, "split": "test"} for row in rows]
    (matrix,) = transfer_matrices([*manifest_rows(rows), *told])
    assert (matrix.surrogates, matrix.targets) == (("one", "other"), ("one", "other"))
    point = matrix.points["one", "other"]
    assert point.correct == int(right.sum()) and point.estimate is not None  # clustered by the clips' sources
    assert point.estimate.sources == len(set(clips.sources))


def test_what_cannot_transfer_is_refused(trained: ResNet3d, small_data: VideoClips) -> None:
    clips = small_data.test.spread(2)
    with pytest.raises(InputError, match="at least two"):
        transfer({"one": trained}, clips, [ATTACK])
    with pytest.raises(InputError, match="ensemble"):
        transfer({"one": trained, "two": trained}, clips, [ATTACK], [("one", "three")])
    with pytest.raises(InputError, match="targeted"):
        transfer({"one": trained, "two": trained}, clips, [MIFGSM(ATTACK.threat, targeted=True)])


def test_queries_are_counted_until_a_clip_breaks(trained: ResNet3d, small_data: VideoClips) -> None:
    clips = small_data.train.spread(16)
    attack = Square(Threat(Linf(), 24 / 255), queries=40)
    clean, row = evaluate(trained, clips, [attack])
    assert "queries" not in clean and fault({**row, "model": "m", "seed": 0, "split": "test"}) is None
    right = torch.tensor([digit == "1" for digit in clean["survived"]])
    spent = torch.tensor(row["queries"])
    assert (spent[~right] == 0).all() and (spent[right] > 0).all()
    alone = attack(trained, clips.centre(torch.arange(16))[right], clips.labels[right])
    assert torch.equal(spent[right], alone.queries) and alone.success.any()
    told = {**row, "model": "m", "seed": 0, "split": "test"}
    ((_, some),) = counted_queries([told]).items()
    assert successes(some) == sorted(alone.queries[alone.success].tolist())
    middle = successes(some)[len(successes(some)) // 2]
    within = (alone.success & (alone.queries <= middle)).sum().item()
    point = broken_within(some, middle)
    assert (point.correct, point.clips) == (within, int(right.sum()))
