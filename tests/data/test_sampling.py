"""Crops, windows and views as the literature takes them; and clips decoded live are those of the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import miniatures
from helpers.data_videos import film, spoil, write
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.data import CachedSplit, Clips, sampling
from vidrobust.data.dataset import DataConfig, load
from vidrobust.data.decoding.decoders import decoder
from vidrobust.errors import DataError, InputError

HEIGHT, WIDTH = 24, 40


def split(lengths: tuple[int, ...] = (20, 5)) -> CachedSplit:
    """Frames whose red is the frame's number, whose green is the row and whose blue is the column."""
    shapes = np.array([(length, HEIGHT, WIDTH) for length in lengths], np.int64)
    sizes = shapes.prod(1) * 3
    found = CachedSplit(
        pixels=np.zeros(sizes.sum(), np.uint8),
        offsets=np.cumsum(sizes) - sizes,
        shapes=shapes,
        labels=np.arange(len(lengths)),
        videos=tuple(map(str, range(len(lengths)))),
        sources=tuple(map(str, range(len(lengths)))),
    )
    for index, length in enumerate(lengths):
        frames = found.frames(index)
        frames[..., 0] = np.arange(length)[:, None, None]
        frames[..., 1] = np.arange(HEIGHT)[:, None] * 4
        frames[..., 2] = np.arange(WIDTH) * 4
    return found


def clips(**options: object) -> Clips:
    return Clips(split(), ("a", "b"), **{"frames": 4, "size_out": 12, **options})  # type: ignore[arg-type]


def drawn(count: int = 200, **options: object) -> torch.Tensor:
    return clips(**options).augmented([0] * count, torch.Generator().manual_seed(0)) * 255


def test_the_stride_is_kept_and_short_videos_loop() -> None:
    times = clips(stride=3).centre([0, 1])[:, 0, :, 0, 0] * 255
    assert times.round().tolist() == [[5, 8, 11, 14], [0, 3, 1, 4]]
    starts = set()
    for row in drawn(stride=3, crop="resized")[:, 0, :, 0, 0].round().tolist():
        assert np.diff(row).tolist() == [3, 3, 3]
        starts.add(row[0])
    assert starts == set(range(11))


def test_the_centre_of_larger_frames_is_scaled_then_cropped() -> None:
    clip = clips().centre([0])[0] * 255
    assert clip.shape == (3, 4, 12, 12)
    assert clip[1, 0, 0, 0] == pytest.approx(2, abs=2)  # the top row
    assert clip[1, 0, -1, 0] == pytest.approx(4 * 22.5, abs=2)
    assert clip[2, 0, 0, 0] == pytest.approx(4 * 8.5, abs=2)  # eight columns are cut off
    assert clip[2, 0, 0, -1] == pytest.approx(4 * 30.5, abs=2)


def box(clip: torch.Tensor) -> tuple[float, float, float, float]:
    """Top, left, height and width of the crop that a clip shows, from its ramps."""
    down, right = clip[1, 0, :, 6] / 4, clip[2, 0, 6, :] / 4
    tall, wide = (float(ramp[-3] - ramp[2]) / 7 * 12 for ramp in (down, right))
    return float(down[2]) - 2.5 * tall / 12 + 0.5, float(right[2]) - 2.5 * wide / 12 + 0.5, tall, wide


