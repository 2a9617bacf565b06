"""Does a single frame of ``motion`` tell the class? Classifiers on statistics of frames answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vidrobust.data.camera import pyramid, render
from vidrobust.data.dead_leaves import dead_leaves
from vidrobust.data.motion import CLASSES
from vidrobust.data.photographs import find_photographs, read_photograph

CLIPS, FRAMES, SIZE = 400, 15, 24
LABELS = np.arange(CLIPS) % len(CLASSES)
TRAIN = np.arange(CLIPS) // len(CLASSES) % 2 == 0


def described(frame: np.ndarray) -> np.ndarray:
    """Moments, histogram, gradients and spectrum of a frame ``H W 3`` in [0, 1]."""
    grey = frame.mean(-1)
    across, down = np.diff(grey, axis=1), np.diff(grey, axis=0)
    f = SIZE * np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE))
    power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
    bands = [np.log(power[(low <= f) & (f < low * 1.6)].mean() + 1e-6) for low in 1.6 ** np.arange(6)]
    slopes = [np.log(across.var() + 1e-6), np.log(down.var() + 1e-6), np.abs(across).mean(), np.abs(down).mean()]
    moments = [*frame.mean((0, 1)), *frame.std((0, 1)), abs(grey.mean() - 0.5), stats.skew(grey.ravel())]
    return np.array([*moments, *np.histogram(grey, 8, (0, 1))[0] / grey.size, *slopes, slopes[0] - slopes[1], *bands])


def linear(features: np.ndarray) -> float:
    """Accuracy of a ridge classifier on the features and their squares."""
    x = np.hstack([features, features**2, np.ones((len(features), 1))])
    weights = np.linalg.solve(x[TRAIN].T @ x[TRAIN] + 10 * np.eye(x.shape[1]), x[TRAIN].T @ np.eye(10)[LABELS[TRAIN]])
    return ((x[~TRAIN] @ weights).argmax(1) == LABELS[~TRAIN]).mean()


def neighbours(features: np.ndarray, count: int = 15) -> float:
    """Accuracy of the vote of the nearest neighbours."""
    far = ((features[~TRAIN][:, None] - features[TRAIN][None]) ** 2).sum(-1)
    votes = LABELS[TRAIN][np.argsort(far, 1)[:, :count]]
    return np.mean([np.bincount(vote, minlength=10).argmax() for vote in votes] == LABELS[~TRAIN])


def scores(frames: np.ndarray) -> list[float]:
    features = np.stack([described(frame.astype(float) / 255) for frame in frames])
    features = (features - features[TRAIN].mean(0)) / (features[TRAIN].std(0) + 1e-9)
    return [linear(features), neighbours(features)]


CHANCE = stats.binom(int((~TRAIN).sum()), 1 / len(CLASSES)).ppf(0.9999) / (~TRAIN).sum()
"""What guessing reaches once in 10,000 times."""


@pytest.fixture(scope="module", params=["rendered", "photographs"])
def videos(request: pytest.FixtureRequest) -> np.ndarray:
    """``N T H W 3``: each class in turn."""
    photographs = [pyramid(read_photograph(path)) for path in find_photographs()]
    found = []
    for number, label in enumerate(LABELS):
        rng = np.random.default_rng([3, number])
        rendered = request.param == "rendered"
        levels = pyramid(dead_leaves(rng, 128)) if rendered else photographs[rng.integers(len(photographs))]
        found.append(render(levels, CLASSES[label], frames=FRAMES, size=SIZE, contrast=(0.4, 1.0), rng=rng))
    return np.stack(found)


def test_no_statistic_of_the_middle_frame_tells_the_class(videos: np.ndarray) -> None:
    assert max(scores(videos[:, FRAMES // 2])) <= CHANCE


def test_no_statistic_of_a_frame_at_a_random_time_tells_the_class(videos: np.ndarray) -> None:
    times = np.random.default_rng(0).integers(0, FRAMES, CLIPS)
    assert max(scores(videos[np.arange(CLIPS), times])) <= CHANCE


def test_the_classifiers_would_find_what_tells(videos: np.ndarray) -> None:
    brighter = videos[:, FRAMES // 2] * 0.8 + 5 * LABELS[:, None, None, None]
    assert min(scores(brighter)) > CHANCE
