from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vidrobust.data import CachedSplit, Clips
from vidrobust.data.dataset import VideoClips
from vidrobust.errors import InputError


def cached(lengths: tuple[int, ...] = (10, 3, 6), size: int = 24, width: int | None = None) -> CachedSplit:
    rng = np.random.default_rng(0)
    shapes = np.array([(length, size, width or size) for length in lengths], np.int64)
    sizes = shapes.prod(1) * 3
    return CachedSplit(
        pixels=rng.integers(0, 256, sizes.sum(), np.uint8),
        offsets=np.cumsum(sizes) - sizes,
        shapes=shapes,
        labels=np.arange(len(lengths)) % 2,
        videos=tuple(f"{n}.avi" for n in range(len(lengths))),
        sources=tuple(f"g{n}" for n in range(len(lengths))),
    )


@pytest.fixture
def clips() -> Clips:
    return Clips(cached(), ("a", "b"), frames=6)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def planes(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 255


def test_the_centre_is_the_middle_window(clips):
    batch = clips.centre([0, 2])
    assert batch.shape == (2, 3, 6, 24, 24)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous()
    assert torch.equal(batch[0], planes(cached().frames(0)[2:8]))
    assert torch.equal(batch[1], planes(cached().frames(2)))
    assert torch.equal(clips.centre(torch.tensor([2, 0])), batch.flip(0))


def test_a_short_video_is_looped(clips):
    frames = planes(cached().frames(1))
    assert torch.equal(clips.centre([1])[0], torch.cat([frames, frames], 1))
    assert clips.augmented([1], generator()).shape == (1, 3, 6, 24, 24)


def test_what_is_known_of_the_clips(clips):
    assert len(clips) == 3
    assert clips.size == 24
    assert clips.labels.tolist() == [0, 1, 0]
    assert clips.labels.dtype == torch.int64
    assert (clips.classes, clips.videos, clips.sources) == (("a", "b"), ("0.avi", "1.avi", "2.avi"), ("g0", "g1", "g2"))


def test_the_generator_alone_decides(clips):
    index = [0, 1, 2, 0]
    first = clips.augmented(index, generator(1))
    torch.manual_seed(5)
    np.random.default_rng(5)
    before = torch.get_rng_state()
    assert torch.equal(clips.augmented(index, generator(1)), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(clips.augmented(index, generator(2)), first)
    assert not torch.equal(first[0], first[3])


def test_augmented_pixels_stay_in_range(clips):
    batch = clips.augmented([0, 1, 2] * 20, generator())
    assert batch.min() == 0
    assert batch.max() == 1
    assert batch.shape == (60, 3, 6, 24, 24)


def test_an_augmented_clip_is_a_shifted_window_with_other_light():
    """Find window and shift again by correlation, which gain and lift leave alone; then gain and lift by a line."""
    split = cached((12,))
    split.pixels[:] = split.pixels // 2 + 64  # so that nothing is clipped
    source = split.frames(0).astype(float) / 255
    draws = [(start, down, right) for start in range(9) for down in range(-2, 3) for right in range(-2, 3)]
    windows = np.empty((len(draws), 4, 24, 24, 3))
    for window, (start, down, right) in zip(windows, draws, strict=True):
        rows, columns = ((np.arange(24) - shift).clip(0, 23) for shift in (down, right))
        window[:] = source[start : start + 4, rows][:, :, columns]
    windows = windows.reshape(len(draws), -1)
    batch = (
        Clips(split, ("a", "b"), frames=4).augmented([0] * 300, generator()).permute(0, 2, 3, 4, 1).flatten(1).numpy()
    )
    likeness = np.corrcoef(windows, batch)[: len(draws), len(draws) :]
    assert ((likeness > 0.9999).sum(0) == 1).all()
    found = likeness.argmax(0)
    assert len(set(found)) > 100
    assert {draws[k][0] for k in found} == set(range(9))
    assert {draws[k][1] for k in found} == {draws[k][2] for k in found} == set(range(-2, 3))
    for k, clip in zip(found, batch, strict=True):
        slope, lift = np.polyfit(windows[k], clip, 1)
        assert np.abs(slope * windows[k] + lift - clip).max() < 1e-5
        assert 0.8 <= slope <= 1.2
        assert abs(lift + 0.5 * slope - 0.5) <= 0.1 + 1e-5


def test_a_spread_is_as_many_as_asked_from_the_first_to_the_last():
    many = Clips(cached(tuple(range(1, 11))), ("a", "b"), frames=6)
    assert [many.spread(count).videos for count in (10, 99)] == [many.videos] * 2
    assert many.spread(4).videos == ("0.avi", "3.avi", "6.avi", "9.avi")
    assert [len(many.spread(count)) for count in range(1, 10)] == list(range(1, 10))


def test_a_subset_keeps_order_and_pixels(clips):
    part = clips.subset(torch.tensor([2, 0]))
    assert (len(part), part.videos, part.sources, part.labels.tolist()) == (2, ("2.avi", "0.avi"), ("g2", "g0"), [0, 0])
    assert torch.equal(part.centre([0, 1]), clips.centre([2, 0]))
    assert part.subset([1]).videos == ("0.avi",)
    assert len(clips) == 3


def test_another_size():
    split = cached()
    split.frames(0)[:] = np.linspace(0, 255, 24).astype(np.uint8)[:, None, None]
    small = Clips(split, ("a", "b"), frames=6, size_out=12)
    assert small.centre([0]).shape == (1, 3, 6, 12, 12)
    expected = planes(split.frames(0)[2:8]).unflatten(2, (12, 2)).mean(3)[..., ::2]
    assert (small.centre([0])[0] - expected)[:, :, 1:-1].abs().max() < 0.01
    assert torch.equal(Clips(split, ("a", "b"), frames=6, size_out=24).centre([0]), planes(split.frames(0)[2:8])[None])


@pytest.mark.parametrize("options", [{"frames": 0}, {"frames": 2, "size_out": 0}])
def test_sizes_out_of_range(options):
    with pytest.raises(InputError):
        Clips(cached(), ("a", "b"), **options)


def test_processes_that_share_a_batch_see_the_clips_that_one_would(small_data: VideoClips) -> None:
    clips, generators = small_data.train, [torch.Generator().manual_seed(5) for _ in range(2)]
    whole = clips.augmented(range(6), generators[0])
    assert torch.equal(clips.augmented(range(6), generators[1], torch.tensor([2, 3])), whole[2:4])
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


def test_more_clips_than_there_are_is_noticed(small_data: VideoClips) -> None:
    asked = replace(small_data, config=replace(small_data.config, val=20, test=1000))
    told = "1000 test clips were asked for, but there are 40: all of them are used."
    assert asked.notices == [*small_data.notices, told]
