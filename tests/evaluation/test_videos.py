"""Accuracy of clips and of videos: averages that are averages, attacks that keep to the budget on every clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.apgd import APGD
from vidrobust.attacks.base import AttackResult
from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.attacks.square import Square
from vidrobust.data import CachedSplit, Clips
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import evaluate
from vidrobust.evaluation.videos import VideoClassifier, each_view, evaluate_views, join_views, split_views
from vidrobust.threats import L1, L2, Border, Flicker, Linf, Threat

FRAMES, SIZE = 4, 6


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * FRAMES * SIZE * SIZE, 8), nn.Tanh(), nn.Linear(8, 3))


@pytest.fixture
def clips(model: nn.Module) -> Clips:
    """30 videos of 4 to 15 frames; most are labelled by what the model says of their centre clip."""
    rng = np.random.default_rng(0)
    shapes = np.array([(rng.integers(4, 16), SIZE, SIZE) for _ in range(30)], np.int64)
    sizes = shapes.prod(1) * 3
    split = CachedSplit(
        pixels=rng.integers(0, 256, sizes.sum(), np.uint8),
        offsets=np.cumsum(sizes) - sizes,
        shapes=shapes,
        labels=np.zeros(30, np.int64),
        videos=tuple(map(str, range(30))),
        sources=tuple(map(str, range(30))),
    )
    found = Clips(split, ("a", "b", "c"), frames=FRAMES)
    with torch.no_grad():
        found.labels = model(found.centre(range(30))).argmax(1)
    found.labels[::5] = (found.labels[::5] + 1) % 3
    return found


@pytest.mark.parametrize("views", [1, 3, "sliding"])
def test_clips_and_videos_are_counted_as_a_loop_would(model, clips, views) -> None:
    right_clips, right = 0, {"logits": 0, "probabilities": 0}
    viewed = clips.viewed(views)
    with torch.no_grad():
        for video in range(len(clips)):
            own = (viewed.of == video).nonzero().flatten()
            logits = model(viewed.centre(own))
            right_clips += int((logits.argmax(1) == clips.labels[video]).sum())
            right["logits"] += int(logits.mean(0).argmax() == clips.labels[video])
            right["probabilities"] += int(logits.softmax(1).mean(0).argmax() == clips.labels[video])
    (row,) = evaluate_views(model, clips, [], views=views)
    assert (row["correct"], row["clips"], row["videos"]) == (right_clips, len(viewed), 30)
    assert (row["kind"], row["level"], row["views"], row["attacked"]) == ("views", "clip", views, "none")
    for average, count in right.items():
        (row,) = evaluate_views(model, clips, [], views=views, level="video", average=average)
        assert (row["correct"], row["clips"], row["average"]) == (count, 30, average)


def test_one_view_is_the_centre_clip(model, clips) -> None:
    attack = PGD(Threat(Linf(), 4 / 255), 1 / 255, 5)
    plain = [row["survived"] for row in evaluate(model, clips, [attack])]
    assert [row["survived"] for row in evaluate_views(model, clips, [attack], views=1)] == plain
    by_video = evaluate_views(model, clips, [attack], views=1, level="video")
    assert [row["survived"] for row in by_video] == [plain[0], plain[1], plain[1]]


@pytest.mark.parametrize("views", [3, "sliding"])
@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_attacking_the_answer_breaks_more_than_attacking_each_clip(model, clips, views, average) -> None:
    attack = PGD(Threat(Linf(), 3 / 255), 0.5 / 255, 15)
    clean, apart_, whole = evaluate_views(model, clips, [attack], views=views, level="video", average=average)
    assert whole["correct"] <= apart_["correct"] < clean["correct"]
    assert whole["correct"] < clean["correct"]
    assert (apart_["attacked"], whole["attacked"]) == ("clip", "video")
    for row in (clean, apart_, whole):
        assert row["survived"].count("1") == row["correct"] <= row["clips"] == 30


@dataclass(frozen=True)
class Spy:
    """Keeps what an attack was asked and what it found."""

    inner: PGD
    seen: list[tuple[Tensor, AttackResult]]

    def __call__(self, model: nn.Module, clips: Tensor, labels: Tensor) -> AttackResult:
        result = self.inner(model, clips, labels)
        self.seen.append((clips, result))
        return result


@pytest.mark.parametrize(
    "attack",
    [
        PGD(Threat(Linf(), 8 / 255), 2 / 255, 4),
        PGD(Threat(L2(), 0.5), 0.2, 6),
        PGD(Threat(L1(), 4.0), 1.0, 6),
        PGD(Threat(L2(), 0.5, Border(0.5)), 0.2, 4),
        PGD(Threat(L2(), 0.5, Flicker()), 0.2, 4),
        PGD(Threat(L2(), [[0.1, 0.2, 0.3, 0.4]]), 0.2, 4),
        APGD(Threat(L2(), 0.5), steps=6),
        FGSM(Threat(L2(), 0.5), random_start=True),
        Square(Threat(Linf(), 8 / 255), queries=20),
    ],
    ids=lambda attack: f"{type(attack).__name__} {attack.threat}",
)
def test_the_budget_holds_on_every_clip_of_a_video(model, clips, attack) -> None:
    seen: list[tuple[Tensor, AttackResult]] = []
    evaluate_views(model, clips, [Spy(attack, seen)], views=3, level="video")  # type: ignore[arg-type]
    joint = [(x, result.clips) for x, result in seen if x.shape[2] == 3 * FRAMES]
    assert joint
    largest = 0.0
    for x, found in joint:
        delta = split_views(found.double() - x.double(), 3)
        for clip in delta:
            size = float(attack.threat.norm.size(clip.flatten()[None]))
            bound = max(attack.threat.eps[0]) if isinstance(attack.threat.eps, tuple) else attack.threat.eps
            if isinstance(attack.threat.eps, tuple):
                size = max(float(attack.threat.norm.size(frame.flatten()[None])) for frame in clip.unbind(1))
            assert size <= bound
            largest = max(largest, size / bound)
        assert float(found.min()) >= 0
        assert float(found.max()) <= 1
    if isinstance(attack.threat.norm, L2) and attack.threat.support == Threat(L2(), 0.5).support:
        assert largest > 0.9  # and each clip may use all of it, not a share


def test_the_two_averages_differ_and_are_what_they_say() -> None:
    class Given(nn.Module):
        """Two clips for class 0 by a little, one for class 1 by a mile."""

        def forward(self, clips: Tensor) -> Tensor:
            return torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 9.0]])

    video, given = torch.rand(1, 3, 6, 4, 4), Given()
    assert torch.allclose(VideoClassifier(given, 3)(video), given(video).mean(0, keepdim=True))
    by_probabilities = VideoClassifier(given, 3, "probabilities")(video)
    assert torch.allclose(by_probabilities.exp(), given(video).softmax(1).mean(0, keepdim=True))
    assert VideoClassifier(given, 3)(video).argmax() != by_probabilities.argmax()


def test_joining_is_undone_by_taking_apart() -> None:
    clips = torch.rand(6, 3, 4, 5, 5)
    videos = join_views(clips, 3)
    assert videos.shape == (2, 3, 12, 5, 5)
    assert torch.equal(videos[1, :, 4:8], clips[4])
    assert torch.equal(split_views(videos, 3), clips)


def test_an_attack_is_given_the_budget_wherever_its_threat_stands() -> None:
    inner = PGD(Threat(L2(), 1.0), 0.1, 3)

    @dataclass(frozen=True)
    class Outer:
        parts: tuple[PGD, ...]

    assert each_view(Outer((inner,)), 4).parts[0].threat.views == 4
    assert inner.threat.views == 1
    assert each_view(3, 4) == 3
    assert repr(each_view(inner, 4)) == repr(inner)


def test_the_model_is_left_as_it_was(model, clips) -> None:
    model.train()
    evaluate_views(model, clips, [PGD(Threat(Linf(), 8 / 255), 2 / 255, 2)], views=2, level="video")
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_what_is_refused(model, clips) -> None:
    for options in ({"views": 0}, {"views": "all"}, {"views": 2, "level": "frame"}):
        with pytest.raises(InputError):
            evaluate_views(model, clips, [], **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="average"):
        VideoClassifier(model, 2, "sum")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no clips"):
        evaluate_views(model, clips.subset([]), [], views=2, level="video")
