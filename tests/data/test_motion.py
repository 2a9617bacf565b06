from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from vidrobust.data import Motion, dataset
from vidrobust.data.camera import camera_path, pyramid, render
from vidrobust.data.dataset import DataConfig, open_videos
from vidrobust.data.decoding import decode, encode
from vidrobust.data.motion import CLASSES, is_photograph, motion, motion_of, picture_groups, planned_videos
from vidrobust.data.parallel import FEW
from vidrobust.data.photographs import PHOTOGRAPHS, find_photographs, read_photograph
from vidrobust.data.subset import spread
from vidrobust.data.videos import SPLITS
from vidrobust.errors import DataError, InputError
from vidrobust.runs.schema import fault

TINY = Motion(clips_per_group=1, rendered=(1, 0, 1), frames=5, size=16)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    return motion(tmp_path_factory.mktemp("data") / "motion", TINY)


@pytest.fixture(scope="module")
def levels() -> list[torch.Tensor]:
    (gravel,) = [path for path in find_photographs() if path.name == "gravel.png"]
    return pyramid(read_photograph(gravel))


def clip(levels: list[torch.Tensor], name: str, seed: int = 0, frames: int = 7, size: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return render(levels, name, frames=frames, size=size, contrast=(0.6, 0.6), rng=rng)


def digest(root: Path) -> str:
    files = sorted(file for file in root.rglob("*") if file.is_file())
    return hashlib.sha256(b"".join(str(f.relative_to(root)).encode() + f.read_bytes() for f in files)).hexdigest()


def test_the_set_is_a_video_folder(made):
    assert made.name == "motion"
    assert made.classes == CLASSES
    assert [len(made.split(s)) for s in ("train", "val", "test")] == [60 + 10, 20, 80 + 10]
    assert decode.decode(made.root / made.train[0].path, size=16).shape == (5, 16, 16, 3)


def test_pictures_are_disjoint_over_all_classes(made):
    sources = [set(map(made.source, made.split(s))) for s in ("train", "val", "test")]
    photographs = [set(filter(is_photograph, of)) for of in sources]
    assert [len(of) for of in photographs] == [6, 2, 8]
    assert len(set.union(*photographs)) == 16 == len(PHOTOGRAPHS)
    assert [len(of) for of in sources] == [6 + 10, 2, 8 + 10]
    assert len(set.union(*sources)) == 16 + 20


def test_a_rendered_picture_is_of_one_video(made):
    videos = [video for split in ("train", "val", "test") for video in made.split(split)]
    rendered = [video.group for video in videos if not is_photograph(video.group)]
    assert len(rendered) == len(set(rendered)) == 20


def test_the_default_has_sources_enough_for_the_full_study():
    found = list(picture_groups(Motion()))
    counts = {split: sum(group.split == split for group in found) for split in ("train", "val", "test")}
    assert counts == {"train": 566, "val": 122, "test": 248}
    assert len({group.number for group in found}) == len(found)
    spread_over = {(group.split, group.classes) for group in found if group.photograph is None}
    assert spread_over == {(split, (label,)) for split in counts for label in range(10)}
    planned = planned_videos(Motion(further=3))
    assert Motion(further=3).clip_counts == {split: len(of) for split, of in planned.items()}
    assert Motion().clip_counts == {"train": 800, "val": 200, "test": 560}


@pytest.mark.parametrize("workers", [1, 2])
def test_making_and_decoding_are_told_video_by_video(tmp_path, monkeypatch, workers):
    monkeypatch.setenv("VIDROBUST_CACHE", str(tmp_path))
    monkeypatch.setattr(dataset, "motion_of", lambda config: TINY)
    told: dict[str, list[tuple[int, int]]] = {}
    config = DataConfig("motion", frames=2, size=16)
    loaded = dataset.load(config, lambda doing, done, of: told.setdefault(doing, []).append((done, of)), workers)
    sizes = {"making videos": 180} | {f"decoding {split}": len(getattr(loaded, split)) for split in SPLITS}
    assert list(told) == list(sizes)
    for doing, steps in told.items():
        assert steps == sorted(steps) and steps[-1] == (sizes[doing], sizes[doing])
    told.clear()
    dataset.load(config, lambda doing, done, of: told.setdefault(doing, []), workers)
    assert not told


def test_further_training_videos_leave_the_others_as_they_are(made, tmp_path):
    more = motion(tmp_path / "more", replace(TINY, further=2))
    assert [len(more.split(split)) - len(made.split(split)) for split in ("train", "val", "test")] == [20, 0, 0]
    for split in ("train", "val", "test"):
        for video in made.split(split):
            assert video in more.split(split)
            assert (more.root / video.path).read_bytes() == (made.root / video.path).read_bytes()
    added = {video.group for video in more.train} - {video.group for video in made.train}
    assert len(added) == 20 and not added & {video.group for video in (*made.val, *made.test)}


def test_as_many_training_videos_are_planned_as_are_asked_for():
    few, many = DataConfig(train=600), DataConfig(train=6005, contrast=(0.4, 1.0))
    assert motion_of(few) == Motion() and motion_of(many).contrast == (0.4, 1.0)
    limits = (many.train, 0, 0)
    planned = {name: planned_videos(motion_of(many), limits)[name] for name in ("train", "val", "test")}
    assert [len(planned[name]) for name in planned] == [6005, 200, 560]
    assert planned["test"] == planned_videos(Motion())["test"]


def test_several_processes_make_the_same_files(made, tmp_path):
    assert len(list(picture_groups(TINY))) > FEW  # fewer would be made in this process
    assert digest(motion(tmp_path / "apart", TINY, workers=2).root) == digest(made.root)


def test_the_seed_gives_the_bytes(made, tmp_path):
    assert digest(motion(tmp_path / "again", TINY).root) == digest(made.root)


def test_another_seed_gives_other_videos(tmp_path, monkeypatch):
    alike = find_photographs()[:1] * 16  # so that the order of the photographs makes no difference
    monkeypatch.setitem(motion.__globals__, "find_photographs", lambda: alike)
    roots = [motion(tmp_path / str(seed), replace(TINY, seed=seed, photographs=(1, 1, 1))).root for seed in (0, 1)]
    videos = [{hashlib.sha256(file.read_bytes()).digest() for file in root.rglob("*.avi")} for root in roots]
    assert len(videos[0]) == 50
    assert not videos[0] & videos[1]


def test_it_is_made_once(made):
    before = {file: file.stat().st_mtime_ns for file in made.root.rglob("*")}
    assert motion(made.root, TINY) == made
    assert before == {file: file.stat().st_mtime_ns for file in made.root.rglob("*")}
    with pytest.raises(DataError, match="was not made of"):
        motion(made.root, replace(TINY, seed=7))


def test_with_limits_only_the_chosen_videos_are_made_and_are_the_same(made, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDROBUST_CACHE", str(tmp_path))
    limits = (13, 0, 10)
    part = motion(spec=TINY, limits=limits)
    chosen = {split: spread(made.split(split), limit or None) for split, limit in zip(SPLITS, limits, strict=True)}
    assert {split: part.split(split) for split in SPLITS} == chosen
    files = {file.relative_to(part.root).as_posix(): file for file in part.root.rglob("*.avi")}
    assert set(files) == {video.path for of in chosen.values() for video in of}
    assert all(file.read_bytes() == (made.root / path).read_bytes() for path, file in files.items())
    (tmp_path / "whole").symlink_to(made.root)
    monkeypatch.setitem(
        motion.__globals__, "_place", lambda made_of: tmp_path / "whole"
    )  # as if it had been made before
    assert motion(spec=TINY, limits=limits).root == motion(spec=TINY).root == tmp_path / "whole"


@pytest.mark.parametrize("split", ["train", "test"])
def test_of_one_split_only_the_clips_that_spread_takes_are_made(split, made, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDROBUST_CACHE", str(tmp_path))
    monkeypatch.setattr(dataset, "motion_of", lambda config: replace(TINY, seed=config.seed, contrast=config.contrast))
    config = DataConfig("motion", seed=TINY.seed, contrast=TINY.contrast, frames=2, size=8)
    of_all = getattr(dataset.load(config, given=made), split)
    part = dataset.load_spread(config, split, 11)
    made_of, clips = part.folder.split(split), getattr(part, split)
    assert len(made_of) == 11 and clips.videos == of_all.spread(11).videos
    assert torch.equal(clips.centre(range(11)), of_all.spread(11).centre(range(11)))
    assert all(len(part.folder.split(other)) == 10 for other in SPLITS if other != split)
    assert len(getattr(dataset.load_spread(config, split, 3), split)) == len(of_all)  # fewer than classes: all


def test_limits_below_the_number_of_classes_leave_no_class_out(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDROBUST_CACHE", str(tmp_path))
    few = replace(TINY, photographs=(2, 1, 1), rendered=(0, 0, 0), frames=2)
    assert [len(motion(spec=few, limits=(5, 10, 10)).split(split)) for split in SPLITS] == [20, 10, 10]


def test_the_default_place_is_named_by_content(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDROBUST_CACHE", str(tmp_path))
    places = {motion(spec=replace(TINY, frames=2, contrast=(low, 1))).root for low in (0.2, 0.4)}
    assert len(places) == 2
    assert all(place.parent == tmp_path and place.name.startswith("motion-") for place in places)


def test_the_name_motion_opens_it(monkeypatch, made):
    monkeypatch.setattr(dataset, "motion", lambda spec, workers, limits, progress: (made, spec.seed, spec.contrast))
    assert open_videos(DataConfig("motion", seed=3, contrast=(0.1, 0.2))) == (made, 3, (0.1, 0.2))
    assert open_videos(DataConfig(str(made.root))).classes == CLASSES


def test_its_row_lists_the_photographs_among_the_sources(monkeypatch, made):
    monkeypatch.setattr(dataset, "motion", lambda spec, workers, limits, progress: made)
    row = dataset.load(DataConfig("motion", frames=2, size=8)).row
    assert row["photographs"] == [f"g{number:04d}" for number in range(1, 17)]
    assert fault(row) is None
    assert "photographs" not in dataset.load(DataConfig(str(made.root), frames=2, size=8)).row


def test_what_was_written_of_version_1_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDROBUST_CACHE", str(tmp_path))
    written = asdict(DataConfig("motion"))
    assert written.pop("version") == 2
    with pytest.raises(DataError, match=r"of `motion` 1, .* makes `motion` 2"):
        open_videos(DataConfig.from_json(written))
    assert not list(tmp_path.iterdir())
    assert DataConfig.from_json({**written, "version": 2}) == DataConfig("motion")


def test_a_folder_of_videos_has_no_version():
    fields = asdict(DataConfig("videos"))
    assert fields["version"] is None
    del fields["version"]
    assert DataConfig.from_json(fields) == DataConfig("videos")


def test_an_interrupted_making_leaves_nothing(tmp_path, monkeypatch):
    def full(path: Path, frames: np.ndarray) -> None:
        if path.parent.name == "ZoomOut":
            raise KeyboardInterrupt

    monkeypatch.setattr(encode, "write_video", full)
    with pytest.raises(KeyboardInterrupt):
        motion(tmp_path / "motion", TINY)
    assert [file.name for file in tmp_path.iterdir()] == [".motion.lock"]


def test_a_lost_list_is_named_with_the_remedy(tmp_path):
    root = motion(tmp_path / "motion", TINY).root
    (root / "ucfTrainTestlist/testlist01.txt").unlink()
    with pytest.raises(DataError, match=r"testlist01\.txt is missing.* delete .*motion: the data set is made again"):
        motion(root, TINY)


def displacement(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    """How far the picture moved (right, down), by phase correlation."""
    window = np.hanning(64)[:, None] * np.hanning(64)
    a, b = (np.fft.fft2((frame.mean(-1) - frame.mean()) * window) for frame in (first, second))
    cross = b * a.conj()
    peak = np.fft.ifft2(cross / (np.abs(cross) + 1e-9)).real
    down, right = np.unravel_index(peak.argmax(), peak.shape)
    return (int(right) + 32) % 64 - 32, (int(down) + 32) % 64 - 32


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("name", "right", "down"), [("PanLeft", 1, 0), ("PanRight", -1, 0), ("PanUp", 0, 1), ("PanDown", 0, -1)]
)
def test_pans_move_the_picture_the_other_way(levels, name, right, down, seed):
    frames = clip(levels, name, seed)
    moves = np.array([displacement(a, b) for a, b in zip(frames[:-1], frames[1:], strict=True)])
    speed = np.median(moves @ (right, down))
    assert 0.5 * 64 / 24 - 1 <= speed <= 1.5 * 64 / 24 + 1
    assert np.abs(np.median(moves @ (down, right))) <= 1


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a[16:-16, 16:-16].ravel(), b[16:-16, 16:-16].ravel())[0, 1])


@pytest.mark.parametrize("seed", range(3))
def test_zooms_and_rotations_turn_the_right_way(levels, seed):
    def scaled(frame: np.ndarray, factor: float) -> np.ndarray:
        return ndimage.affine_transform(frame, np.eye(2) / factor, 31.5 * (1 - 1 / factor), order=1)

    def turned(frame: np.ndarray, degrees: float) -> np.ndarray:  # counter-clockwise, as np.rot90
        return ndimage.rotate(frame, degrees, reshape=False, order=1)

    assert np.allclose(ndimage.rotate(np.diag([1.0, 2, 3]), 90), np.rot90(np.diag([1.0, 2, 3])))
    for name, right, wrong in [
        ("ZoomIn", lambda f, k: scaled(f, 1 + k), lambda f, k: scaled(f, 1 / (1 + k))),
        ("ZoomOut", lambda f, k: scaled(f, 1 / (1 + k)), lambda f, k: scaled(f, 1 + k)),
        ("RotateClockwise", lambda f, k: turned(f, 57.3 * k), lambda f, k: turned(f, -57.3 * k)),
        ("RotateCounterclockwise", lambda f, k: turned(f, -57.3 * k), lambda f, k: turned(f, 57.3 * k)),
    ]:
        frames = clip(levels, name, seed).astype(float).mean(-1)
        rates = np.linspace(0.04, 0.13, 10)
        best = max(likeness(right(frames[2], k), frames[3]) for k in rates)
        assert best > 0.8
        assert best > max(likeness(wrong(frames[2], k), frames[3]) for k in rates) + 0.2


def test_shakes_return_and_keep_their_axis():
    for name, axis in (("ShakeHorizontal", 0), ("ShakeVertical", 1)):
        rng = np.random.default_rng(0)
        for _ in range(20):
            path = camera_path(name, 160, 1.0, rng)
            assert not path.centre[:, 1 - axis].any()
            assert not path.zoom.any()
            assert not path.angle.any()
            assert np.abs(path.centre[:, axis]).max() <= 2.01
            assert 0.8 < np.abs(np.diff(path.centre[:, axis])).mean() < 1.1


def test_the_middle_frame_is_the_same_whatever_the_class(levels):
    still = [clip(levels, name, frames=1) for name in CLASSES if not name.startswith("Shake")]
    assert all(np.array_equal(frame, still[0]) for frame in still)


@pytest.mark.parametrize("name", ["PanLeft", "ZoomOut"])
def test_contrast_is_as_asked(levels, name):
    frames = np.stack([clip(levels, name, seed) for seed in range(12)]).astype(float) / 255
    coarse = frames[:, :, :63, :63].reshape(12, 7, 21, 3, 21, 3, 3).mean((3, 5))
    each = coarse.std((1, 2, 3, 4))  # set by what surrounds the window, which has more or less texture than the clip
    assert each.mean() == pytest.approx(0.25 * 0.6, rel=0.15)
    assert each.min() > 0.5 * 0.25 * 0.6
    assert frames.mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "options",
    [
        {"contrast": (0.5, 0.2)},
        {"contrast": (0.0, 1.0)},
        {"clips_per_group": 0},
        {"size": 33},
        {"size": 8},
        {"photographs": (8, 2, 8)},
        {"rendered": (1, -1, 1)},
        {"photographs": (6, 0, 8), "rendered": (5, 0, 5)},
        {"seed": -1},
    ],
)
def test_settings_out_of_range(options):
    with pytest.raises(InputError):
        Motion(**options)
