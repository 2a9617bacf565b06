"""Evaluation: counts that add up, checks that notice masking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.data.dataset import VideoClips
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import accuracy, clip_ranks, evaluate, masking, pgd, robustness_rows, survivors
from vidrobust.evaluation.transfer import transfer
from vidrobust.evaluation.videos import evaluate_views
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.runs.schema import fault
from vidrobust.threats import Linf, Threat


def quarter(eps: float, steps: int) -> float:
    return eps / 4


def test_accuracy_counts_what_the_logits_say(trained: ResNet3d, small_data: VideoClips) -> None:
    clips = small_data.test
    with torch.no_grad():
        logits = trained(clips.centre(range(len(clips))))
    row = accuracy(trained, clips)
    assert row["clips"] == len(clips)
    assert row["top1"] == int((logits.argmax(1) == clips.labels).sum())
    best = logits.topk(5).indices
    assert row["top5"] == int((best == clips.labels[:, None]).any(1).sum())


def test_robustness_falls_with_the_budget_and_never_beats_clean(trained: ResNet3d, small_data: VideoClips) -> None:
    rows = robustness_rows(trained, small_data.train, (0, 1, 4, 16), (3, 10), quarter)
    for steps in (3, 10):
        correct = [row["correct"] for row in rows if row["steps"] == steps]
        assert correct == sorted(correct, reverse=True)
        assert correct[0] > correct[-1]
    assert rows[0]["correct"] == accuracy(trained, small_data.train)["top1"]
    for row in rows:
        assert row["survived"].count("1") == row["correct"] <= row["clips"] == len(row["survived"])


def test_more_steps_of_the_same_step_size_never_help_the_defender(trained: ResNet3d, small_data: VideoClips) -> None:
    few, many = robustness_rows(trained, small_data.train, (4,), (3, 12), lambda eps, steps: 1.0)
    assert all(a >= b for a, b in zip(few["survived"], many["survived"], strict=True))
    assert few["correct"] > many["correct"]


def test_an_attack_meets_only_rightly_classified_clips(trained: ResNet3d, small_data: VideoClips) -> None:
    clean, met = clip_ranks(trained, small_data.test) == 0, []

    @dataclass
    class Spy:
        inner: PGD

        def __call__(self, model: nn.Module, clips: Tensor, labels: Tensor) -> object:
            met.append(len(clips))
            return self.inner(model, clips, labels)

    survivors(trained, small_data.test, Spy(pgd(4, 1, 2)), clean)  # type: ignore[arg-type]
    assert sum(met) == int(clean.sum()) < len(small_data.test)


def test_evaluate_gives_a_row_for_clean_and_for_each_attack(trained: ResNet3d, small_data: VideoClips) -> None:
    attacks = [pgd(8, 2, 4), FGSM(Threat(Linf(), 8 / 255))]
    clean, strong, weak = evaluate(trained, small_data.test, attacks)
    assert (clean["eps"], strong["eps"], weak["eps"]) == (0, 8, 8)
    assert (strong["alpha"], strong["steps"]) == (2, 4)
    assert strong["correct"] <= weak["correct"] <= clean["correct"]


def test_masking_is_noticed(trained: ResNet3d, small_data: VideoClips) -> None:
    class Rounded(nn.Module):
        """Hides its gradients behind a rounding of the pixels."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, clips: Tensor) -> Tensor:
            return self.inner(torch.round(clips * 255) / 255)

    few = small_data.train.subset(range(0, len(small_data.train), 2))
    honest, hidden = masking(trained, few, 2.0, 5), masking(Rounded(trained), few, 2.0, 5)
    assert honest["zero_gradient"] == 0
    assert honest["pgd_correct"] < honest["noise_correct"]
    assert honest["huge_correct"] == 0
    assert hidden["zero_gradient"] == hidden["clips"] == len(few)
    assert hidden["pgd_correct"] >= hidden["noise_correct"]
    assert hidden["huge_correct"] > 0


@pytest.mark.parametrize(
    ("clips", "attacks", "said"),
    [
        ((torch.rand(2, 3, 4, 8, 8), torch.tensor([0, 1])), [], "clips must be a split of a data set.*are a tuple"),
        ("data", [], "such as vr.data.motion.*are a whole data set"),
        ("split", pgd(8.0, 2.0, 3), r"attacks must be a list"),
        ("split", "PGD(ε=8,α=2,i=3)", r"attacks must be a list.*'PGD\(ε=8"),
        ("split", ["PGD(ε=8,α=2,i=3)"], r"an attack must be an object.*'PGD\(ε=8"),
    ],
    ids=["tensors", "data set", "one attack", "text", "texts"],
)
def test_what_are_no_clips_and_no_attacks_is_told_before_anything_is_measured(
    clips: Any, attacks: Any, said: str, trained: ResNet3d, small_data: VideoClips
) -> None:
    given = {"data": small_data, "split": small_data.test}.get(clips, clips) if isinstance(clips, str) else clips
    with pytest.raises(InputError, match=said):
        evaluate(trained, given, attacks)
    with pytest.raises(InputError, match=said):
        transfer({"one": trained, "two": trained}, given, attacks)
    with pytest.raises(InputError, match=said):
        evaluate_views(trained, given, attacks, views=1)


def test_no_clips_is_an_error_not_a_division(trained: ResNet3d, small_data: VideoClips) -> None:
    with pytest.raises(InputError, match="no clips"):
        accuracy(trained, small_data.test.subset([]))


def test_a_clip_that_broke_at_a_smaller_eps_is_broken_and_not_attacked_again(
    trained: ResNet3d, small_data: VideoClips
) -> None:
    spent: list[int] = []
    eps = (1, 4, 16)
    rows = robustness_rows(trained, small_data.test, eps, (5,), quarter, spent.append)
    assert [row.get("cascade") for row in rows] == [None, [1], [1, 4]]
    assert [fault(row | {"model": "m", "seed": 0, "split": "test"}) for row in rows] == [None] * 3

    alone: list[list[bool]] = []
    apart = 0
    for asked in eps:
        attempts: list[int] = []
        (row,) = robustness_rows(trained, small_data.test, (asked,), (5,), quarter, attempts.append)
        alone.append([digit == "1" for digit in row["survived"]])
        apart += sum(attempts)
    worst = np.logical_and.accumulate(alone)  # as if each clip had the smallest of its verdicts up to that ε
    assert [[digit == "1" for digit in row["survived"]] for row in rows] == worst.tolist()
    assert sum(spent) < apart
    assert worst[0].any() and not worst[0].all()
