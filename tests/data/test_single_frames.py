"""Does a single frame of ``motion`` tell the class? Classifiers on statistics of decoded frames answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from scipy import stats

from vidrobust.data.dataset import DataConfig, given_name, load
from vidrobust.data.motion import CLASSES, Motion, motion

FRAMES, SIZE = 16, 24
SEEN = range(4, 12)
"""Places in a video of the eight frames that a model of the study sees; its single-frame control sees one of them."""

SPECS = {
    "rendered": Motion(photographs=(0, 0, 0), rendered=(60, 1, 1)),
    "photographs": Motion(photographs=(14, 1, 1), rendered=(0, 0, 0), clips_per_group=3),
}
"""In the study's contrast."""

EDGE = 0.144
"""What statistics of the last of the eight frames tell, known to be the last (docs/data.md): a zoom's scale."""


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


def linear(features: np.ndarray, labels: np.ndarray, known: np.ndarray) -> float:
    """Accuracy of a ridge classifier on the features and their squares."""
    x = np.hstack([features, features**2, np.ones((len(features), 1))])
    target = np.eye(len(CLASSES))[labels[known]]
    weights = np.linalg.solve(x[known].T @ x[known] + 10 * np.eye(x.shape[1]), x[known].T @ target)
    return float(((x[~known] @ weights).argmax(1) == labels[~known]).mean())


def neighbours(features: np.ndarray, labels: np.ndarray, known: np.ndarray, count: int = 15) -> float:
    """Accuracy of the vote of the nearest neighbours."""
    far = ((features[~known][:, None] - features[known][None]) ** 2).sum(-1)
    votes = labels[known][np.argsort(far, 1)[:, :count]]
    return float(np.mean([np.bincount(vote).argmax() for vote in votes] == labels[~known]))


def all_described(frames: np.ndarray) -> np.ndarray:
    """The same of ``N H W 3`` frames, uint8."""
    return np.stack([described(frame.astype(float) / 255) for frame in frames])


def told(features: np.ndarray, labels: np.ndarray) -> float:
    """How many of half of the frames the better of two classifiers gets right that learnt from the other half."""
    known = np.arange(len(labels)) % 2 == 0  # of each class and of each photograph alike
    features = (features - features[known].mean(0)) / (features[known].std(0) + 1e-9)
    return max(linear(features, labels, known), neighbours(features, labels, known))


def reached(share: float, labels: np.ndarray) -> float:
    """The accuracy on half of the clips that who is right with this probability exceeds once in 10,000 times.

    With 600 clips that is 7 to 8 points above the share: what tells more than that is found.
    """
    count = len(labels) // 2
    return stats.binom(count, share).ppf(0.9999) / count


@dataclass(frozen=True)
class Seen:
    """Videos as models see them, rendered, encoded, decoded and scaled: ``N T H W 3``, with their classes."""

    frames: np.ndarray
    labels: np.ndarray

    @cached_property
    def features(self) -> dict[int, np.ndarray]:
        """Of each of the eight frames of a clip."""
        return {place: all_described(self.frames[:, place]) for place in SEEN}


@pytest.fixture(scope="module", params=list(SPECS))
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = motion(tmp_path_factory.mktemp("frames") / "motion", SPECS[request.param])
    clips = load(DataConfig(given_name(folder), frames=FRAMES, size=SIZE), given=folder).train
    pixels = clips.centre(range(len(clips))).permute(0, 2, 3, 4, 1).mul(255).round()
    return Seen(pixels.numpy().astype(np.uint8), clips.labels.numpy())


def test_no_statistic_of_the_middle_frame_tells_the_class(seen: Seen) -> None:
    assert told(seen.features[(FRAMES - 1) // 2], seen.labels) <= reached(1 / len(CLASSES), seen.labels)


def test_no_statistic_of_a_frame_at_a_random_time_tells_the_class(seen: Seen) -> None:
    times = np.random.default_rng(0).integers(0, FRAMES, len(seen.labels))
    features = all_described(seen.frames[np.arange(len(times)), times])
    assert told(features, seen.labels) <= reached(1 / len(CLASSES), seen.labels)


@pytest.mark.parametrize("place", SEEN)
def test_a_frame_at_a_known_place_tells_no_more_than_the_scale_of_a_zoom(seen: Seen, place: int) -> None:
    """Of all classes that is at most what is documented of the last frame; of classes without a zoom, nothing."""
    features, labels = seen.features[place], seen.labels
    assert told(features, labels) <= reached(EDGE, labels)
    without = ~np.isin(labels, [CLASSES.index("ZoomIn"), CLASSES.index("ZoomOut")])
    assert told(features[without], labels[without]) <= reached(1 / (len(CLASSES) - 2), labels[without])


def test_the_classifiers_would_find_what_tells(seen: Seen) -> None:
    brighter = seen.frames[:, SEEN[0]] * 0.8 + 3 * seen.labels[:, None, None, None]
    assert told(all_described(brighter), seen.labels) > reached(EDGE, seen.labels)