def test_corner_crops_are_squares_of_five_scales_at_five_places() -> None:
    seen = set()
    for clip in drawn(300, crop="corner"):
        top, left, tall, wide = box(clip)
        assert tall == pytest.approx(wide, abs=1)
        side = min((24, 20, 16, 14, 12), key=lambda scale: abs(scale - tall))
        assert tall == pytest.approx(side, abs=1)
        places = {"tl": (0, 0), "tr": (0, 40 - side), "bl": (24 - side, 0), "br": (24 - side, 40 - side)}
        places["c"] = ((24 - side) // 2, (40 - side) // 2)
        name = min(places, key=lambda key: abs(places[key][0] - top) + abs(places[key][1] - left))
        assert (top, left) == pytest.approx(places[name], abs=1.2)
        seen.add((side, name if side < 24 else name.strip("tb")))
    assert {side for side, _ in seen} == {24, 20, 16, 14, 12}
    assert {name for side, name in seen if side == 12} == {"tl", "tr", "bl", "br", "c"}


def test_resized_crops_have_the_areas_and_ratios_of_the_literature() -> None:
    areas, ratios = [], []
    for clip in drawn(300, crop="resized"):
        _, _, tall, wide = box(clip)
        areas.append(tall * wide / (HEIGHT * WIDTH))
        ratios.append(wide / tall)
    assert 0.2 < min(areas) < 0.32
    assert max(areas) > 0.7
    assert 0.65 < min(ratios) < 0.85
    assert 1.2 < max(ratios) < 2


def test_every_other_clip_is_mirrored() -> None:
    right = drawn(400, crop="corner", flip=True)
    mirrored = int((right[:, 2, 0, 6, 0] > right[:, 2, 0, 6, -1]).sum())
    assert 150 < mirrored < 250
    plain = drawn(400, crop="corner")
    assert (plain[:, 2, 0, 6, 0] < plain[:, 2, 0, 6, -1]).all()


@pytest.mark.parametrize("crop", ["shift", "corner", "resized"])
def test_the_generator_alone_decides(crop: str) -> None:
    torch.manual_seed(1)
    first = drawn(8, crop=crop, flip=True)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(drawn(8, crop=crop, flip=True), first)
    assert torch.equal(torch.get_rng_state(), state)


@given(st.integers(1, 200), st.integers(1, 70), st.one_of(st.integers(1, 12), st.just("sliding")))
def test_views_lie_in_the_video_and_sliding_ones_see_all_of_it(length: int, reach: int, views: int | str) -> None:
    found = sampling.starts(length, reach, views)  # type: ignore[arg-type]
    assert found == sorted(found)
    assert found[0] >= 0
    assert all(start + reach <= max(length, reach) for start in found)
    if views == "sliding":
        assert set(range(length)) <= {frame for start in found for frame in range(start, start + reach)}
        assert len(found) == max(1, -(-length // reach))
    else:
        assert len(found) == views
        if views > 1:
            assert (found[0], found[-1]) == (0, max(0, length - reach))


def test_viewed_clips_are_their_own_windows() -> None:
    viewed = clips().viewed("sliding")
    assert viewed.of.tolist() == [0] * 5 + [1] * 2
    assert viewed.labels.tolist() == viewed.of.tolist()
    assert (viewed.centre(range(7))[:, 0, 0, 0, 0] * 255).round().tolist() == [0, 4, 8, 12, 16, 0, 1]
    assert torch.equal(viewed.subset([4, 1]).centre([1]), viewed.centre([1]))
    assert torch.equal(clips().viewed(1).centre([0, 1]), clips().centre([0, 1]))


def test_classes_that_a_mirror_would_swap() -> None:
    assert sampling.mirror_swaps(["PanLeft", "PanRight"])
    assert sampling.mirror_swaps(["RotateClockwise", "RotateCounterclockwise"])
    assert sampling.mirror_swaps(["Pushing something from left to right", "Pushing something from right to left"])
    assert not sampling.mirror_swaps(["Archery", "YoYo"])
    assert not sampling.mirror_swaps(["TurnLeft", "Stand"])


def test_what_is_refused() -> None:
    for options in ({"stride": 0}, {"crop": "none"}, {"frames": 0}):
        with pytest.raises(InputError):
            clips(**options)
    for fields in ({"resolution": 8}, {"frames": 0}, {"live": True, "decoder": "torchcodec"}, {"max_frames": -1}):
        with pytest.raises(InputError):
            DataConfig("x", size=16, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["ucf101", "kinetics"])
def test_live_clips_are_those_of_the_cache(tmp_path: Path, layout: str) -> None:
    root = getattr(miniatures, layout)(tmp_path / "data")
    options = {"size": 16, "frames": 5, "stride": 2, "max_frames": 11, "resolution": 24, "crop": "corner"}
    cached, live = (load(DataConfig(str(root), live=live, **options)) for live in (False, True))  # type: ignore[arg-type]
    assert cached.train.flip is live.train.flip is True
    for name in ("train", "val", "test"):
        one, other = getattr(cached, name), getattr(live, name)
        index = range(len(one))
        assert one.videos == other.videos
        assert torch.equal(one.centre(index), other.centre(index))
        draws = (clips.augmented(index, torch.Generator().manual_seed(3)) for clips in (one, other))
        assert torch.equal(*draws)
        assert torch.equal(one.viewed(2).centre(range(4)), other.viewed(2).centre(range(4)))


def test_a_decoder_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="one of pyav, torchcodec"):
        decoder("ffmpeg")
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        with pytest.raises(DataError, match=r'pip install "vidrobust\[torchcodec\]"'):
            decoder("torchcodec")


def test_a_bad_packet_is_survived_and_said_in_the_rows(tmp_path: Path) -> None:
    for split_name, seeds in (("train", range(4)), ("test", (5, 6))):
        for title in ("cat", "dog"):
            for seed in seeds:
                file = tmp_path / split_name / title / f"{seed}.mp4"
                write(file, film(20, seed=seed + 50 * (title == "dog")), "libx264", g="5", bf="0")
    bad = spoil(tmp_path / "train/cat/1.mp4", [12], b"\0")
    for live in (False, True):
        data = load(DataConfig(str(tmp_path), size=16, frames=4, live=live))
        (said,) = data.row["damaged"]
        assert said["file"] == "train/cat/1.mp4"
        assert "cannot be decoded" in said["reason"]
        assert any("train/cat/1.mp4" in line for line in data.notices)
        with pytest.raises(Exception, match="is damaged"):
            load(DataConfig(str(tmp_path), size=16, frames=4, live=live, damaged="refuse"))
        data = load(DataConfig(str(tmp_path), size=16, frames=4, live=live, damaged="refuse", skip_bad=True))
        assert [one["file"] for one in data.row["skipped"]] == ["train/cat/1.mp4"]
    assert bad.exists()
