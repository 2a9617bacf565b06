"""What survives in a row was attacked: clips without a gradient are tried again, counted and told of."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from helpers.linear_models import linear
from helpers.names import name_of
from helpers.row_fields import unknown
from torch import Tensor, nn

from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.base import RobustnessWarning
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.mifgsm import MIFGSM
from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.attacks.square import Square
from vidrobust.attacks.wrappers import EOT
from vidrobust.data.clips import Clips
from vidrobust.errors import InputError
from vidrobust.evaluation.attempts import attempt, with_margin
from vidrobust.evaluation.clips import accuracy, clip_ranks, evaluate, masking, robustness_rows
from vidrobust.evaluation.examples import examples
from vidrobust.evaluation.sweeps import step_sizes, sweep
from vidrobust.evaluation.videos import evaluate_views
from vidrobust.losses import dlr, predicted
from vidrobust.threats import L2, Linf, Threat, Universal

SHAPE = (3, 4, 8, 8)
INNER, PIXELS, LABELS = linear(4, SHAPE, clips=12)
WIDE, NARROW = Threat(Linf(), 0.1), Threat(Linf(), 1e-5)


class Store:
    """The frames of a split of one-clip videos, as a data set's cache has them."""

    def __init__(self) -> None:
        frames = (PIXELS * 255).round().byte().permute(0, 2, 3, 4, 1).numpy()
        self.frames = [np.ascontiguousarray(clip) for clip in frames]
        self.labels = model("plain")(torch.from_numpy(frames).permute(0, 4, 1, 2, 3) / 255).argmax(1).numpy()
        self.videos = tuple(f"{index}.avi" for index in range(len(frames)))
        self.sources = tuple(f"g{index // 2}" for index in range(len(frames)))
        self.skipped, self.damaged = (), ()
        self.shapes = np.array([clip.shape[:3] for clip in self.frames])


class Model(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = INNER, kind

    def forward(self, clips: Tensor) -> Tensor:
        logits = self.inner(clips)
        bright = clips.flatten(1)[:, :1] > 0.5
        root = (0 * clips).sqrt().flatten(1).sum(1, keepdim=True)
        return {
            "plain": logits,
            "saturated": logits * 1e6,
            "saturated for some": torch.where(bright, logits * 1e6, logits),
            "nan gradient": logits + root,
            "zero head": 0 * logits,
            "nan for some": torch.where(bright, torch.nan, logits),
            "nan": logits * torch.nan,
        }[self.kind]


def model(kind: str) -> nn.Module:
    return Model(kind).eval()


@pytest.fixture(scope="module")
def clips() -> Clips:
    return Pixels(Store())


class Pixels(Clips):
    """Clips whose frames lie in memory."""

    def __init__(self, store: Any) -> None:
        super().__init__(store, ("a", "b", "c", "d"), frames=4)

    def centre(self, indices: Any) -> Tensor:
        index = torch.as_tensor(indices, dtype=torch.int64)
        frames = np.stack([self._store.frames[self.of[i]] for i in index.tolist()])
        return torch.from_numpy(frames).permute(0, 4, 1, 2, 3) / 255


@pytest.mark.parametrize("kind", ["saturated", "saturated for some"])
@pytest.mark.parametrize(
    "attack",
    [PGD(WIDE, 0.03, 5), FGSM(WIDE), APGD(WIDE, 5), EOT(PGD(WIDE, 0.03, 5), 2), PGD(Threat(L2(), 3.0), 1.0, 5)],
    ids=name_of,
)
def test_a_sure_model_does_not_count_as_robust(clips: Clips, kind: str, attack: Any) -> None:
    clean, plain = evaluate(model("plain"), clips, [attack])
    _, row = evaluate(model(kind), clips, [attack])
    assert row["correct"] == plain["correct"] == 0 and row["no_gradient"] == clean["no_gradient"] == 0
    assert row["retried"] == {"loss": "margin", "clips": row["retried"]["broken"], "broken": row["retried"]["clips"]}
    assert 0 < row["retried"]["clips"] <= len(clips)
    assert "retried" not in plain and row["loss"] == "cross_entropy"


def test_a_study_measures_with_the_second_try_too(clips: Clips) -> None:
    rows = robustness_rows(model("saturated"), clips, (0, 25), (5,), lambda eps, steps: eps / 4)
    assert [row["correct"] for row in rows] == [len(clips), 0]
    assert rows[1]["retried"]["clips"] > 0


@pytest.mark.parametrize(
    "attack", [PGD(WIDE, 0.03, 3), APGD(NARROW, 3, loss=dlr), FrameSaliency(PGD(WIDE, 0.03, 3), 2)]
)
def test_what_has_no_gradient_under_either_loss_is_counted_and_told_of(clips: Clips, attack: Any) -> None:
    with pytest.warns(RobustnessWarning, match=f"gradient of {len(clips)} of {len(clips)} clips") as caught:
        _, row = evaluate(model("nan gradient"), clips, [attack])
    assert len([one for one in caught if "gradient" in str(one.message)]) == 1  # not once a batch and try
    assert row["correct"] == row["no_gradient"] == len(clips)


def test_a_search_without_gradients_is_not_suspected(clips: Clips) -> None:
    _, row = evaluate(model("nan gradient"), clips, [Square(Threat(Linf(), 1e-4), 3)])
    assert row["no_gradient"] == 0 and row["correct"] == len(clips)


@pytest.mark.parametrize("level", ["clip", "video"])
def test_views_count_too(clips: Clips, level: Any) -> None:
    attack = PGD(WIDE, 0.03, 3)
    with pytest.warns(RobustnessWarning, match="zero or not finite"):
        rows = evaluate_views(model("nan gradient"), clips, [attack], views=1, level=level)
    assert all(row["no_gradient"] == (row["clips"] if row["eps"] else 0) for row in rows)
    rows = evaluate_views(model("saturated"), clips, [attack], views=1, level=level)
    assert all(row["correct"] == 0 and row["retried"]["clips"] for row in rows if row["eps"])


def test_sweeps_and_examples_count_too(clips: Clips, tmp_path: Any) -> None:
    blocked = model("nan gradient")
    with pytest.warns(RobustnessWarning, match="zero or not finite"):
        (row,) = sweep(blocked, clips, 8, [2], 3)
    assert row["no_gradient"] == len(clips)
    with pytest.warns(RobustnessWarning):
        assert all("no_gradient" in row for row in step_sizes(blocked, clips, 8, [2]) if row["kind"] == "trajectory")
    few = clips.subset(range(2))
    with pytest.warns(RobustnessWarning, match="zero or not finite"):
        rows = examples(blocked, few, PGD(WIDE, 0.03, 2), tmp_path, {"eps": 8})
    assert [row["no_gradient"] for row in rows] == [1, 1]


@pytest.mark.filterwarnings("ignore::vidrobust.attacks.base.RobustnessWarning")
@pytest.mark.parametrize("kind", ["plain", "saturated", "nan gradient"])
def test_the_schema_knows_every_field_that_is_written(clips: Clips, kind: str, tmp_path: Any) -> None:
    classifier, attack = model(kind), EOT(PGD(Threat(L2(), 0.1), 0.03, 3), 2)
    rows = [
        *evaluate(classifier, clips, [attack]),
        *evaluate_views(classifier, clips, [attack], views=1, level="clip"),
        *evaluate_views(classifier, clips, [attack], views=1, level="video"),
        accuracy(classifier, clips) | {"split": "test"},
        masking(classifier, clips, 2.0, 2),
        *sweep(classifier, clips, 8, [2], 3, at=(3,)),
        *step_sizes(classifier, clips, 8, [2]),
        *examples(classifier, clips.subset(range(2)), attack, tmp_path, {"eps": 8.0, "alpha": 1.0, "steps": 3}),
    ]
    assert unknown({**row, "model": "m", "seed": 0, "split": "test"} for row in rows) <= {
        ("masking", "split"), ("example", "split"), ("example", "seed"),
    }  # fmt: skip


def test_the_second_try_costs_gradients_that_are_counted(clips: Clips) -> None:
    spent: list[int] = []
    x = clips.centre(range(3))
    tried = attempt(PGD(WIDE, 0.03, 5), model("saturated"), x, clips.labels[:3])
    evaluate(model("saturated"), clips.subset(range(3)), [PGD(WIDE, 0.03, 5)], spent.append)
    assert sum(spent) == tried.spent > 15 and tried.retried.any()


def test_one_perturbation_for_all_is_tried_again_for_all_or_not_at_all(clips: Clips) -> None:
    shared = PGD(Threat(Linf(), 0.1, Universal()), 0.03, 3)
    x, y = clips.centre(range(12)), clips.labels
    assert attempt(shared, model("saturated"), x, y).retried.sum() in (0, 12)


def test_only_cross_entropy_has_a_second_loss() -> None:
    again = with_margin(EOT(FrameSaliency(MIFGSM(WIDE, alpha=0.1), 2)))
    assert again is not None and again.search.search.loss.__name__ == "margin"
    for attack in (APGD(WIDE, loss=dlr), TargetedAPGD(WIDE), Square(WIDE), PGD(WIDE, 0.1, 1, targeted=True), len):
        assert with_margin(attack) is None


def test_ties_are_right_where_argmax_says_so_and_nowhere_else(clips: Clips) -> None:
    """Accuracy, evaluation, searches and masking agree on a head of zeros, which names the first class for all."""
    zero, first = model("zero head"), int((clips.labels == 0).sum())
    assert 0 < first < len(clips)
    assert accuracy(zero, clips)["top1"] == first
    assert accuracy(zero, clips)["top5"] == len(clips)
    assert torch.equal(clip_ranks(zero, clips), clips.labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RobustnessWarning)
        rows = evaluate(zero, clips, [PGD(WIDE, 0.03, 2)])
        assert [row["correct"] for row in rows] == [first, first]
        assert PGD(WIDE, 0.03, 2)(zero, clips.centre(range(12)), clips.labels).success.sum() == len(clips) - first
        assert sweep(zero, clips, 8, [2], 2)[0]["correct"] == [first] * 3
        assert masking(zero, clips, 2, 2)["noise_correct"] == first
        assert evaluate_views(zero, clips, [], views=1, level="video")[0]["correct"] == first


def test_clips_without_an_answer_are_wrong(clips: Clips) -> None:
    bright = clips.centre(range(12)).flatten(1)[:, 0] > 0.5
    with pytest.warns(RobustnessWarning, match=f"infinite logits for {int(bright.sum())} of 12 clips"):
        rows = evaluate(model("nan for some"), clips, [PGD(Threat(Linf(), 1e-5), 1e-5, 1)])
    assert rows[0]["survived"] == "".join("0" if row else "1" for row in bright.tolist())
    with pytest.warns(RobustnessWarning):
        assert accuracy(model("nan for some"), clips)["top5"] == 12 - int(bright.sum())
    with pytest.raises(InputError, match="for all clips"):
        accuracy(model("nan"), clips)
    assert predicted(torch.tensor([[torch.nan, 1.0], [torch.inf, torch.inf]])).tolist() == [-1, 0]
